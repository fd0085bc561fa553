/* Linear operators that come as short rows, a few numbers for each image.
 *
 * The second product of a Toeplitz operator mixes columns, whose channels lie too close together to
 * fill a vector (c is 3). So the image is transposed to [w,h,c] between the two, and back at the
 * end: then both products mix whole rows. Rows of weights that end in zeros, as those of a mild blur
 * do, leave a band; what is outside is skipped, which changes no sum.
 */
#include "engine/cpu/cpu_kernels.h"
#include "engine/cpu/kernel_memory.h"
#include "engine/cpu/loops.h"
#include "engine/base/error.h"

#include <errno.h>
#include <string.h>

enum {
    BAND_ROWS = 4, /* computed together */
    OPERATOR_MODES_MAX = 16,
};

struct row_operator {
    struct kernel kernel; /* first: device.h */
    const struct cpu_loops *loops;
    size_t n;       /* images */
    size_t h, w, c; /* of x */
    bool reflect;
    size_t image_floats, matrix_floats; /* of the parts of scratch */
    size_t entry;                       /* floats of an entry of a table */
    size_t modes;
};

static size_t count_of(const struct row_operator *k)
{
    return k->h * k->w * k->c;
}

/* The matrix of a row, [n,n]. Returns how far from its diagonal it reaches. */
static size_t expand(const float *row, size_t n, bool reflect, float *matrix)
{
    size_t reach = n - 1;

    while (!reflect && reach > 0 && row[reach] == 0)
        reach--;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++)
            matrix[i * n + j] = row[i < j ? j - i : i - j];
    }
    for (size_t i = 0; i < n && reflect; i++) {
        for (size_t j = 0; j < n; j++) {
            size_t k = i + j + 1;

            if (k != n)
                matrix[i * n + j] += row[k < n ? k : 2 * n - k];
        }
    }
    return reach;
}

/* y = A x with x and y [n,width]. */
static void band_product(const struct product_loops *loops, const float *matrix, size_t n,
                         size_t reach, const float *x, float *y, size_t width)
{
    for (size_t i = 0; i < n; i += BAND_ROWS) {
        size_t n_rows = n - i < BAND_ROWS ? n - i : BAND_ROWS;
        size_t first = i > reach ? i - reach : 0;
        size_t end = i + n_rows + reach < n ? i + n_rows + reach : n;

        loops->matrix(matrix + i * n + first, n, 1, x + first * width, y + i * width, n_rows,
                      end - first, width);
    }
}

static int toeplitz_run(const struct kernel *kernel, int stage, int part,
                        const struct kernel_args *args, struct error *err)
{
    const struct row_operator *k = (const struct row_operator *)kernel;
    const struct product_loops *loops = k->loops->product;
    const float *x = args->in[0], *a = args->in[1], *b = args->in[2], *gate = args->in[3];
    float *y = args->out[0], *one = args->scratch, *two = one + k->image_floats;
    float *matrix = two + k->image_floats;

    for (size_t i = 0; i < k->n; i++, x += count_of(k), y += count_of(k)) {
        size_t reach;

        if (gate && gate[i] == 0) {
            memset(y, 0, count_of(k) * sizeof(*y));
            continue;
        }
        reach = expand(a + i * k->h, k->h, k->reflect, matrix);
        band_product(loops, matrix, k->h, reach, x, one, k->w * k->c);
        loops->transpose(one, two, k->h, k->w, k->c);
        if (b)
            reach = expand(b + i * k->w, k->w, k->reflect, matrix);
        band_product(loops, matrix, k->w, reach, two, one, k->h * k->c);
        loops->transpose(one, y, k->w, k->h, k->c);
    }
    return 0;
}

static int multiply_table_run(const struct kernel *kernel, int stage, int part,
                              const struct kernel_args *args, struct error *err)
{
    const struct row_operator *k = (const struct row_operator *)kernel;
    const float *table = args->in[1], *place = args->in[2];
    size_t count = count_of(k), per_factor = count / k->entry;

    for (size_t i = 0; i < k->n; i++) {
        const float *restrict low = table + (size_t)place[2 * i] * k->entry;
        const float *restrict high = low + k->entry;
        const float *restrict x = (const float *)args->in[0] + i * count;
        float *restrict y = (float *)args->out[0] + i * count;
        float fraction = place[2 * i + 1], rest = 1 - fraction;

        for (size_t j = 0; j < k->entry && per_factor == 1; j++)
            y[j] = x[j] * (rest * low[j] + fraction * high[j]);
        for (size_t j = 0; j < count && per_factor > 1; j++)
            y[j] = x[j] * (rest * low[j / per_factor] + fraction * high[j / per_factor]);
    }
    return 0;
}

static int multiply_rank_run(const struct kernel *kernel, int stage, int part,
                             const struct kernel_args *args, struct error *err)
{
    const struct row_operator *k = (const struct row_operator *)kernel;
    const float *x = args->in[0], *rank = args->in[1], *level = args->in[2];
    float *y = args->out[0];

    for (size_t i = 0; i < k->n; i++) {
        for (size_t p = 0; p < k->h * k->w; p++, x += k->c, y += k->c) {
            float m = (level[2 * i] - rank[p]) + level[2 * i + 1];

            m = m < 0 ? 0 : m > 1 ? 1 : m;
            for (size_t channel = 0; channel < k->c; channel++)
                y[channel] = x[channel] * m;
        }
    }
    return 0;
}

/* One channel of one image. */
static void add_modes(const struct row_operator *k, const float *basis, const float *coefficients,
                      float *y)
{
    float row[OPERATOR_MODES_MAX];

    for (size_t i = 0; i < k->h; i++) {
        const float *coefficient = coefficients;

        memset(row, 0, sizeof(row));
        for (size_t m = 0; m < k->modes; m++) {
            for (size_t l = 0; m + l < k->modes; l++)
                row[l] += basis[i * k->modes + m] * *coefficient++;
        }
        for (size_t j = 0; j < k->w; j++) {
            float sum = 0;

            for (size_t l = 0; l < k->modes; l++)
                sum += row[l] * basis[j * k->modes + l];
            y[(i * k->w + j) * k->c] += sum;
        }
    }
}

static int modes_run(const struct kernel *kernel, int stage, int part,
                     const struct kernel_args *args, struct error *err)
{
    const struct row_operator *k = (const struct row_operator *)kernel;
    size_t pairs = k->modes * (k->modes + 1) / 2;
    const float *coefficients = args->in[1];
    float *y = args->out[0];

    memcpy(y, args->in[0], k->n * count_of(k) * sizeof(*y));
    for (size_t i = 0; i < k->n; i++) {
        for (size_t channel = 0; channel < k->c; channel++)
            add_modes(k, args->in[2], coefficients + (i * k->c + channel) * pairs,
                      y + i * count_of(k) + channel);
    }
    return 0;
}

static const struct kernel_ops *ops_of(enum op_kind kind)
{
    static const struct kernel_ops toeplitz = {.run = toeplitz_run, .destroy = kernel_free};
    static const struct kernel_ops table = {.run = multiply_table_run, .destroy = kernel_free};
    static const struct kernel_ops rank = {.run = multiply_rank_run, .destroy = kernel_free};
    static const struct kernel_ops modes = {.run = modes_run, .destroy = kernel_free};

    return kind == OP_TOEPLITZ         ? &toeplitz
           : kind == OP_MULTIPLY_TABLE ? &table
           : kind == OP_MULTIPLY_RANK  ? &rank
                                       : &modes;
}

int cpu_operator_create(struct cpu_device *device, const struct kernel_spec *spec,
                        struct kernel **out, struct error *err)
{
    const int *dims = spec->inputs[0].shape.dims;
    struct row_operator *k = NULL;

    if (spec->kind == OP_MODES && spec->inputs[2].shape.dims[1] > OPERATOR_MODES_MAX)
        return error_set(err, -ENOTSUP, "modes on the cpu: more than %d modes", OPERATOR_MODES_MAX);
    k = kernel_allocate(spec->kind, sizeof(*k), ops_of(spec->kind), err);
    if (!k)
        return -ENOMEM;
    k->loops = loops_best();
    k->n = (size_t)spec->inputs[0].n;
    k->h = (size_t)dims[0];
    k->w = (size_t)dims[1];
    k->c = (size_t)dims[2];
    if (spec->kind == OP_MULTIPLY_TABLE)
        k->entry = k->h * k->w * (size_t)spec->inputs[1].shape.dims[3];
    if (spec->kind == OP_MODES)
        k->modes = (size_t)spec->inputs[2].shape.dims[1];
    if (spec->kind == OP_TOEPLITZ) {
        size_t side = k->h > k->w ? k->h : k->w;

        k->reflect = spec->attributes.toeplitz.reflect;
        k->image_floats = scratch_align(count_of(k) * sizeof(float)) / sizeof(float);
        k->matrix_floats = side * side;
        k->kernel.scratch_bytes = (2 * k->image_floats + k->matrix_floats) * sizeof(float);
    }
    *out = &k->kernel;
    return 0;
}
