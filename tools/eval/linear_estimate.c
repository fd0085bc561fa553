#include "tools/eval/linear_estimate.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include "engine/base/error.h"
#include "model/fit/lapack.h"
#include "tools/eval/degrading.h"
#include "tools/eval/distance.h"

struct linear_estimate {
    int side, channels, d;
    double *mean;       /* [d] */
    double *covariance; /* [d,d] */
    double *cross;      /* [d,d], scratch: S A^T */
    double *observed;   /* [d,d], scratch: A S A^T + s^2 */
};

/* Where value i of a picture is in its mirror image. */
static int mirrored(const struct linear_estimate *e, int i)
{
    int row = e->side * e->channels, x = i % row / e->channels, c = i % e->channels;

    return i / row * row + (e->side - 1 - x) * e->channels + c;
}

/* The moments of pictures and their mirror images, of those of pictures. */
static void add_mirror_images(struct linear_estimate *e)
{
    const size_t d = (size_t)e->d;

    for (int i = 0; i < e->d; i++)
        for (int j = 0; j < e->d; j++)
            e->covariance[(size_t)i * d + (size_t)j] += e->mean[i] * e->mean[j];
    for (int i = 0; i < e->d; i++)
        for (int j = 0; j < e->d; j++)
            e->cross[(size_t)i * d + (size_t)j] =
                0.5 * (e->covariance[(size_t)i * d + (size_t)j] +
                       e->covariance[(size_t)mirrored(e, i) * d + (size_t)mirrored(e, j)]);
    for (int i = 0; i < e->d; i++)
        e->observed[i] = 0.5 * (e->mean[i] + e->mean[mirrored(e, i)]);
    for (int i = 0; i < e->d; i++) {
        e->mean[i] = e->observed[i];
        for (int j = 0; j < e->d; j++)
            e->covariance[(size_t)i * d + (size_t)j] =
                e->cross[(size_t)i * d + (size_t)j] - e->observed[i] * e->observed[j];
    }
}

static int no_memory(struct error *err)
{
    return error_set(err, -ENOMEM, "out of memory for the linear estimate");
}

static int fit(struct linear_estimate *e, struct pool *pool, const struct watch *watch, int n,
               const uint8_t *pixels, struct error *err)
{
    size_t count = (size_t)n * (size_t)e->d, cells = (size_t)e->d * (size_t)e->d;
    double *x = malloc(count * sizeof(*x));
    int rc;

    e->mean = malloc((size_t)e->d * sizeof(*e->mean));
    e->covariance = malloc(cells * sizeof(*e->covariance));
    e->cross = malloc(cells * sizeof(*e->cross));
    e->observed = malloc(cells * sizeof(*e->observed));
    if (!x || !e->mean || !e->covariance || !e->cross || !e->observed) {
        free(x);
        return no_memory(err);
    }
    for (size_t i = 0; i < count; i++)
        x[i] = pixels[i] / 255.0;
    rc = distance_moments(pool, watch, x, n, e->d, e->mean, e->covariance, err);
    free(x);
    if (rc == 0)
        add_mirror_images(e);
    return rc;
}

int linear_estimate_fit(struct pool *pool, const struct watch *watch, int n, int side, int channels,
                        const uint8_t *pixels, struct linear_estimate **out, struct error *err)
{
    struct linear_estimate *e;
    int rc;

    if (side > LINEAR_ESTIMATE_SIDE_MAX)
        return error_set(err, -EINVAL,
                         "there is no linear estimate of pictures of %d px, only to %d", side,
                         LINEAR_ESTIMATE_SIDE_MAX);
    if (n < 2)
        return error_set(err, -EINVAL, "a linear estimate needs more than one picture");
    e = calloc(1, sizeof(*e));
    if (!e)
        return no_memory(err);
    e->side = side;
    e->channels = channels;
    e->d = side * side * channels;
    rc = fit(e, pool, watch, n, pixels, err);
    if (rc < 0) {
        linear_estimate_destroy(e);
        return rc;
    }
    *out = e;
    return 0;
}

void linear_estimate_destroy(struct linear_estimate *e)
{
    if (!e)
        return;
    free(e->mean);
    free(e->covariance);
    free(e->cross);
    free(e->observed);
    free(e);
}

/* cross = S A^T, observed = A S A^T + s^2. */
static void observe(struct linear_estimate *e, struct degrader *a)
{
    const size_t d = (size_t)e->d;
    double noise = degrader_noise(a);

    for (size_t i = 0; i < d; i++)
        degrader_apply(a, e->covariance + i * d, e->cross + i * d);
    for (size_t i = 0; i < d; i++) {
        for (size_t j = 0; j < d; j++)
            e->observed[i * d + j] = e->cross[j * d + i];
        degrader_apply(a, e->observed + i * d, e->observed + i * d);
        e->observed[i * d + i] += noise * noise;
    }
}

/* rhs: [n,d], y - A mu -> (A S A^T + s^2)^-1 of it. */
static int solve(struct linear_estimate *e, struct degrader *a, int n, const uint8_t *y,
                 double *rhs, struct error *err)
{
    double *mean = malloc((size_t)e->d * sizeof(*mean));
    int info;

    if (!mean)
        return no_memory(err);
    degrader_apply(a, e->mean, mean);
    for (int k = 0; k < n; k++) {
        for (int i = 0; i < e->d; i++) {
            size_t at = (size_t)k * (size_t)e->d + (size_t)i;

            /* What is not known has neither a mean nor a covariance with anything. */
            rhs[at] = degrader_mask(a)[i / e->channels] == 0 ? 0 : (double)y[at] / 255.0 - mean[i];
        }
    }
    free(mean);
    dposv_("U", &e->d, &n, e->observed, &e->d, rhs, &e->d, &info, 1);
    return info == 0 ? 0 : error_set(err, -EIO, "a covariance of pictures cannot be inverted");
}

int linear_estimate_of(struct linear_estimate *e, struct degrader *a, int n, const uint8_t *y,
                       uint8_t *x, struct error *err)
{
    const size_t d = (size_t)e->d;
    double *rhs = malloc((size_t)n * d * sizeof(*rhs));
    int rc;

    if (!rhs)
        return no_memory(err);
    observe(e, a);
    rc = solve(e, a, n, y, rhs, err);
    for (size_t k = 0; k < (size_t)n && rc == 0; k++) {
        for (size_t i = 0; i < d; i++) {
            double sum = e->mean[i];

            for (size_t j = 0; j < d; j++)
                sum += e->cross[i * d + j] * rhs[k * d + j];
            x[k * d + i] = (uint8_t)lround(255 * fmin(fmax(sum, 0), 1));
            if (degrader_of(a)->kind == DEGRADATION_MASK &&
                degrader_mask(a)[i / (size_t)e->channels] != 0)
                x[k * d + i] = y[k * d + i];
        }
    }
    free(rhs);
    return rc;
}
