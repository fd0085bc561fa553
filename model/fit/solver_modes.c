#include "model/fit/solver_modes.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "model/corruption.h"
#include "model/fit/cosine_operator.h"
#include "model/fit/dense.h"
#include "model/fit/gaussian.h"
#include "model/fit/lapack.h"
#include "model/schedule.h"
#include "model/wiener.h"

enum { WAVELETS_SIDE_MAX = 64 }; /* whose covariance is 134 MB */

/* Indices along an axis, dense at first, then in steps of a quarter octave; returns how many. */
static int list_axis(int side, int axis[SOLVER_MODES_AXIS_MAX])
{
    int n = 0;

    for (int i = 0; n < SOLVER_MODES_AXIS_MAX && i < side; i = i < 4 ? i + 1 : (5 * i + 3) / 4)
        axis[n++] = i;
    return n;
}

/* Every band that has modes weighs the same. bands: [n]. */
static void weigh(struct solver_modes *m, const int *bands)
{
    int in_band[GAUSSIAN_BANDS_MAX] = {0}, n_bands = 0;

    for (int k = 0; k < m->n; k++)
        n_bands += in_band[bands[k]]++ == 0;
    for (int k = 0; k < m->n; k++)
        m->weight[k] = 1 / sqrt((double)in_band[bands[k]] * n_bands);
}

static double *make_table(int n_times, int n)
{
    return calloc((size_t)n_times * (size_t)n, sizeof(double));
}

static int take_waves(const struct corruption *c, const struct schedule *s, int side,
                      const double *spectrum, int n_times, struct solver_modes *m,
                      struct error *err)
{
    int axis[SOLVER_MODES_AXIS_MAX], n = list_axis(side, axis), bands[SOLVER_MODES_MAX];
    int waves[2 * SOLVER_MODES_MAX], rc;
    struct cosine_operator *op;

    for (int i = 0; i < n; i++) {
        for (int j = 0; j <= i; j++) {
            waves[2 * m->n] = axis[j];
            waves[2 * m->n + 1] = axis[i];
            bands[m->n] = gaussian_band(axis[j], axis[i]);
            m->spectrum[m->n++] = spectrum[axis[j] * side + axis[i]];
        }
    }
    weigh(m, bands);
    m->kept = make_table(n_times, m->n);
    rc = m->kept ? cosine_operator_create(c, side, &op, err)
                 : error_set(err, -ENOMEM, "out of memory for %d modes", m->n);
    if (rc < 0)
        return rc;
    for (int i = 0; i < n_times; i++)
        cosine_operator_kept(op, schedule_level(s, (double)i / (n_times - 1)), m->n, waves,
                             m->kept + (size_t)i * (size_t)m->n);
    cosine_operator_destroy(op);
    return 0;
}

/* What a scale's wavelets along an axis are: that of blocks of 2^scale px, or of the last scale, which has
 * the means of the largest blocks. */
static int list_wavelets(int side, int n_scales, const float *dct, int *scales, double *waves)
{
    int n = 0;

    for (int scale = n_scales; scale >= 1; scale--) {
        bool mean = scale == n_scales;
        int size = 1 << (mean ? scale - 1 : scale);

        for (int first = 0; first < side; first += size, n++) {
            scales[n] = scale;
            for (int k = 0; k < side; k++) {
                double product = 0;

                for (int i = 0; i < size; i++)
                    product += (mean || i < size / 2 ? 1 : -1) / sqrt(size) *
                               (double)dct[k * side + first + i];
                waves[n * side + k] = product;
            }
        }
    }
    return n;
}

/* Wavelets [side^2] of pictures, by axis, in the order in which pixelation gives them back: those that are
 * wiped out together are a group. */
struct wavelets {
    int side, n_scales;
    int *scales;        /* [side] along an axis, falling */
    double *waves;      /* [side,side] their cosine transforms */
    int *order;         /* [side^2] */
    double *covariance; /* [side^2,side^2] in that order, columns */
};

/* Scales of the group with the i-th wavelet: its smaller and its larger. */
static void group_of(const struct wavelets *w, int i, int scales[2])
{
    int a = w->scales[w->order[i] / w->side], b = w->scales[w->order[i] % w->side];

    scales[0] = a < b ? a : b;
    scales[1] = a < b ? b : a;
}

static void put_in_order(struct wavelets *w)
{
    int n = 0;

    for (int small = w->n_scales; small >= 1; small--) {
        for (int large = w->n_scales; large >= small; large--) {
            for (int i = 0; i < w->side * w->side; i++) {
                int a = w->scales[i / w->side], b = w->scales[i % w->side];

                if ((a == small && b == large) || (a == large && b == small))
                    w->order[n++] = i;
            }
        }
    }
}

/* The covariance of the wavelets of pictures with this spectrum, and noise. */
static void fill_covariance(struct wavelets *w, const double *spectrum, double sigma)
{
    size_t side = (size_t)w->side, n = side * side;
    double *sums = w->covariance + n * n; /* [side] behind it */

    for (size_t i = 0; i < n; i++) {
        const double *rows = w->waves + (size_t)w->order[i] / side * side;
        const double *columns = w->waves + (size_t)w->order[i] % side * side;

        for (size_t j = 0; j <= i; j++) {
            const double *other_rows = w->waves + (size_t)w->order[j] / side * side;
            const double *other_columns = w->waves + (size_t)w->order[j] % side * side;
            double sum = i == j ? sigma * sigma : 0;

            if (j == 0 || other_rows != w->waves + (size_t)w->order[j - 1] / side * side) {
                memset(sums, 0, side * sizeof(*sums));
                for (size_t k = 0; k < side; k++) {
                    double product = rows[k] * other_rows[k];

                    for (size_t l = 0; l < side; l++)
                        sums[l] += product * spectrum[k * side + l];
                }
            }
            for (size_t l = 0; l < side; l++)
                sum += sums[l] * columns[l] * other_columns[l];
            w->covariance[j * n + i] = sum;
        }
    }
}

/* At a level between scale - 1 and scale its details go, on a straight line; means stay. */
static double kept_detail(int scale, int n_scales, double level)
{
    return scale == n_scales ? 1 : fmin(fmax(scale - level, 0), 1);
}

/* Modes of a group of wavelets, of which a pixelated picture with noise shows all before it: a few of the
 * eigenvalues of what is then left of their covariance, from the least to the largest. With the factor L
 * of the whole that is L_gg L_gg^T, but for the noise. */
static int take_group(const struct wavelets *w, int first, int n, int wanted, double sigma,
                      struct solver_modes *m, struct error *err)
{
    size_t all = (size_t)w->side * (size_t)w->side, count = (size_t)n;
    double *block = calloc(count * count, sizeof(*block));
    double *values = calloc(count, sizeof(*values));
    int rc = block && values ? 0 : error_set(err, -ENOMEM, "out of memory for %d wavelets", n);

    for (size_t i = 0; i < count && rc == 0; i++) {
        for (size_t j = 0; j < count; j++) {
            size_t inner = i < j ? i : j;

            for (size_t k = 0; k <= inner; k++) {
                const double *column = w->covariance + ((size_t)first + k) * all + (size_t)first;

                block[i * count + j] += column[i] * column[j];
            }
        }
    }
    if (rc == 0)
        rc = dense_eigen(n, block, values, err);
    for (int i = 0; i < wanted && rc == 0; i++) {
        int at = wanted > 1 ? i * (n - 1) / (wanted - 1) : n / 2;

        m->spectrum[m->n++] = fmax(values[at] - sigma * sigma, 1e-9);
    }
    free(block);
    free(values);
    return rc;
}

static int take_groups(const struct wavelets *w, double sigma, struct solver_modes *m, int *scales,
                       struct error *err)
{
    int pixels = w->side * w->side, rc = 0;
    int most = SOLVER_MODES_MAX / (w->n_scales * (w->n_scales + 1) / 2);

    for (int first = 0, n; first < pixels && rc == 0; first += n) {
        int group[2], other[2], before = m->n;

        group_of(w, first, group);
        for (n = 1; first + n < pixels; n++) {
            group_of(w, first + n, other);
            if (memcmp(group, other, sizeof(group)) != 0)
                break;
        }
        rc = take_group(w, first, n, n < most ? n : most, sigma, m, err);
        for (int k = before; k < m->n; k++)
            memcpy(scales + 2 * k, group, sizeof(group));
    }
    return rc;
}

static void wavelets_fini(struct wavelets *w)
{
    free(w->scales);
    free(w->waves);
    free(w->order);
    free(w->covariance);
}

static int wavelets_init(struct wavelets *w, const double *spectrum, double sigma,
                         struct error *err)
{
    int n = w->side * w->side, info = 0;
    size_t side = (size_t)w->side, pixels = side * side;
    float *dct = malloc(pixels * sizeof(*dct));

    w->scales = calloc(side, sizeof(*w->scales));
    w->waves = calloc(pixels, sizeof(*w->waves));
    w->order = calloc(pixels, sizeof(*w->order));
    w->covariance = calloc(pixels * pixels + side, sizeof(*w->covariance));
    if (!dct || !w->scales || !w->waves || !w->order || !w->covariance) {
        free(dct);
        return error_set(err, -ENOMEM, "out of memory for %d wavelets", n);
    }
    wiener_dct_matrix(w->side, dct);
    list_wavelets(w->side, w->n_scales, dct, w->scales, w->waves);
    free(dct);
    put_in_order(w);
    fill_covariance(w, spectrum, sigma);
    dpotrf_("L", &n, w->covariance, &n, &info, 1);
    return info ? error_set(err, -EIO, "the covariance of %d wavelets has no factors", n) : 0;
}

static int take_wavelets(const struct corruption *c, const struct schedule *s, int side,
                         const double *spectrum, int n_times, struct solver_modes *m,
                         struct error *err)
{
    struct wavelets w = {.side = side, .n_scales = (int)corruption_last_level(c) + 1};
    int scales[2 * SOLVER_MODES_MAX], bands[SOLVER_MODES_MAX], rc;
    double sigma = schedule_sigma(s, 1);

    if (side > WAVELETS_SIDE_MAX)
        return error_set(err, -ENOTSUP, "steps cannot be tuned for \"%s\" of more than %d px",
                         corruption_name(c), WAVELETS_SIDE_MAX);
    rc = wavelets_init(&w, spectrum, sigma, err);
    if (rc == 0)
        rc = take_groups(&w, sigma, m, scales, err);
    wavelets_fini(&w);
    if (rc < 0)
        return rc;
    m->kept = make_table(n_times, m->n);
    if (!m->kept)
        return error_set(err, -ENOMEM, "out of memory for %d modes", m->n);
    for (int k = 0; k < m->n; k++) {
        bands[k] = w.n_scales - scales[2 * k];
        for (int time = 0; time < n_times; time++) {
            double level = schedule_level(s, (double)time / (n_times - 1));

            m->kept[time * m->n + k] = kept_detail(scales[2 * k], w.n_scales, level) *
                                       kept_detail(scales[2 * k + 1], w.n_scales, level);
        }
    }
    weigh(m, bands);
    return 0;
}

int solver_modes_create(const struct corruption *c, const struct schedule *s, int side,
                        const double *spectrum, int nfe, int n_times, struct solver_modes *out,
                        struct error *err)
{
    bool wavelets =
        strcmp(corruption_name(c), "pixelate") == 0 && nfe > 2 * (corruption_last_level(c) + 1);
    struct solver_modes m = {0};
    int rc;

    if (corruption_kind(c) == CORRUPTION_DIAGONAL)
        return error_set(err, -ENOTSUP,
                         "steps cannot be tuned for \"%s\": what a step uncovers depends on all "
                         "pixels that are seen, so that no mode is by itself",
                         corruption_name(c));
    if (corruption_kind(c) == CORRUPTION_COMPOSED || strcmp(corruption_name(c), "matrices") == 0)
        return error_set(err, -ENOTSUP,
                         "steps cannot be tuned for \"%s\", whose modes nobody knows",
                         corruption_name(c));
    rc = wavelets ? take_wavelets(c, s, side, spectrum, n_times, &m, err)
                  : take_waves(c, s, side, spectrum, n_times, &m, err);
    if (rc < 0) {
        solver_modes_fini(&m);
        return rc;
    }
    *out = m;
    return 0;
}

void solver_modes_fini(struct solver_modes *m)
{
    free(m->kept);
    m->kept = NULL;
}
