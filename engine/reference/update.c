/* The optimiser. Sources: engine/op.h; Kingma and Ba 2015 (arXiv:1412.6980) in the form of
 * torch.optim.Adam. */
#include "engine/reference/reference_ops.h"

#include <math.h>

enum { CLIP, BETA1, BETA2, REST1, REST2, STEP, ROOT, EPS }; /* of the numbers of OP_ADAM */

static void norm_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                     void *scratch)
{
    const float *x = in[0];
    double sum = 0;

    for (size_t i = 0; i < shape_count(&spec->inputs[0].shape); i++)
        sum += (double)x[i] * x[i];
    *(float *)out[0] = (float)sqrt(sum);
}

static void adam_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                     void *scratch)
{
    const double norm = *(const float *)in[4];
    const float *numbers = in[5];
    const double clip = numbers[CLIP] > 0 ? fmin(1, (double)numbers[CLIP] / (norm + 1e-6)) : 1;
    float *weights = out[0], *m = out[1], *v = out[2], *gradient = out[3];

    for (size_t i = 0; i < shape_count(&spec->inputs[0].shape); i++) {
        const double g = gradient[i] * clip;

        gradient[i] = 0;
        if (!isfinite(norm))
            continue;
        m[i] = (float)((double)numbers[BETA1] * m[i] + (double)numbers[REST1] * g);
        v[i] = (float)((double)numbers[BETA2] * v[i] + (double)numbers[REST2] * g * g);
        weights[i] = (float)(weights[i] - (double)numbers[STEP] * m[i] /
                                              (sqrt((double)v[i]) / (double)numbers[ROOT] +
                                               (double)numbers[EPS]));
    }
}

static void average_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                        void *scratch)
{
    const float *weights = in[1], norm = *(const float *)in[2];
    const double rate = ((const float *)in[3])[spec->attributes.slice.first];
    float *average = out[0];

    for (size_t i = 0; i < shape_count(&spec->inputs[0].shape) && isfinite(norm); i++)
        average[i] = (float)(average[i] + rate * ((double)weights[i] - average[i]));
}

const struct reference_op reference_norm = {norm_run, NULL};
const struct reference_op reference_adam = {adam_run, NULL};
const struct reference_op reference_average = {average_run, NULL};
