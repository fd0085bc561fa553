/* Reading and writing state, adding sums up, rows of tables. */
#include "engine/reference/reference_ops.h"

#include <string.h>

static void load_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                     void *scratch)
{
    const size_t count = shape_count(&spec->outputs[0].shape);
    const uint32_t *slots = in[1];

    for (size_t n = 0; n < (size_t)spec->outputs[0].n; n++) {
        float *y = (float *)out[0] + n * count;

        if (slots[n] == SLOT_NONE)
            memset(y, 0, count * sizeof(float));
        else
            memcpy(y, (const float *)in[0] + slots[n] * count, count * sizeof(float));
    }
}

static void store_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                      void *scratch)
{
    const size_t count = shape_count(&spec->inputs[0].shape);
    const uint32_t *slots = in[1];

    for (size_t n = 0; n < (size_t)spec->inputs[0].n; n++) {
        if (slots[n] != SLOT_NONE)
            memcpy((float *)out[0] + slots[n] * count, (const float *)in[0] + n * count,
                   count * sizeof(float));
    }
}

static void sum_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                    void *scratch)
{
    const float *x = in[0];
    float *sum = (float *)out[0] + spec->attributes.slice.first;

    for (size_t i = 0; i < shape_count(&spec->inputs[0].shape); i++)
        sum[i] = (float)((double)sum[i] + x[i]);
}

static void lookup_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                       void *scratch)
{
    const size_t count = shape_count(&spec->outputs[0].shape);
    const float *table = in[0], *index = in[1];

    for (size_t n = 0; n < (size_t)spec->outputs[0].n; n++)
        memcpy((float *)out[0] + n * count, table + (index ? (size_t)index[n] : 0) * count,
               count * sizeof(float));
}

static void lookup_grad_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                            void *scratch)
{
    const size_t count = shape_count(&spec->inputs[1].shape);
    const size_t n_rows = (size_t)spec->outputs[0].shape.dims[0];
    const float *index = in[0], *dy = in[1];
    float *dtable = out[0];

    for (size_t row = 0; row < n_rows; row++) {
        for (size_t i = 0; i < count; i++) {
            double sum = 0;

            for (size_t n = 0; n < (size_t)spec->inputs[1].n; n++)
                sum += (size_t)index[n] == row ? dy[n * count + i] : 0;
            dtable[row * count + i] = (float)sum;
        }
    }
}

const struct reference_op reference_lookup = {lookup_run, NULL};
const struct reference_op reference_lookup_grad = {lookup_grad_run, NULL};
const struct reference_op reference_load = {load_run, NULL};
const struct reference_op reference_store = {store_run, NULL};
const struct reference_op reference_sum = {sum_run, NULL};
