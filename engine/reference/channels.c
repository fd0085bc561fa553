#include "engine/reference/reference_ops.h"

/* Channels are the last dimension. */
static int channels_of(const struct tensor_desc *tensor)
{
    return tensor->shape.dims[tensor->shape.n_dims - 1];
}

static void concat_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                       void *scratch)
{
    const int n_a = channels_of(&spec->inputs[0]), n_b = channels_of(&spec->inputs[1]);
    const int positions = (int)(tensor_count(&spec->inputs[0]) / (size_t)n_a);
    const float *a = in[0], *b = in[1];
    float *y = out[0];

    for (int p = 0; p < positions; p++) {
        for (int c = 0; c < n_a; c++)
            y[p * (n_a + n_b) + c] = a[p * n_a + c];
        for (int c = 0; c < n_b; c++)
            y[p * (n_a + n_b) + n_a + c] = b[p * n_b + c];
    }
}

static void slice_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                      void *scratch)
{
    const int n_c = channels_of(&spec->inputs[0]), first = spec->attributes.slice.first;
    const int count = spec->attributes.slice.count;
    const int positions = (int)(tensor_count(&spec->inputs[0]) / (size_t)n_c);
    const float *x = in[0];
    float *y = out[0];

    for (int p = 0; p < positions; p++) {
        for (int c = 0; c < count; c++)
            y[p * count + c] = x[p * n_c + first + c];
    }
}

const struct reference_op reference_concat = {concat_run, NULL};
const struct reference_op reference_slice = {slice_run, NULL};
