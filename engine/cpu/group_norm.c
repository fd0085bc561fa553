/* Group normalisation, with SiLU and the per-image channel shift in the same pass, and its
 * gradient.
 *
 * An image is read twice: once for sums per channel, once to write the result with two numbers
 * per channel. Sums are taken of x minus the image's first pixel: a mean that is large against
 * the deviation (mean 10, deviation 1e-3) then costs no digits, and the sums of squares need no
 * second pass. Channels become groups in double precision.
 *
 * Where channels are few, several pixels are folded into one row of loops.h's norm_loops, so that
 * a row fills vectors; sums over such columns are added up per channel afterwards. */
#include "engine/cpu/cpu_kernels.h"
#include "engine/cpu/loops.h"
#include "engine/cpu/kernel_memory.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { COLUMN_WIDTH_MIN = 256, COLUMN_LANES = 16 };
enum { BAND_ELEMENTS = 32768, BANDS_MAX = 8 };

struct group_norm {
    struct kernel kernel; /* first: device.h */
    const struct cpu_loops *loops;
    enum dtype type;
    int n, groups;
    size_t pixels, c;
    size_t fold; /* pixels in a row of norm_loops */
    int n_bands; /* an image is split into, forward */
    float eps;
    bool silu, shifted;
};

/* The arrays in the gradient's scratch, of one float per column of a folded row. */
enum backward_array {
    BACKWARD_CENTRE,
    BACKWARD_RSTD,
    BACKWARD_OFFSET,
    BACKWARD_GAMMA,
    BACKWARD_BETA,
    BACKWARD_DX_G,
    BACKWARD_DX_X,
    BACKWARD_DX_1,
    BACKWARD_SUM_G,
    BACKWARD_SUM_GX,
    BACKWARD_SUM_X,
    BACKWARD_ARRAYS
};

static size_t columns_bytes(const struct group_norm *k)
{
    return scratch_align(k->fold * k->c * sizeof(float));
}

static float *columns_array(const struct group_norm *k, void *scratch, int i)
{
    void *array = (char *)scratch + (size_t)i * columns_bytes(k);

    return array;
}

static void columns_clear(const struct group_norm *k, float *array)
{
    memset(array, 0, k->fold * k->c * sizeof(*array));
}

/* Writes channel values over to the other pixels of a folded row. */
static void columns_repeat(const struct group_norm *k, float *array)
{
    for (size_t i = 1; i < k->fold; i++)
        memcpy(array + i * k->c, array, k->c * sizeof(*array));
}

/* Adds the columns of a folded row up per channel, into the first c. */
static void columns_gather(const struct group_norm *k, float *array)
{
    for (size_t channel = 0; channel < k->c; channel++) {
        double sum = 0.0;

        for (size_t i = 0; i < k->fold; i++)
            sum += array[i * k->c + channel];
        array[channel] = (float)sum;
    }
}

static const void *element_at(const struct group_norm *k, const void *x, size_t i)
{
    return (const char *)x + i * dtype_size(k->type);
}

static void *element_at_mutable(const struct group_norm *k, void *x, size_t i)
{
    return (char *)x + i * dtype_size(k->type);
}

/* Mean and variance of each group of u = x + shift.
 * origin, sum, square: per channel, of x - origin. shift: [c] or NULL. */
static void group_statistics(const struct group_norm *k, int group, const float *origin,
                             const float *sum, const float *square, const float *shift,
                             double *mean, double *variance)
{
    size_t width = k->c / (size_t)k->groups, first = (size_t)group * width;
    double pixels = (double)k->pixels, total = 0.0, squares = 0.0;

    for (size_t i = first; i < first + width; i++)
        total += (double)origin[i] + (shift ? (double)shift[i] : 0.0) + sum[i] / pixels;
    *mean = total / (double)width;
    for (size_t i = first; i < first + width; i++) {
        double centre = sum[i] / pixels; /* the channel's mean, from origin */
        double apart = (double)origin[i] + (shift ? (double)shift[i] : 0.0) + centre - *mean;

        squares += square[i] - pixels * centre * centre + pixels * apart * apart;
    }
    *variance = squares / (pixels * (double)width);
    if (*variance < 0.0)
        *variance = 0.0;
}

/* An image in the memory that the stages share: centre, scale and offset of the channels, then
 * origin, sum and square of each band. */
enum { IMAGE_CENTRE, IMAGE_SCALE, IMAGE_OFFSET, IMAGE_BANDS };
enum { BAND_ORIGIN, BAND_SUM, BAND_SQUARE, BAND_ARRAYS };

static size_t image_shared_bytes(const struct group_norm *k)
{
    return columns_bytes(k) * (size_t)(IMAGE_BANDS + BAND_ARRAYS * k->n_bands);
}

static float *band_array(const struct group_norm *k, void *shared, int band, int array)
{
    return columns_array(k, shared, IMAGE_BANDS + BAND_ARRAYS * band + array);
}

/* A band is elements [*first, *first + the result) of an image: whole folded rows. */
static size_t band_range(const struct group_norm *k, int band, size_t *first)
{
    size_t n_rows = (k->pixels + k->fold - 1) / k->fold, width = k->fold * k->c;
    size_t end = n_rows * (size_t)(band + 1) / (size_t)k->n_bands * width;

    *first = n_rows * (size_t)band / (size_t)k->n_bands * width;
    return (end < k->pixels * k->c ? end : k->pixels * k->c) - *first;
}

/* Sums over a band, of x minus the image's first pixel. */
static void band_sum(const struct group_norm *k, const void *x, int band, void *shared)
{
    float *origin = band_array(k, shared, band, BAND_ORIGIN);
    float *sum = band_array(k, shared, band, BAND_SUM);
    float *square = band_array(k, shared, band, BAND_SQUARE);
    size_t first, count = band_range(k, band, &first);

    k->loops->pointwise->affine(x, k->type, origin, DTYPE_F32, k->c, 1.0f, 0.0f);
    columns_repeat(k, origin);
    columns_clear(k, sum);
    columns_clear(k, square);
    k->loops->norm->sums(element_at(k, x, first), k->type, count, k->fold * k->c, origin, sum,
                         square);
    columns_gather(k, sum);
    columns_gather(k, square);
}

/* From the sums to the statistics, and to what band_apply() reads. */
static void image_statistics(const struct group_norm *k, const float *gamma, const float *beta,
                             const float *shift, float *stats, void *shared)
{
    float *centre = columns_array(k, shared, IMAGE_CENTRE);
    float *scale = columns_array(k, shared, IMAGE_SCALE);
    float *offset = columns_array(k, shared, IMAGE_OFFSET);
    const float *origin = band_array(k, shared, 0, BAND_ORIGIN);
    float *sum = band_array(k, shared, 0, BAND_SUM);
    float *square = band_array(k, shared, 0, BAND_SQUARE);
    size_t group_width = k->c / (size_t)k->groups;

    for (int band = 1; band < k->n_bands; band++) {
        const float *band_sums = band_array(k, shared, band, BAND_SUM);
        const float *band_squares = band_array(k, shared, band, BAND_SQUARE);

        for (size_t i = 0; i < k->c; i++) {
            sum[i] += band_sums[i];
            square[i] += band_squares[i];
        }
    }
    for (int group = 0; group < k->groups; group++) {
        size_t first = (size_t)group * group_width;
        double mean, variance, rstd;

        group_statistics(k, group, origin, sum, square, shift, &mean, &variance);
        rstd = 1.0 / sqrt(variance + (double)k->eps);
        stats[group] = (float)mean;
        stats[k->groups + group] = (float)rstd;
        for (size_t i = first; i < first + group_width; i++) {
            double added = shift ? (double)shift[i] : 0.0;

            centre[i] = (float)(mean - added);
            scale[i] = (float)(rstd * gamma[i]);
            offset[i] = (float)(beta[i] + (added + centre[i] - mean) * rstd * gamma[i]);
        }
    }
    columns_repeat(k, centre);
    columns_repeat(k, scale);
    columns_repeat(k, offset);
}

static void band_apply(const struct group_norm *k, const void *x, void *y, int band, void *shared)
{
    size_t first, count = band_range(k, band, &first);

    k->loops->norm->apply(element_at(k, x, first), element_at_mutable(k, y, first), k->type, count,
                          k->fold * k->c, columns_array(k, shared, IMAGE_CENTRE),
                          columns_array(k, shared, IMAGE_SCALE),
                          columns_array(k, shared, IMAGE_OFFSET), k->silu);
}

/* Stages: the sums of a band, the statistics of an image, the results of a band. An image of one
 * band does all of it in one stage. */
static int group_norm_run(const struct kernel *kernel, int stage, int part,
                          const struct kernel_args *args, struct error *err)
{
    const struct group_norm *k = (const struct group_norm *)kernel;
    bool single = k->n_bands == 1;
    size_t i = (size_t)(stage == 1 ? part : part / k->n_bands);
    int band = stage == 1 ? 0 : part % k->n_bands;
    const void *x = element_at(k, args->in[0], i * k->pixels * k->c);
    void *y = element_at_mutable(k, args->out[0], i * k->pixels * k->c);
    const float *shift = k->shifted ? (const float *)args->in[3] + i * k->c : NULL;
    float *stats = (float *)args->out[1] + i * 2 * (size_t)k->groups;
    void *shared = (char *)args->shared + i * image_shared_bytes(k);

    if (stage == 0)
        band_sum(k, x, band, shared);
    if (stage == 1 || single)
        image_statistics(k, args->in[1], args->in[2], shift, stats, shared);
    if (stage == 2 || single)
        band_apply(k, x, y, band, shared);
    return 0;
}

/* What group_norm_grad reads and writes for one image. */
struct grad_image {
    const void *x, *dy;
    const float *gamma, *beta, *stats;
    const float *shift; /* [c] or NULL */
    void *dx;
    double *dgamma, *dbeta; /* [c], added to */
    float *dshift;          /* [c] or NULL */
};

/* What xhat = (u - mean) rstd needs, per channel. */
static void grad_columns(const struct group_norm *k, const struct grad_image *image,
                         const struct norm_columns *columns)
{
    for (size_t i = 0; i < k->c; i++) {
        size_t group = i / (k->c / (size_t)k->groups);
        double mean = image->stats[group], rstd = image->stats[(size_t)k->groups + group];
        double added = image->shift ? (double)image->shift[i] : 0.0;

        columns->rstd[i] = (float)rstd;
        columns->centre[i] = (float)(mean - added);
        columns->offset[i] = (float)((added + columns->centre[i] - mean) * rstd);
        columns->gamma[i] = image->gamma[i];
        columns->beta[i] = image->beta[i];
    }
    columns_repeat(k, columns->centre);
    columns_repeat(k, columns->rstd);
    columns_repeat(k, columns->offset);
    columns_repeat(k, columns->gamma);
    columns_repeat(k, columns->beta);
}

/* With g = dL/du' and xhat = (u - mean) rstd:
 * dL/du = rstd (gamma g - mean(gamma g) - xhat mean(gamma g xhat)), means over the group. */
static void grad_group(const struct group_norm *k, const struct grad_image *image, int group,
                       const struct norm_sums *sums, const struct norm_columns *columns)
{
    size_t width = k->c / (size_t)k->groups, first = (size_t)group * width;
    double pixels = (double)k->pixels, count = pixels * (double)width;
    double rstd = image->stats[k->groups + group];
    double mean_g = 0.0, mean_gx = 0.0;

    for (size_t i = first; i < first + width; i++) {
        mean_g += (double)image->gamma[i] * sums->g[i] / count;
        mean_gx += (double)image->gamma[i] * sums->gx[i] / count;
    }
    for (size_t i = first; i < first + width; i++) {
        double gamma = image->gamma[i];

        columns->dx_g[i] = (float)(rstd * gamma);
        columns->dx_x[i] = (float)(-rstd * mean_gx);
        columns->dx_1[i] = (float)(-rstd * mean_g);
        image->dgamma[i] += sums->gx[i];
        image->dbeta[i] += sums->g[i];
        if (image->dshift)
            image->dshift[i] =
                (float)(rstd * (gamma * sums->g[i] - pixels * mean_g - mean_gx * sums->x[i]));
    }
}

static void group_norm_grad_image(const struct group_norm *k, const struct grad_image *image,
                                  void *scratch)
{
    const struct norm_loops *loops = k->loops->norm;
    const struct norm_columns columns = {
        .centre = columns_array(k, scratch, BACKWARD_CENTRE),
        .rstd = columns_array(k, scratch, BACKWARD_RSTD),
        .offset = columns_array(k, scratch, BACKWARD_OFFSET),
        .gamma = columns_array(k, scratch, BACKWARD_GAMMA),
        .beta = columns_array(k, scratch, BACKWARD_BETA),
        .dx_g = columns_array(k, scratch, BACKWARD_DX_G),
        .dx_x = columns_array(k, scratch, BACKWARD_DX_X),
        .dx_1 = columns_array(k, scratch, BACKWARD_DX_1),
    };
    const struct norm_sums sums = {
        .g = columns_array(k, scratch, BACKWARD_SUM_G),
        .gx = columns_array(k, scratch, BACKWARD_SUM_GX),
        .x = columns_array(k, scratch, BACKWARD_SUM_X),
    };
    /* dL/du', [h,w,c] behind the arrays, if there is a SiLU; otherwise it is dy. */
    float *slopes = k->silu ? columns_array(k, scratch, BACKWARD_ARRAYS) : NULL;
    size_t count = k->pixels * k->c, width = k->fold * k->c;

    grad_columns(k, image, &columns);
    columns_clear(k, sums.g);
    columns_clear(k, sums.gx);
    columns_clear(k, sums.x);
    loops->grad_sums(image->x, image->dy, k->type, count, width, &columns, slopes, &sums);
    columns_gather(k, sums.g);
    columns_gather(k, sums.gx);
    columns_gather(k, sums.x);

    for (int group = 0; group < k->groups; group++)
        grad_group(k, image, group, &sums, &columns);
    columns_repeat(k, columns.dx_g);
    columns_repeat(k, columns.dx_x);
    columns_repeat(k, columns.dx_1);
    loops->grad_apply(image->x, k->type, slopes ? slopes : image->dy, slopes ? DTYPE_F32 : k->type,
                      image->dx, count, width, &columns);
}

/* The sums over images of dgamma and dbeta, in front of scratch. */
static size_t totals_bytes(const struct group_norm *k)
{
    return scratch_align(2 * k->c * sizeof(double));
}

static int group_norm_grad_run(const struct kernel *kernel, int stage, int part,
                               const struct kernel_args *args, struct error *err)
{
    const struct group_norm *k = (const struct group_norm *)kernel;
    const float *shift = k->shifted ? args->in[5] : NULL;
    float *dgamma = args->out[1], *dbeta = args->out[2], *dshift = shift ? args->out[3] : NULL;
    size_t count = k->pixels * k->c;
    double *totals = args->scratch;
    void *scratch = (char *)args->scratch + totals_bytes(k);

    memset(totals, 0, 2 * k->c * sizeof(*totals));
    for (int i = 0; i < k->n; i++) {
        struct grad_image image = {
            .x = element_at(k, args->in[0], (size_t)i * count),
            .gamma = args->in[1],
            .beta = args->in[2],
            .stats = (const float *)args->in[3] + (size_t)i * 2 * (size_t)k->groups,
            .dy = element_at(k, args->in[4], (size_t)i * count),
            .shift = shift ? shift + (size_t)i * k->c : NULL,
            .dx = element_at_mutable(k, args->out[0], (size_t)i * count),
            .dgamma = totals,
            .dbeta = totals + k->c,
            .dshift = dshift ? dshift + (size_t)i * k->c : NULL,
        };

        group_norm_grad_image(k, &image, scratch);
    }
    for (size_t i = 0; i < k->c; i++) {
        dgamma[i] = (float)totals[i];
        dbeta[i] = (float)totals[k->c + i];
    }
    return 0;
}

static size_t common_divisor(size_t a, size_t b)
{
    return b == 0 ? a : common_divisor(b, a % b);
}

/* As many pixels as make rows long enough and, if possible, whole vectors. */
static size_t choose_fold(size_t pixels, size_t c)
{
    size_t fold = COLUMN_LANES / common_divisor(c, COLUMN_LANES);

    if (c >= COLUMN_WIDTH_MIN)
        return 1;
    while (fold * c < COLUMN_WIDTH_MIN)
        fold *= 2;
    return fold < pixels ? fold : pixels;
}

/* What forward and backward share. shift: which input it is. NULL with err set when out of
 * memory. */
static struct group_norm *group_norm_create(const struct kernel_spec *spec,
                                            const struct kernel_ops *ops, int shift,
                                            struct error *err)
{
    const struct tensor_desc *x = &spec->inputs[0];
    struct group_norm *k = kernel_allocate(spec->kind, sizeof(*k), ops, err);

    if (!k)
        return NULL;
    k->loops = loops_best();
    k->type = x->dtype;
    k->n = x->n;
    k->groups = spec->attributes.group_norm.groups;
    k->c = (size_t)x->shape.dims[2];
    k->pixels = shape_count(&x->shape) / k->c;
    k->fold = choose_fold(k->pixels, k->c);
    k->eps = spec->attributes.group_norm.eps;
    k->silu = spec->attributes.group_norm.silu;
    k->shifted = shift < spec->n_inputs && !spec->inputs[shift].absent;
    return k;
}

int cpu_group_norm_create(struct cpu_device *device, const struct kernel_spec *spec,
                          struct kernel **out, struct error *err)
{
    static const struct kernel_ops ops = {.run = group_norm_run, .destroy = kernel_free};
    struct group_norm *k = group_norm_create(spec, &ops, 3, err);
    size_t n_bands;

    if (!k)
        return -ENOMEM;
    n_bands = k->pixels * k->c / BAND_ELEMENTS;
    k->n_bands = n_bands < 1 ? 1 : n_bands < BANDS_MAX ? (int)n_bands : BANDS_MAX;
    k->kernel.n_stages = k->n_bands > 1 ? 3 : 1;
    k->kernel.n_parts[0] = k->kernel.n_parts[2] = k->n * k->n_bands;
    k->kernel.n_parts[1] = k->n;
    k->kernel.shared_bytes = (size_t)k->n * image_shared_bytes(k);
    *out = &k->kernel;
    return 0;
}

int cpu_group_norm_grad_create(struct cpu_device *device, const struct kernel_spec *spec,
                               struct kernel **out, struct error *err)
{
    static const struct kernel_ops ops = {.run = group_norm_grad_run, .destroy = kernel_free};
    struct group_norm *k = group_norm_create(spec, &ops, 5, err);

    if (!k)
        return -ENOMEM;
    k->kernel.scratch_bytes = totals_bytes(k) + BACKWARD_ARRAYS * columns_bytes(k);
    if (k->silu)
        k->kernel.scratch_bytes += scratch_align(k->pixels * k->c * sizeof(float));
    *out = &k->kernel;
    return 0;
}
