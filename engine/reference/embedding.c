#include "engine/reference/reference_ops.h"

#include <math.h>

static void fourier_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                        void *scratch)
{
    const int n_f = spec->inputs[1].shape.dims[0];
    const float pi = 3.14159265358979323846f, *time_cond = in[0], *weight = in[1];
    float *y = out[0];

    for (int n = 0; n < spec->inputs[0].n; n++) {
        const float u = (float)log(time_cond[n]);

        for (int f = 0; f < n_f; f++) {
            /* Arguments reach hundreds of radians: the roundings are part of the definition. */
            float angle = u * weight[f];

            angle = angle * 2;
            angle = angle * pi;
            y[n * 2 * n_f + f] = (float)sin(angle);
            y[n * 2 * n_f + n_f + f] = (float)cos(angle);
        }
    }
}

static void positional_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                           void *scratch)
{
    const int half = spec->outputs[0].shape.dims[0] / 2;
    const float step = (float)(-log(10000) / (half - 1)), *time_cond = in[0];
    float *y = out[0];

    for (int n = 0; n < spec->inputs[0].n; n++) {
        for (int j = 0; j < half; j++) {
            /* Rounded to float32 at every step, for arguments near a thousand. */
            const float exponent = (float)j * step, frequency = (float)exp(exponent);
            const float angle = time_cond[n] * frequency;

            y[n * 2 * half + j] = (float)sin(angle);
            y[n * 2 * half + half + j] = (float)cos(angle);
        }
    }
}

const struct reference_op reference_fourier = {fourier_run, NULL};
const struct reference_op reference_positional = {positional_run, NULL};
