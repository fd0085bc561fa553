#include "engine/base/philox.h"
#include "engine/reference/reference_ops.h"

static struct philox_key key_of(const void *keys, int n)
{
    const uint32_t *words = (const uint32_t *)keys + 4 * n;
    struct philox_key key = {words[0], words[1], words[2], words[3]};

    return key;
}

/* Scratch: the numbers of one key. */
static size_t normal_scratch_bytes(const struct kernel_spec *spec)
{
    return shape_count(&spec->outputs[0].shape) * sizeof(float);
}

/* y += weight times the normals of a key. */
static void add_normals(const struct kernel_spec *spec, const void *keys, int n, float weight,
                        float *scratch, float *y)
{
    const size_t count = shape_count(&spec->outputs[0].shape);
    const struct philox_key key = key_of(keys, n);

    if (weight == 0)
        return;
    philox_normals(&key, spec->attributes.draw.stream, count, scratch);
    for (size_t i = 0; i < count; i++)
        y[i] = (float)((double)y[i] + (double)weight * scratch[i]);
}

static void normal_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                       void *scratch)
{
    const size_t count = shape_count(&spec->outputs[0].shape);
    const float *weights = spec->n_inputs > 1 ? in[1] : NULL;

    for (int n = 0; n < spec->outputs[0].n; n++) {
        float *y = (float *)out[0] + (size_t)n * count;

        for (size_t i = 0; i < count; i++)
            y[i] = 0;
        add_normals(spec, in[0], n, weights ? weights[2 * n] : 1, scratch, y);
        if (weights)
            add_normals(spec, in[2], n, weights[2 * n + 1], scratch, y);
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

const struct reference_op reference_normal = {normal_run, normal_scratch_bytes};
const struct reference_op reference_dropout_mask = {dropout_mask_run, NULL};
