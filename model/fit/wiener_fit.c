/* Fitting works on the DCT coefficients c0 of the images: a separable corruption maps them by
 * ct = K c0 K'^T with K = D A D^T, K' = D B D^T. Blurs commute with mirroring, so every second
 * entry of their K is 0 and mirror images have the same products c0 ct: neither is computed.
 */
#include "model/fit/wiener_fit.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/f16.h"
#include "engine/base/watch.h"
#include "model/corruption.h"
#include "model/fit/lapack.h"
#include "model/fit/sparse_rows.h"
#include "model/schedule.h"
#include "model/wiener.h"

enum { IMAGES_MAX = 1000, CHANNELS_MAX = 16 };

static const size_t floats_max = (size_t)1 << 26; /* of images held while fitting */

/* What fitting holds. Images are [side,channels,side]: row, direction of colour, column. */
struct fit {
    const struct corruption *corruption;
    const struct watch *watch; /* may be NULL */
    int side, channels, n;
    size_t pixels, size; /* side^2, and numbers per image */
    double *mean;        /* [side,side,channels] mu */
    double *dct;         /* [side,side] D */
    struct sparse_rows dct_rows;
    float *residual;                  /* [n,image] x_0 - mu */
    float *c0;                        /* [n,image] their DCT */
    double *energy;                   /* [image] E[c0^2] */
    float *factors[2];                /* the corruption's operator at the level at hand */
    struct sparse_rows rows, columns; /* its K and K' */
    double *cross, *square;           /* [image] E[c0 ct], E[ct^2] of it */
    double *matrix[2];                /* [side,side] scratch */
    float *work[3];                   /* [image] scratch */
};

/* Rows and columns of each channel change places: [i,channel,j] to [j,channel,i]. */
static void transpose(int side, int channels, const float *src, float *dst)
{
    for (int i = 0; i < side; i++) {
        for (int ch = 0; ch < channels; ch++) {
            const float *row = src + ((size_t)i * (size_t)channels + (size_t)ch) * (size_t)side;

            for (int j = 0; j < side; j++)
                dst[((size_t)j * (size_t)channels + (size_t)ch) * (size_t)side + (size_t)i] =
                    row[j];
        }
    }
}

/* dst = rows src columns^T per channel; dst may be src, neither may be work[0] or work[1]. */
static void transform(struct fit *f, const struct sparse_rows *rows,
                      const struct sparse_rows *columns, const float *src, float *dst)
{
    int width = f->side * f->channels;

    sparse_rows_apply(rows, width, src, f->work[0]);
    transpose(f->side, f->channels, f->work[0], f->work[1]);
    sparse_rows_apply(columns, width, f->work[1], f->work[0]);
    transpose(f->side, f->channels, f->work[0], dst);
}

/* K = D A D^T with A [side,side] in float. */
static void dct_of_matrix(struct fit *f, const float *a, struct sparse_rows *out)
{
    int n = f->side;
    double *half = f->matrix[0], *k = f->matrix[1];

    memset(half, 0, f->pixels * sizeof(*half));
    for (int i = 0; i < n; i++) { /* D A */
        for (int j = 0; j < n; j++) {
            for (int e = 0; e < n; e++)
                half[i * n + e] += f->dct[i * n + j] * a[j * n + e];
        }
    }
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            double sum = 0;

            for (int e = 0; e < n; e++)
                sum += half[i * n + e] * f->dct[j * n + e];
            k[i * n + j] = sum;
        }
    }
    sparse_rows_set(out, k);
}

/* Adds the products of one image's c0 and ct, both [side,channels,side]. */
static void add_products(struct fit *f, const float *c0, const float *ct)
{
    for (size_t e = 0; e < f->size; e++) {
        f->cross[e] += (double)(c0[e] * ct[e]);
        f->square[e] += (double)(ct[e] * ct[e]);
    }
}

static int fit_separable(struct fit *f)
{
    dct_of_matrix(f, f->factors[0], &f->rows);
    dct_of_matrix(f, f->factors[1], &f->columns);
    for (int i = 0; i < f->n; i++) {
        const float *c0 = f->c0 + (size_t)i * f->size;

        if (watch_stop(f->watch))
            return -ECANCELED;
        transform(f, &f->rows, &f->columns, c0, f->work[2]);
        add_products(f, c0, f->work[2]);
    }
    return 0;
}

/* An image [side,channels,side] as others have it, [side,side,channels], maybe mirrored; and back. */
static void interleave(const struct fit *f, bool mirrored, const float *src, float *dst)
{
    size_t side = (size_t)f->side, channels = (size_t)f->channels;

    for (size_t e = 0; e < f->size; e++) {
        size_t y = e / (channels * side), ch = e / side % channels, x = e % side;

        dst[(y * side + (mirrored ? side - 1 - x : x)) * channels + ch] = src[e];
    }
}

static void separate(const struct fit *f, bool mirrored, const double *src, float *dst)
{
    size_t side = (size_t)f->side, channels = (size_t)f->channels;

    for (size_t e = 0; e < f->size; e++) {
        size_t y = e / (channels * side), ch = e / side % channels, x = e % side;

        dst[e] = (float)src[(y * side + (mirrored ? side - 1 - x : x)) * channels + ch];
    }
}

/* Of what need not be symmetric, as a mask: the mirror image of what becomes of a mirror image has the
 * products that this has. scratch: [image]. */
static int fit_any(struct fit *f, double *scratch, struct corruption_matrices *at)
{
    for (int i = 0; i < 2 * f->n; i++) {
        if (watch_stop(f->watch))
            return -ECANCELED;
        interleave(f, i % 2, f->residual + (size_t)(i / 2) * f->size, f->work[2]);
        corruption_matrices_apply(at, f->work[2], scratch);
        separate(f, i % 2, scratch, f->work[2]);
        transform(f, &f->dct_rows, &f->dct_rows, f->work[2], f->work[2]);
        add_products(f, f->c0 + (size_t)(i / 2) * f->size, f->work[2]);
    }
    return 0;
}

static int fit_unsymmetric(struct fit *f, double level)
{
    struct corruption_matrices *at = NULL;
    double *scratch = malloc(f->size * sizeof(*scratch));
    int rc = scratch ? corruption_matrices_create(f->corruption, level, f->channels, &at, NULL)
                     : -ENOMEM;

    if (rc == 0)
        rc = fit_any(f, scratch, at);
    corruption_matrices_destroy(at);
    free(scratch);
    return rc;
}

/* E[c0 ct] and E[ct^2] of one level. 0, -ECANCELED or -ENOMEM. */
static int fit_level(struct fit *f, double level)
{
    enum corruption_kind kind = corruption_kind(f->corruption);
    bool symmetric =
        kind == CORRUPTION_SEPARABLE && strcmp(corruption_name(f->corruption), "matrices") != 0;
    double count = (double)f->n * (symmetric ? 1 : 2);
    int rc;

    corruption_operator(f->corruption, level, f->factors[0], f->factors[1]);
    if (kind == CORRUPTION_SCALAR) {
        double a = (double)f->factors[0][0];

        for (size_t i = 0; i < f->size; i++) {
            f->cross[i] = a * f->energy[i];
            f->square[i] = a * a * f->energy[i];
        }
        return 0;
    }
    memset(f->cross, 0, f->size * sizeof(*f->cross));
    memset(f->square, 0, f->size * sizeof(*f->square));
    rc = symmetric ? fit_separable(f) : fit_unsymmetric(f, level);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < f->size; i++) {
        f->cross[i] /= count;
        f->square[i] /= count;
    }
    return 0;
}

/* R: the principal directions of the colours of all pixels less mu, the strongest first, each with
 * a positive sum. */
static int fit_colors(struct fit *f, const float *images, float *colors, struct error *err)
{
    int channels = f->channels, info = 0, work_size = 8 * CHANNELS_MAX;
    double covariance[CHANNELS_MAX * CHANNELS_MAX] = {0}, values[CHANNELS_MAX];
    double work[8 * CHANNELS_MAX];

    for (size_t i = 0; i < (size_t)f->n * f->pixels; i++) {
        const float *pixel = images + i * (size_t)channels;
        const double *mean = f->mean + i % f->pixels * (size_t)channels;

        for (int a = 0; a < channels; a++) {
            for (int b = 0; b < channels; b++)
                covariance[a * channels + b] +=
                    ((double)pixel[a] - mean[a]) * ((double)pixel[b] - mean[b]);
        }
    }
    dsyev_("V", "U", &channels, covariance, &channels, values, work, &work_size, &info, 1, 1);
    if (info != 0)
        return error_set(err, -EIO, "the colours have no directions that can be found");
    for (int i = 0; i < channels; i++) {
        const double *vector = covariance + (channels - 1 - i) * channels; /* they rise */
        double sum = 0;

        for (int j = 0; j < channels; j++)
            sum += vector[j];
        for (int j = 0; j < channels; j++)
            colors[i * channels + j] = (float)(sum < 0 ? -vector[j] : vector[j]);
    }
    return 0;
}

/* mu. */
static void fit_mean(struct fit *f, const float *images)
{
    size_t side = (size_t)f->side, channels = (size_t)f->channels;

    for (int i = 0; i < f->n; i++) {
        for (size_t e = 0; e < f->size; e++)
            f->mean[e] += (double)images[(size_t)i * f->size + e];
    }
    for (size_t y = 0; y < side; y++) {
        for (size_t x = 0; x < (side + 1) / 2; x++) {
            for (size_t ch = 0; ch < channels; ch++) {
                double *left = &f->mean[(y * side + x) * channels + ch];
                double *right = &f->mean[(y * side + side - 1 - x) * channels + ch];

                *left = *right = (*left + *right) / (2.0 * f->n);
            }
        }
    }
}

/* R(x_0 - mu) and its DCT for all images. 0 or -ECANCELED. */
static int fit_images(struct fit *f, const float *images, const float *colors)
{
    size_t side = (size_t)f->side, channels = (size_t)f->channels;

    for (int i = 0; i < f->n; i++) {
        const float *image = images + (size_t)i * f->size;
        float *residual = f->residual + (size_t)i * f->size;
        float *c0 = f->c0 + (size_t)i * f->size;

        if (watch_stop(f->watch))
            return -ECANCELED;
        for (size_t e = 0; e < f->size; e++) {
            size_t first = e - e % channels, y = e / channels / side, x = e / channels % side;
            double sum = 0;

            for (size_t j = 0; j < channels; j++)
                sum += (double)colors[e % channels * channels + j] *
                       ((double)image[first + j] - f->mean[first + j]);
            residual[(y * channels + e % channels) * side + x] = (float)sum;
        }
        transform(f, &f->dct_rows, &f->dct_rows, residual, c0);
        for (size_t e = 0; e < f->size; e++)
            f->energy[e] += (double)(c0[e] * c0[e]) / (double)f->n;
    }
    return 0;
}

/* Without noise the best estimate divides by whatever little is left of a wave. Pictures are rounded to
 * 8 bits: nobody knows them better than this, in the unit of x. */
static const double sigma_least = 1e-3;

/* To half precision, as checkpoints store gains: the network learns beside what it will be served with. */
static float rounded(double gain)
{
    float half = f16_to_float(f16_from_float((float)gain));

    return isfinite(half) ? half + 0.0f : (float)gain; /* never -0 */
}

/* One row of the tables. */
static void write_time(const struct fit *f, double sigma, float *gain, float *scale)
{
    double power = 0, error = 0, count = (double)f->size;
    size_t side = (size_t)f->side, channels = (size_t)f->channels;

    for (size_t i = 0; i < f->size; i++) {
        double total = f->square[i] + sigma * sigma;
        size_t y = i / (channels * side), direction = i / side % channels, x = i % side;

        gain[(y * side + x) * channels + direction] = rounded(f->cross[i] / total);
        power += total / count;
        error += fmax(f->energy[i] - f->cross[i] * f->cross[i] / total, 0) / count;
    }
    scale[0] = (float)(1 / sqrt(power));
    scale[1] = (float)sqrt(fmax(error, 1e-12)); /* 0 for images that are all alike */
}

/* The tables. 0, -ECANCELED or -ENOMEM. */
static int fit_times(struct fit *f, const struct schedule *s, struct wiener *w)
{
    double level = 0;

    for (int i = 0; i < WIENER_TIMES; i++) {
        double t = (double)i / (WIENER_TIMES - 1), level_before = level;
        int rc = 0;

        level = schedule_level(s, t);
        if (i == 0 || level != level_before)
            rc = fit_level(f, level);
        if (rc < 0)
            return rc;
        write_time(f, schedule_has_noise(s) ? schedule_sigma(s, t) : sigma_least,
                   w->gain + (size_t)i * f->size, w->scale + 2 * i);
        watch_progress(f->watch, "fitting the linear estimate", i + 1, WIENER_TIMES);
    }
    return 0;
}

static void fit_fini(struct fit *f)
{
    free(f->mean);
    free(f->dct);
    sparse_rows_fini(&f->dct_rows);
    sparse_rows_fini(&f->rows);
    sparse_rows_fini(&f->columns);
    for (int i = 0; i < 2; i++) {
        free(f->matrix[i]);
        free(f->factors[i]);
    }
    for (int i = 0; i < 3; i++)
        free(f->work[i]);
    free(f->residual);
    free(f->c0);
    free(f->energy);
    free(f->cross);
    free(f->square);
}

/* Allocates everything and computes D; f is to be freed by fit_fini() in any case. */
static int fit_init(struct fit *f)
{
    size_t all = (size_t)f->n * f->size, sizes[2];
    float *dct;

    corruption_operator_sizes(f->corruption, sizes);
    f->mean = calloc(f->size, sizeof(*f->mean));
    f->dct = calloc(f->pixels, sizeof(*f->dct));
    f->residual = malloc(all * sizeof(*f->residual));
    f->c0 = malloc(all * sizeof(*f->c0));
    f->energy = calloc(f->size, sizeof(*f->energy));
    f->cross = calloc(f->size, sizeof(*f->cross));
    f->square = calloc(f->size, sizeof(*f->square));
    for (int i = 0; i < 2; i++) {
        f->matrix[i] = calloc(f->pixels, sizeof(*f->matrix[i]));
        f->factors[i] = calloc(sizes[i] + 1, sizeof(*f->factors[i]));
        if (!f->matrix[i] || !f->factors[i])
            return -ENOMEM;
    }
    for (int i = 0; i < 3; i++) {
        f->work[i] = calloc(f->size, sizeof(*f->work[i]));
        if (!f->work[i])
            return -ENOMEM;
    }
    if (!f->mean || !f->dct || !f->residual || !f->c0 || !f->energy || !f->cross || !f->square ||
        sparse_rows_init(&f->dct_rows, f->side) < 0 || sparse_rows_init(&f->rows, f->side) < 0 ||
        sparse_rows_init(&f->columns, f->side) < 0)
        return -ENOMEM;
    dct = f->work[0]; /* [side,channels,side] is room enough */
    wiener_dct_matrix(f->side, dct);
    for (size_t i = 0; i < f->pixels; i++)
        f->dct[i] = (double)dct[i];
    sparse_rows_set(&f->dct_rows, f->dct);
    return 0;
}

int wiener_fit(const struct corruption *c, const struct schedule *s, int side, int channels, int n,
               const float *images, const struct watch *watch, struct wiener *out,
               struct error *err)
{
    size_t pixels = (size_t)side * (size_t)side, size = pixels * (size_t)channels;
    struct fit f = {.corruption = c, .watch = watch, .side = side, .channels = channels};
    struct wiener w = {.side = side, .channels = channels};
    int rc = 0;

    if (n < 2 || channels > CHANNELS_MAX)
        return error_set(err, -EINVAL,
                         "could not fit the linear estimate to %d images of %d channels", n,
                         channels);
    f.n = n < IMAGES_MAX ? n : IMAGES_MAX;
    if ((size_t)f.n > floats_max / size)
        f.n = floats_max / size < 2 ? 2 : (int)(floats_max / size);
    f.pixels = pixels;
    f.size = size;
    w.mean = calloc(size, sizeof(*w.mean));
    w.colors = calloc((size_t)channels * (size_t)channels, sizeof(*w.colors));
    w.gain = calloc(WIENER_TIMES * size, sizeof(*w.gain));
    w.scale = calloc(WIENER_TIMES * 2, sizeof(*w.scale));
    if (!w.mean || !w.colors || !w.gain || !w.scale || fit_init(&f) < 0) {
        rc = error_set(err, -ENOMEM, "out of memory fitting the linear estimate to %d images", f.n);
        goto done;
    }
    fit_mean(&f, images);
    rc = fit_colors(&f, images, w.colors, err);
    if (rc < 0)
        goto done;
    rc = fit_images(&f, images, w.colors);
    for (size_t i = 0; i < size; i++)
        w.mean[i] = (float)f.mean[i];
    if (rc == 0)
        rc = fit_times(&f, s, &w);
    if (rc < 0) {
        error_set(err, rc,
                  rc == -ENOMEM ? "out of memory fitting the linear estimate"
                                : "stopped fitting the linear estimate");
        goto done;
    }
    *out = w;

done:
    fit_fini(&f);
    if (rc < 0)
        wiener_fini(&w);
    return rc;
}
