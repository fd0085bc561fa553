/* Reading and writing state, and adding sums up. */
#include "engine/reference/reference_ops.h"

#include <string.h>

static void load_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                     void *scratch)
{
    const size_t count = shape_count(&spec->outputs[0].shape);
    const uint32_t *slots = in[1];

    for (size_t n = 0; n < (size_t)spec->outputs[0].n; n++)
        memcpy((float *)out[0] + n * count, (const float *)in[0] + slots[n] * count,
               count * sizeof(float));
}

static void store_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                      void *scratch)
{
    const size_t count = shape_count(&spec->inputs[0].shape);
    const uint32_t *slots = in[1];

    for (size_t n = 0; n < (size_t)spec->inputs[0].n; n++)
        memcpy((float *)out[0] + slots[n] * count, (const float *)in[0] + n * count,
               count * sizeof(float));
}

static void sum_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                    void *scratch)
{
    const float *x = in[0];
    float *sum = (float *)out[0] + spec->attributes.slice.first;

    for (size_t i = 0; i < shape_count(&spec->inputs[0].shape); i++)
        sum[i] = (float)((double)sum[i] + x[i]);
}

const struct reference_op reference_load = {load_run, NULL};
const struct reference_op reference_store = {store_run, NULL};
const struct reference_op reference_sum = {sum_run, NULL};
