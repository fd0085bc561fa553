#include "engine/reference/reference_ops.h"
#include "engine/reference/silu.h"

static void silu_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                     void *scratch)
{
    const float *x = in[0];
    float *y = out[0];

    for (size_t i = 0; i < tensor_count(&spec->outputs[0]); i++)
        y[i] = (float)silu(x[i]);
}

static void silu_grad_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                          void *scratch)
{
    const float *x = in[0], *dy = in[1];
    float *dx = out[0];

    for (size_t i = 0; i < tensor_count(&spec->outputs[0]); i++)
        dx[i] = (float)(dy[i] * silu_derivative(x[i]));
}

static void relu_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                     void *scratch)
{
    const float top = spec->attributes.relu.top, *x = in[0];
    float *y = out[0];

    for (size_t i = 0; i < tensor_count(&spec->outputs[0]); i++)
        y[i] = x[i] < 0 ? 0 : x[i] > top ? top : x[i];
}

static void add_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                    void *scratch)
{
    const float *a = in[0], *b = in[1];
    float *y = out[0];

    for (size_t i = 0; i < tensor_count(&spec->outputs[0]); i++)
        y[i] = (float)(((double)a[i] + b[i]) * spec->attributes.add.scale);
}

static void affine_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                       void *scratch)
{
    const double scale = spec->attributes.affine.scale, shift = spec->attributes.affine.shift;
    const float *x = in[0];
    float *y = out[0];

    for (size_t i = 0; i < tensor_count(&spec->outputs[0]); i++)
        y[i] = (float)(x[i] * scale + shift);
}

static void mix_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                    void *scratch)
{
    const int n_coefficients = spec->inputs[0].shape.dims[0], n_x = spec->n_inputs - 1;
    const size_t count = shape_count(&spec->outputs[0].shape);
    float *y = out[0];

    for (int n = 0; n < spec->outputs[0].n; n++) {
        const float *coefficients =
            (const float *)in[0] + n * n_coefficients + spec->attributes.mix.first;

        for (size_t i = 0; i < count; i++) {
            double sum = 0;

            for (int j = 0; j < n_x; j++)
                sum += (double)coefficients[j] * ((const float *)in[1 + j])[(size_t)n * count + i];
            y[(size_t)n * count + i] = (float)sum;
        }
    }
}

static void multiply_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                         void *scratch)
{
    const size_t n_c = (size_t)spec->inputs[0].shape.dims[2];
    const bool shared = spec->inputs[1].shape.dims[2] == 1; /* one factor for all channels */
    const float *x = in[0], *m = in[1];
    float *y = out[0];

    for (size_t i = 0; i < tensor_count(&spec->outputs[0]); i++)
        y[i] = (float)((double)x[i] * m[shared ? i / n_c : i]);
}

static void pixels_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                       void *scratch)
{
    const float *x = in[0];
    uint8_t *y = out[0];

    for (size_t i = 0; i < tensor_count(&spec->outputs[0]); i++) {
        if (!(x[i] > 0)) /* or NaN */
            y[i] = 0;
        else
            y[i] = x[i] >= 1 ? 255 : (uint8_t)(255.0f * x[i] + 0.5f);
    }
}

const struct reference_op reference_silu = {silu_run, NULL};
const struct reference_op reference_silu_grad = {silu_grad_run, NULL};
const struct reference_op reference_relu = {relu_run, NULL};
const struct reference_op reference_add = {add_run, NULL};
const struct reference_op reference_affine = {affine_run, NULL};
const struct reference_op reference_mix = {mix_run, NULL};
const struct reference_op reference_multiply = {multiply_run, NULL};
const struct reference_op reference_pixels = {pixels_run, NULL};
