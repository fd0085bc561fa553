#include "engine/reference/reference_ops.h"

/* Scratch: a X of one image in double, [rows of y, columns of x, c]. */
static size_t separable_scratch_bytes(const struct kernel_spec *spec)
{
    const int *xs = spec->inputs[0].shape.dims, *ys = spec->outputs[0].shape.dims;

    return (size_t)ys[0] * (size_t)xs[1] * (size_t)xs[2] * sizeof(double);
}

/* The matrix of image n, its element (row of y, row of x) wherever it is stored. */
struct matrix {
    const float *data;
    int step_y, step_x;
};

static struct matrix matrix_of(const struct kernel_spec *spec, int input, const float *data, int n)
{
    const struct tensor_desc *desc = &spec->inputs[input];
    const int n_columns = desc->shape.dims[1];
    const bool transposed = spec->attributes.separable.transposed;
    struct matrix m = {
        .data = data + (desc->shape.batched ? (size_t)n * shape_count(&desc->shape) : 0),
        .step_y = transposed ? 1 : n_columns,
        .step_x = transposed ? n_columns : 1,
    };

    return m;
}

static void separable_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                          void *scratch)
{
    const int *xs = spec->inputs[0].shape.dims, *ys = spec->outputs[0].shape.dims;
    const int xh = xs[0], xw = xs[1], n_c = xs[2], yh = ys[0], yw = ys[1];
    double *rows = scratch;

    for (int n = 0; n < spec->inputs[0].n; n++) {
        const struct matrix a = matrix_of(spec, 1, in[1], n), b = matrix_of(spec, 2, in[2], n);
        const float *x = (const float *)in[0] + n * xh * xw * n_c;
        float *y = (float *)out[0] + n * yh * yw * n_c;

        for (int i = 0; i < yh; i++) {
            for (int e = 0; e < xw * n_c; e++) {
                double sum = 0;

                for (int p = 0; p < xh; p++)
                    sum += (double)a.data[i * a.step_y + p * a.step_x] * x[p * xw * n_c + e];
                rows[i * xw * n_c + e] = sum;
            }
        }
        for (int i = 0; i < yh; i++) {
            for (int j = 0; j < yw; j++) {
                for (int c = 0; c < n_c; c++) {
                    double sum = 0;

                    for (int q = 0; q < xw; q++)
                        sum += b.data[j * b.step_y + q * b.step_x] * rows[(i * xw + q) * n_c + c];
                    y[(i * yw + j) * n_c + c] = (float)sum;
                }
            }
        }
    }
}

const struct reference_op reference_separable = {separable_run, separable_scratch_bytes};
