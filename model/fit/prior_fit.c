#include "model/fit/prior_fit.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/watch.h"
#include "model/corruption.h"
#include "model/fit/lapack.h"
#include "model/prior.h"
#include "model/schedule.h"

/* What the modes leave out must be little: pairs (i, j) with i + j of PRIOR_MODES or more, and waves that
 * are turned over, as a matrix from a file may do (a blur that is cut off does it a little). all: rising.
 * Half of a wave that x_1 never has is what a network cannot guess. */
static int check_rest(int side, const double *all, struct error *err)
{
    double most = -all[0] * fmax(all[side - 1], -all[0]);

    for (int i = 0; i <= PRIOR_MODES && i < side; i++) {
        if (PRIOR_MODES - i < side)
            most = fmax(most, all[side - 1 - i] * all[side - 1 - (PRIOR_MODES - i)]);
    }
    if (most <= 0.5)
        return 0;
    return error_set(err, -EINVAL,
                     "the strongest level leaves %.0f %% of a wave that the prior has no room for: "
                     "it "
                     "must be stronger",
                     100 * most);
}

/* Leading eigenvectors of the blur C_1 along one axis: basis [side,PRIOR_MODES], values. */
static int leading_modes(const struct corruption *c, double level, int side, double *basis,
                         double values[PRIOR_MODES], struct error *err)
{
    size_t pixels = (size_t)side * (size_t)side;
    int work_size = 34 * side, info = 0, rc = 0;
    float *factors = malloc(2 * pixels * sizeof(*factors));
    double *a = malloc(pixels * sizeof(*a));
    double *all = malloc((size_t)side * sizeof(*all));
    double *work = malloc((size_t)work_size * sizeof(*work));

    if (!factors || !a || !all || !work) {
        rc = error_set(err, -ENOMEM, "out of memory for the modes of the prior");
        goto done;
    }
    corruption_operator(c, level, factors, factors + pixels);
    for (size_t i = 0; i < pixels; i++)
        a[i] = (double)factors[i];
    dsyev_("V", "U", &side, a, &side, all, work, &work_size, &info, 1, 1);
    if (info != 0) {
        rc = error_set(err, -EIO, "the strongest blur has no modes that can be found");
        goto done;
    }
    rc = check_rest(side, all, err);
    for (int k = 0; k < PRIOR_MODES; k++) { /* eigenvalues rise; vectors are columns */
        const double *vector = a + (size_t)(side - 1 - k) * (size_t)side;

        values[k] = all[side - 1 - k];
        for (int i = 0; i < side; i++)
            basis[i * PRIOR_MODES + k] = vector[i];
    }

done:
    free(factors);
    free(a);
    free(all);
    free(work);
    return rc;
}

/* Coefficients of C_1 x, values_i values_j v_i^T X v_j per channel, for an image and for its mirror
 * image. rows: [PRIOR_MODES,side] of scratch. */
static void project(int side, int channels, const double *basis, const double *values,
                    const float *image, double *rows, double out[2][PRIOR_COEFFICIENTS_MAX])
{
    int n = 0;

    for (int ch = 0; ch < channels; ch++) {
        memset(rows, 0, (size_t)PRIOR_MODES * (size_t)side * sizeof(*rows));
        for (int i = 0; i < side * side; i++) {
            double pixel = (double)image[(size_t)i * (size_t)channels + (size_t)ch];

            for (int k = 0; k < PRIOR_MODES; k++)
                rows[k * side + i % side] += basis[i / side * PRIOR_MODES + k] * pixel;
        }
        for (int i = 0; i < PRIOR_MODES; i++) {
            for (int j = 0; i + j < PRIOR_MODES; j++, n++) {
                out[0][n] = out[1][n] = 0;
                for (int x = 0; x < side; x++) {
                    double row = values[i] * values[j] * rows[i * side + x];

                    out[0][n] += row * basis[x * PRIOR_MODES + j];
                    out[1][n] += row * basis[(side - 1 - x) * PRIOR_MODES + j];
                }
            }
        }
    }
}

static int tell(const struct watch *watch, int done, int of, struct error *err)
{
    if (watch_stop(watch))
        return error_set(err, -ECANCELED, "stopped with %d of %d images", done, of);
    watch_progress(watch, "fitting the prior", done, of);
    return 0;
}

/* Sums of the coefficients and of their products (lower triangle) over images and mirror images,
 * to mean and covariance. */
static int moments(int side, int channels, int n, const float *images, const double *basis,
                   const double *values, const struct watch *watch, double *rows, int count,
                   double *mean, double *covariance, struct error *err)
{
    size_t size = (size_t)side * (size_t)side * (size_t)channels;
    double coefficients[2][PRIOR_COEFFICIENTS_MAX];

    for (int image = 0; image < n; image++) {
        int rc = tell(watch, image, n, err);

        if (rc < 0)
            return rc;
        project(side, channels, basis, values, images + (size_t)image * size, rows, coefficients);
        for (int m = 0; m < 2; m++) {
            for (int i = 0; i < count; i++) {
                mean[i] += coefficients[m][i];
                for (int j = 0; j <= i; j++)
                    covariance[i * count + j] += coefficients[m][i] * coefficients[m][j];
            }
        }
    }
    for (int i = 0; i < count; i++)
        mean[i] /= 2.0 * n;
    for (int i = 0; i < count; i++) {
        for (int j = 0; j <= i; j++)
            covariance[i * count + j] = covariance[i * count + j] / (2.0 * n) - mean[i] * mean[j];
    }
    return tell(watch, n, n, err);
}

/* Cholesky factor in place, [count,count] lower triangle by rows. Few images, or grey ones, leave
 * the covariance singular, and images that are all alike leave nothing but the rounding of their
 * squares: a 1e-8th of the mean variance on the diagonal, and a 1e-12th of the mean square, far below
 * the noise. */
static int factorise(int count, const double *mean, double *covariance, struct error *err)
{
    double trace = 0, square = 0;
    int info = 0;

    for (int i = 0; i < count; i++) {
        trace += fmax(covariance[i * count + i], 0);
        square += mean[i] * mean[i];
    }
    for (int i = 0; i < count; i++)
        covariance[i * count + i] += (1e-8 * trace + 1e-12 * square) / count + 1e-20;
    /* LAPACK's upper triangle by columns is our lower one by rows. */
    dpotrf_("U", &count, covariance, &count, &info, 1);
    if (info != 0)
        return error_set(err, -EIO, "the covariance of the pictures cannot be factorised");
    return 0;
}

static int prior_init(struct prior *prior, int side, int channels, struct error *err)
{
    size_t n = (size_t)(channels * PRIOR_PAIRS);

    *prior = (struct prior){.side = side, .channels = channels};
    prior->n_modes = PRIOR_MODES;
    prior->n_coefficients = (int)n;
    prior->basis = calloc((size_t)side * PRIOR_MODES, sizeof(*prior->basis));
    prior->mean = calloc(n, sizeof(*prior->mean));
    prior->chol = calloc(n * n, sizeof(*prior->chol));
    if (prior->basis && prior->mean && prior->chol)
        return 0;
    prior_fini(prior);
    return error_set(err, -ENOMEM, "out of memory for the prior");
}

/* The mean of images [n,side,side,channels] and their mirror images, in out. 0 or -ENOMEM. */
static int mean_image(int side, int channels, int n, const float *images, const struct watch *watch,
                      float *out, struct error *err)
{
    size_t count = (size_t)side * (size_t)side * (size_t)channels;
    double *sum = calloc(count, sizeof(*sum));
    int rc = sum ? 0 : error_set(err, -ENOMEM, "out of memory for the mean image");

    for (int image = 0; image < n && rc == 0; image++) {
        rc = tell(watch, image, n, err);
        for (size_t i = 0; i < count && rc == 0; i++)
            sum[i] += (double)images[(size_t)image * count + i];
    }
    for (size_t i = 0; i < count && rc == 0; i++) {
        size_t pixel = i / (size_t)channels, x = pixel % (size_t)side;
        size_t mirror = pixel - x + (size_t)side - 1 - x;

        out[i] =
            (float)((sum[i] + sum[mirror * (size_t)channels + i % (size_t)channels]) / (2.0 * n));
    }
    free(sum);
    return rc < 0 ? rc : tell(watch, n, n, err);
}

/* A prior without modes. */
static int fit_start(const struct corruption *c, const struct schedule *s, int side, int channels,
                     int n, const float *images, const struct watch *watch, struct prior *out,
                     struct error *err)
{
    size_t count = (size_t)side * (size_t)side * (size_t)channels;
    struct prior prior = {.side = side, .channels = channels};
    float *mean = malloc(count * sizeof(*mean));
    int rc = mean ? mean_image(side, channels, n, images, watch, mean, err)
                  : error_set(err, -ENOMEM, "out of memory for the mean image");

    if (rc == 0)
        rc = prior_start_at(&prior, c, schedule_level(s, 1), mean, err);
    free(mean);
    if (rc == 0)
        *out = prior;
    return rc;
}

int prior_fit(const struct corruption *c, const struct schedule *s, int side, int channels, int n,
              const float *images, const struct watch *watch, struct prior *out, struct error *err)
{
    int count = channels * PRIOR_PAIRS, rc;
    double values[PRIOR_MODES];
    double *basis, *rows, *mean, *covariance;
    struct prior prior;

    if (n < 1)
        return error_set(err, -EINVAL, "could not fit the prior to no images");
    if (corruption_kind(c) != CORRUPTION_SEPARABLE)
        return fit_start(c, s, side, channels, n, images, watch, out, err);
    if (side < PRIOR_MODES || channels < 1 || channels > PRIOR_CHANNELS_MAX)
        return error_set(err, -EINVAL, "could not fit the prior to images of %d x %d x %d", side,
                         side, channels);
    rc = prior_init(&prior, side, channels, err);
    if (rc < 0)
        return rc;
    basis = calloc((size_t)side * PRIOR_MODES, sizeof(*basis));
    rows = calloc((size_t)side * PRIOR_MODES, sizeof(*rows));
    mean = calloc((size_t)count, sizeof(*mean));
    covariance = calloc((size_t)count * (size_t)count, sizeof(*covariance));
    if (!basis || !rows || !mean || !covariance) {
        rc = error_set(err, -ENOMEM, "out of memory fitting the prior");
        goto done;
    }
    rc = leading_modes(c, schedule_level(s, 1), side, basis, values, err);
    if (rc < 0)
        goto done;
    rc = moments(side, channels, n, images, basis, values, watch, rows, count, mean, covariance,
                 err);
    if (rc < 0)
        goto done;
    rc = factorise(count, mean, covariance, err);
    if (rc < 0)
        goto done;
    for (int i = 0; i < side * PRIOR_MODES; i++)
        prior.basis[i] = (float)basis[i];
    for (int i = 0; i < count; i++) {
        prior.mean[i] = (float)mean[i];
        for (int j = 0; j <= i; j++)
            prior.chol[i * count + j] = (float)covariance[i * count + j];
    }
    *out = prior;

done:
    if (rc < 0)
        prior_fini(&prior);
    free(basis);
    free(rows);
    free(mean);
    free(covariance);
    return rc;
}
