/* Resampling with a 4x4 kernel: upfirdn.
 *
 * Which input samples an output sample sums, and with which weights, is worked out per axis when
 * the kernel is made. A kernel that is the product of a column and a row (all that the network
 * uses) filters each output row twice: input rows into a float32 row, then along that row.
 * Others sum up to sixteen pixels for each pixel. */
#include "engine/cpu/cpu_kernels.h"
#include "engine/cpu/loops.h"
#include "engine/cpu/kernel_memory.h"
#include "engine/base/error.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

enum { SIDE = 4 };      /* of the kernel */
enum { PART_ROWS = 8 }; /* of y */

struct upfirdn {
    struct kernel kernel; /* first: device.h */
    const struct cpu_loops *loops;
    enum dtype type;
    int n;
    int h, w, h_out, w_out;
    size_t c;
    int up;
    /* [h_out], [w_out], owned. Weights are of the column and the row if separable; otherwise
     * weight[0] is the place, along the flipped kernel, of the first one. */
    struct fir_taps *rows, *columns;
    bool separable;
    float flipped[SIDE][SIDE]; /* as a correlation */
    bool bias;
};

static void upfirdn_destroy(struct kernel *kernel)
{
    struct upfirdn *k = (struct upfirdn *)kernel;

    free(k->rows);
    free(k->columns);
    free(k);
}

/* The product of the kernel's row sums and its column sums over the total is the kernel itself if
 * it has rank one. Exact for kernels made from small whole numbers, as [1,3,3,1] is. */
static bool kernel_factors(const float kernel[16], float column[SIDE], float row[SIDE])
{
    double row_sums[SIDE] = {0}, column_sums[SIDE] = {0}, total = 0.0, largest = 0.0;

    for (int i = 0; i < SIDE; i++) {
        for (int j = 0; j < SIDE; j++) {
            double value = kernel[i * SIDE + j];

            row_sums[i] += value;
            column_sums[j] += value;
            total += value;
            largest = fmax(largest, fabs(value));
        }
    }
    if (fabs(total) < 1e-3 * largest || largest == 0.0)
        return false;
    for (int i = 0; i < SIDE; i++) {
        column[i] = (float)row_sums[i];
        row[i] = (float)(column_sums[i] / total);
    }
    for (int i = 0; i < SIDE; i++) {
        for (int j = 0; j < SIDE; j++) {
            if (fabs((double)column[i] * row[j] - kernel[i * SIDE + j]) > 1e-7 * largest)
                return false;
        }
    }
    return true;
}

/* The taps of the n_out output samples of an axis. weight: of the kernel, NULL to store places. */
static struct fir_taps *axis_taps(int n_in, int n_out, int up, int down, int pad,
                                  const float *weight)
{
    struct fir_taps *taps = calloc((size_t)n_out, sizeof(*taps));

    if (!taps)
        return NULL;
    for (int i = 0; i < n_out; i++) {
        for (int t = 0; t < SIDE; t++) {
            int j = i * down + t - pad; /* on the grid with zeros between samples */

            if (j < 0 || j >= n_in * up || j % up != 0)
                continue;
            if (taps[i].n == 0) {
                taps[i].first = j / up;
                taps[i].weight[0] = (float)t;
            }
            if (weight)
                taps[i].weight[taps[i].n] = weight[SIDE - 1 - t];
            taps[i].n++;
        }
    }
    return taps;
}

static const char *row_at(const struct upfirdn *k, const char *image, int row)
{
    return image + (size_t)row * (size_t)k->w * k->c * dtype_size(k->type);
}

static void row_separable(const struct upfirdn *k, const char *image, const struct fir_taps *taps,
                          const float *bias, char *y, float *scratch)
{
    const void *x[SIDE] = {NULL};
    enum dtype types[SIDE];

    for (int i = 0; i < taps->n; i++) {
        x[i] = row_at(k, image, taps->first + i);
        types[i] = k->type;
    }
    k->loops->product->combine(x, types, taps->weight, taps->n, (size_t)k->w * k->c, scratch,
                               DTYPE_F32);
    k->loops->product->filter_row(scratch, k->columns, (size_t)k->w_out, k->c, bias, y, k->type);
}

static void row_general(const struct upfirdn *k, const char *image, const struct fir_taps *taps,
                        const float *bias, char *y, float *scratch)
{
    size_t pixel_bytes = k->c * dtype_size(k->type);

    for (int j = 0; j < k->w_out; j++) {
        const struct fir_taps *column = &k->columns[j];
        const void *x[SIDE * SIDE];
        enum dtype types[SIDE * SIDE];
        float weight[SIDE * SIDE];
        int n = 0;

        for (int a = 0; a < taps->n; a++) {
            for (int b = 0; b < column->n; b++) {
                x[n] =
                    row_at(k, image, taps->first + a) + (size_t)(column->first + b) * pixel_bytes;
                types[n] = k->type;
                weight[n++] = k->flipped[(int)taps->weight[0] + a * k->up]
                                        [(int)column->weight[0] + b * k->up];
            }
        }
        k->loops->product->combine(x, types, weight, n, k->c, scratch, DTYPE_F32);
        for (size_t i = 0; bias && i < k->c; i++)
            scratch[i] += bias[i];
        k->loops->pointwise->affine(scratch, DTYPE_F32, y, k->type, k->c, 1.0f, 0.0f);
        y += pixel_bytes;
    }
}

/* A part is some rows of an image of y. */
static int upfirdn_run(const struct kernel *kernel, int stage, int part,
                       const struct kernel_args *args, struct error *err)
{
    const struct upfirdn *k = (const struct upfirdn *)kernel;
    size_t row_bytes = (size_t)k->w_out * k->c * dtype_size(k->type);
    int n_parts = (k->h_out + PART_ROWS - 1) / PART_ROWS; /* of an image */
    int image = part / n_parts, first = part % n_parts * PART_ROWS;
    int end = first + PART_ROWS < k->h_out ? first + PART_ROWS : k->h_out;
    const char *x = row_at(k, args->in[0], image * k->h);
    const float *bias = k->bias ? args->in[1] : NULL;
    char *y = (char *)args->out[0] + (size_t)(image * k->h_out + first) * row_bytes;

    for (int row = first; row < end; row++, y += row_bytes) {
        if (k->separable)
            row_separable(k, x, &k->rows[row], bias, y, args->scratch);
        else
            row_general(k, x, &k->rows[row], bias, y, args->scratch);
    }
    return 0;
}

int cpu_upfirdn_create(struct cpu_device *device, const struct kernel_spec *spec,
                       struct kernel **out, struct error *err)
{
    static const struct kernel_ops ops = {.run = upfirdn_run, .destroy = upfirdn_destroy};
    const struct tensor_desc *x = &spec->inputs[0], *y = &spec->outputs[0];
    const float *kernel = spec->attributes.upfirdn.kernel;
    const int *pad = spec->attributes.upfirdn.pad;
    int up = spec->attributes.upfirdn.up, down = spec->attributes.upfirdn.down;
    float column[SIDE], row[SIDE];
    struct upfirdn *k = kernel_allocate(spec->kind, sizeof(*k), &ops, err);

    if (!k)
        return -ENOMEM;
    k->loops = loops_best();
    k->type = x->dtype;
    k->n = x->n;
    k->h = x->shape.dims[0];
    k->w = x->shape.dims[1];
    k->c = (size_t)x->shape.dims[2];
    k->h_out = y->shape.dims[0];
    k->w_out = y->shape.dims[1];
    k->up = up;
    k->kernel.n_parts[0] = k->n * ((k->h_out + PART_ROWS - 1) / PART_ROWS);
    for (int i = 0; i < SIDE * SIDE; i++)
        k->flipped[i / SIDE][i % SIDE] = kernel[SIDE * SIDE - 1 - i];
    k->separable = kernel_factors(kernel, column, row);
    k->rows = axis_taps(k->h, k->h_out, up, down, pad[0], k->separable ? column : NULL);
    k->columns = axis_taps(k->w, k->w_out, up, down, pad[2], k->separable ? row : NULL);
    if (!k->rows || !k->columns) {
        upfirdn_destroy(&k->kernel);
        return error_set(err, -ENOMEM, "out of memory making a kernel for %s", op_name(spec->kind));
    }
    k->bias = spec->n_inputs > 1 && !spec->inputs[1].absent;
    k->kernel.scratch_bytes = scratch_align((size_t)k->w * k->c * sizeof(float));
    *out = &k->kernel;
    return 0;
}
