#include "engine/base/philox.h"
#include "engine/reference/reference_ops.h"
#include "engine/reference/signature.h"

static struct philox_key key_of(const void *keys, int n)
{
    const uint32_t *words = (const uint32_t *)keys + 4 * n;
    struct philox_key key = {words[0], words[1], words[2], words[3]};

    return key;
}

static int normal_check(const struct kernel_spec *spec, struct error *err)
{
    struct signature letters;

    return signature_match(spec, "K4 -> n*", &letters, err);
}

static void normal_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                       void *scratch)
{
    const size_t count = reference_image_count(&spec->outputs[0]);
    float *y = out[0];

    for (int n = 0; n < spec->outputs[0].n; n++) {
        const struct philox_key key = key_of(in[0], n);

        philox_normals(&key, spec->attributes.draw.stream, count, y + (size_t)n * count);
    }
}

static int dropout_mask_check(const struct kernel_spec *spec, struct error *err)
{
    int rc = normal_check(spec, err);

    if (rc < 0)
        return rc;
    if (!(spec->attributes.draw.rate >= 0 && spec->attributes.draw.rate < 1))
        return signature_mismatch(spec, err, "rate %g is not in [0, 1)",
                                  (double)spec->attributes.draw.rate);
    return 0;
}

static void dropout_mask_run(const struct kernel_spec *spec, const void *const *in,
                             void *const *out, void *scratch)
{
    const size_t count = reference_image_count(&spec->outputs[0]);
    const float rate = spec->attributes.draw.rate, kept = (float)(1 / (1 - (double)rate));
    float *mask = out[0];

    for (int n = 0; n < spec->outputs[0].n; n++) {
        const struct philox_key key = key_of(in[0], n);
        float *m = mask + (size_t)n * count;

        philox_uniforms(&key, spec->attributes.draw.stream, count, m);
        for (size_t i = 0; i < count; i++)
            m[i] = m[i] < rate ? 0 : kept;
    }
}

const struct reference_op reference_normal = {normal_check, normal_run, NULL};
const struct reference_op reference_dropout_mask = {dropout_mask_check, dropout_mask_run, NULL};
