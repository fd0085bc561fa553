#include "engine/reference/reference_ops.h"
#include "engine/reference/signature.h"
#include "engine/reference/silu.h"

static int unary_check(const struct kernel_spec *spec, struct error *err)
{
    struct signature letters;

    return signature_match(spec, "b* -> b*", &letters, err);
}

static int binary_check(const struct kernel_spec *spec, struct error *err)
{
    struct signature letters;

    return signature_match(spec, "b* b* -> b*", &letters, err);
}

static void silu_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                     void *scratch)
{
    const float *x = in[0];
    float *y = out[0];

    for (size_t i = 0; i < reference_count(&spec->outputs[0]); i++)
        y[i] = (float)silu(x[i]);
}

static void silu_grad_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                          void *scratch)
{
    const float *x = in[0], *dy = in[1];
    float *dx = out[0];

    for (size_t i = 0; i < reference_count(&spec->outputs[0]); i++)
        dx[i] = (float)(dy[i] * silu_derivative(x[i]));
}

static void relu_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                     void *scratch)
{
    const float *x = in[0];
    float *y = out[0];

    for (size_t i = 0; i < reference_count(&spec->outputs[0]); i++)
        y[i] = x[i] < 0 ? 0 : x[i];
}

static void add_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                    void *scratch)
{
    const float *a = in[0], *b = in[1];
    float *y = out[0];

    for (size_t i = 0; i < reference_count(&spec->outputs[0]); i++)
        y[i] = (float)(((double)a[i] + b[i]) * spec->attributes.add.scale);
}

static void affine_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                       void *scratch)
{
    const double scale = spec->attributes.affine.scale, shift = spec->attributes.affine.shift;
    const float *x = in[0];
    float *y = out[0];

    for (size_t i = 0; i < reference_count(&spec->outputs[0]); i++)
        y[i] = (float)(x[i] * scale + shift);
}

static int mix_check(const struct kernel_spec *spec, struct error *err)
{
    const int first = spec->attributes.mix.first, count = spec->n_inputs - 1;
    struct signature letters;
    int rc = signature_match(spec, "nk +n* -> n*", &letters, err);

    if (rc < 0)
        return rc;
    if (first < 0 || count > letters.size['k'] - first)
        return signature_mismatch(spec, err, "coefficients %d + %d of %d", first, count,
                                  letters.size['k']);
    return 0;
}

static void mix_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                    void *scratch)
{
    const int n_coefficients = spec->inputs[0].shape.dims[0], n_x = spec->n_inputs - 1;
    const size_t count = reference_image_count(&spec->outputs[0]);
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

static int multiply_check(const struct kernel_spec *spec, struct error *err)
{
    struct signature letters;
    int rc = signature_match(spec, "nhwc nhwd -> nhwc", &letters, err);

    if (rc < 0)
        return rc;
    if (letters.size['d'] != letters.size['c'] && letters.size['d'] != 1)
        return signature_mismatch(spec, err, "%d channels times %d", letters.size['c'],
                                  letters.size['d']);
    return 0;
}

static void multiply_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                         void *scratch)
{
    const size_t n_c = (size_t)spec->inputs[0].shape.dims[2];
    const bool shared = spec->inputs[1].shape.dims[2] == 1; /* one factor for all channels */
    const float *x = in[0], *m = in[1];
    float *y = out[0];

    for (size_t i = 0; i < reference_count(&spec->outputs[0]); i++)
        y[i] = (float)((double)x[i] * m[shared ? i / n_c : i]);
}

const struct reference_op reference_silu = {unary_check, silu_run, NULL};
const struct reference_op reference_silu_grad = {binary_check, silu_grad_run, NULL};
const struct reference_op reference_relu = {unary_check, relu_run, NULL};
const struct reference_op reference_add = {binary_check, add_run, NULL};
const struct reference_op reference_affine = {unary_check, affine_run, NULL};
const struct reference_op reference_mix = {mix_check, mix_run, NULL};
const struct reference_op reference_multiply = {multiply_check, multiply_run, NULL};
