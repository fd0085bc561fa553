/* Linear operators that come as short rows, a few numbers for each image. */
#include "engine/reference/reference_ops.h"

static double reflected(const float *row, int n, int k)
{
    if (k == n)
        return 0;
    return row[k < n ? k : 2 * n - k];
}

/* The element (i, j) of the matrix that a row of n stands for. */
static double element(const struct kernel_spec *spec, const float *row, int n, int i, int j)
{
    double near = row[i < j ? j - i : i - j];

    return spec->attributes.toeplitz.reflect ? near + reflected(row, n, i + j + 1) : near;
}

/* Scratch: A X of one image in double. */
static size_t toeplitz_scratch_bytes(const struct kernel_spec *spec)
{
    return shape_count(&spec->inputs[0].shape) * sizeof(double);
}

static void toeplitz_image(const struct kernel_spec *spec, const float *a, const float *b,
                           const float *x, double *rows, float *y)
{
    const int *dims = spec->inputs[0].shape.dims;
    const int h = dims[0], w = dims[1], c = dims[2];

    for (int i = 0; i < h; i++) {
        for (int e = 0; e < w * c; e++) {
            double sum = 0;

            for (int j = 0; j < h; j++)
                sum += element(spec, a, h, i, j) * x[j * w * c + e];
            rows[i * w * c + e] = sum;
        }
    }
    for (int i = 0; i < h; i++) {
        for (int j = 0; j < w; j++) {
            for (int channel = 0; channel < c; channel++) {
                double sum = 0;

                for (int k = 0; k < w; k++)
                    sum += element(spec, b, w, j, k) * rows[(i * w + k) * c + channel];
                y[(i * w + j) * c + channel] = (float)sum;
            }
        }
    }
}

static void toeplitz_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                         void *scratch)
{
    const size_t count = shape_count(&spec->inputs[0].shape);
    const size_t h = (size_t)spec->inputs[0].shape.dims[0],
                 w = (size_t)spec->inputs[0].shape.dims[1];
    const float *x = in[0], *a = in[1], *b = in[2] ? in[2] : in[1], *gate = in[3];
    float *y = out[0];

    for (size_t n = 0; n < (size_t)spec->inputs[0].n; n++) {
        if (!gate || gate[n] != 0) {
            toeplitz_image(spec, a + n * h, b + n * w, x + n * count, scratch, y + n * count);
            continue;
        }
        for (size_t i = 0; i < count; i++)
            y[n * count + i] = 0;
    }
}

static void multiply_table_run(const struct kernel_spec *spec, const void *const *in,
                               void *const *out, void *scratch)
{
    const size_t count = shape_count(&spec->inputs[0].shape);
    const size_t c = (size_t)spec->inputs[0].shape.dims[2];
    const bool shared = spec->inputs[1].shape.dims[3] == 1; /* one factor for all channels */
    const size_t entry = shared ? count / c : count;
    const float *x = in[0], *table = in[1], *place = in[2];
    float *y = out[0];

    for (size_t n = 0; n < (size_t)spec->inputs[0].n; n++) {
        const float *low = table + (size_t)place[2 * n] * entry, *high = low + entry;
        const float fraction = place[2 * n + 1];

        for (size_t i = 0; i < count; i++) {
            const size_t e = shared ? i / c : i;
            const float kept = (1 - fraction) * low[e], added = fraction * high[e];
            const float factor = kept + added;

            y[n * count + i] = x[n * count + i] * factor;
        }
    }
}

static void multiply_rank_run(const struct kernel_spec *spec, const void *const *in,
                              void *const *out, void *scratch)
{
    const size_t count = shape_count(&spec->inputs[0].shape);
    const size_t c = (size_t)spec->inputs[0].shape.dims[2];
    const float *x = in[0], *rank = in[1], *level = in[2];
    float *y = out[0];

    for (size_t n = 0; n < (size_t)spec->inputs[0].n; n++) {
        for (size_t i = 0; i < count; i++) {
            double m = ((double)level[2 * n] - rank[i / c]) + level[2 * n + 1];

            m = m < 0 ? 0 : m > 1 ? 1 : m;
            y[n * count + i] = (float)(x[n * count + i] * m);
        }
    }
}

/* One channel of one image; step: elements from pixel to pixel. */
static void add_modes(const float *basis, int side, int modes, const float *coefficients, int step,
                      const float *x, float *y)
{
    for (int i = 0; i < side; i++) {
        for (int j = 0; j < side; j++) {
            const float *coefficient = coefficients;
            double sum = 0;

            for (int k = 0; k < modes; k++) {
                for (int l = 0; k + l < modes; l++)
                    sum += (double)basis[i * modes + k] * *coefficient++ * basis[j * modes + l];
            }
            y[(i * side + j) * step] = (float)(x[(i * side + j) * step] + sum);
        }
    }
}

static void modes_run(const struct kernel_spec *spec, const void *const *in, void *const *out,
                      void *scratch)
{
    const size_t count = shape_count(&spec->inputs[0].shape);
    const int side = spec->inputs[0].shape.dims[0], c = spec->inputs[0].shape.dims[2];
    const int modes = spec->inputs[2].shape.dims[1], pairs = modes * (modes + 1) / 2;
    const float *coefficients = in[1];

    for (int n = 0; n < spec->inputs[0].n; n++) {
        const float *x = (const float *)in[0] + (size_t)n * count;
        float *y = (float *)out[0] + (size_t)n * count;

        for (int channel = 0; channel < c; channel++)
            add_modes(in[2], side, modes, coefficients + (n * c + channel) * pairs, c, x + channel,
                      y + channel);
    }
}

const struct reference_op reference_toeplitz = {toeplitz_run, toeplitz_scratch_bytes};
const struct reference_op reference_multiply_table = {multiply_table_run, NULL};
const struct reference_op reference_multiply_rank = {multiply_rank_run, NULL};
const struct reference_op reference_modes = {modes_run, NULL};
