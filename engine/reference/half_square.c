#include "engine/reference/reference_ops.h"

static void forward_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                        void *scratch)
{
    const size_t count = shape_count(&spec->inputs[0].shape);
    const float *x = in[0], *weight = in[1];
    float *y = out[0];

    for (size_t n = 0; n < (size_t)spec->inputs[0].n; n++) {
        double sum = 0;

        for (size_t i = n * count; i < (n + 1) * count; i++)
            sum += (double)x[i] * x[i];
        y[n] = (float)(weight[n] / 2.0 * sum);
    }
}

static void grad_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                     void *scratch)
{
    const size_t count = shape_count(&spec->inputs[0].shape);
    const float *x = in[0], *weight = in[1], *dy = in[2];
    float *dx = out[0];

    for (size_t n = 0; n < (size_t)spec->inputs[0].n; n++) {
        for (size_t i = n * count; i < (n + 1) * count; i++)
            dx[i] = (float)((double)weight[n] * dy[n] * x[i]);
    }
}

const struct reference_op reference_half_square = {forward_run, NULL};
const struct reference_op reference_half_square_grad = {grad_run, NULL};
