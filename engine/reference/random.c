#include "engine/base/philox.h"
#include "engine/reference/reference_ops.h"

static struct philox_key key_of(const void *keys, int n)
{
    const uint32_t *words = (const uint32_t *)keys + 4 * n;
    struct philox_key key = {words[0], words[1], words[2], words[3]};

    return key;
}

static void normal_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                       void *scratch)
{
    const size_t count = shape_count(&spec->outputs[0].shape);
    float *y = out[0];

    for (int n = 0; n < spec->outputs[0].n; n++) {
        const struct philox_key key = key_of(in[0], n);

        philox_normals(&key, spec->attributes.draw.stream, count, y + (size_t)n * count);
    }
}

static void dropout_mask_run(const struct kernel_spec *spec, const void *const *in,
                             void *const *out, void *scratch)
{
    const size_t count = shape_count(&spec->outputs[0].shape);
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

const struct reference_op reference_normal = {normal_run, NULL};
const struct reference_op reference_dropout_mask = {dropout_mask_run, NULL};
