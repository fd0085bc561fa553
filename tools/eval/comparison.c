#include "tools/eval/comparison.h"
#include "engine/base/error.h"
#include "tools/eval/distance.h"
#include "tools/eval/feature_network.h"
#include "tools/eval/feature_resize.h"
#include "tools/eval/jackknife.h"
#include "tools/eval/sliced.h"
#include "tools/eval/statistics.h"
#include "tools/pictures/order.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ORDER_SEED = 0 };

static const double quick_products = 1e12;

/* The features in a random order, always the same one; the caller's, NULL without memory. */
static double *shuffled_features(const struct statistics *s)
{
    const size_t width = statistics_width(s);
    double *shuffled = malloc((size_t)s->n * width * sizeof(*shuffled));
    int *order = malloc((size_t)s->n * sizeof(*order));

    if (!shuffled || !order) {
        free(shuffled);
        free(order);
        return NULL;
    }
    order_shuffled(ORDER_SEED, 0, s->n, order);
    for (int i = 0; i < s->n; i++)
        memcpy(shuffled + (size_t)i * width, s->features + (size_t)order[i] * width,
               width * sizeof(*shuffled));
    free(order);
    return shuffled;
}

static int compare_features(struct pool *pool, const struct watch *watch,
                            const struct statistics *samples, const struct statistics *reference,
                            struct comparison *c, struct error *err)
{
    double *some_samples = shuffled_features(samples), *some_real = shuffled_features(reference);
    int n = samples->n < reference->n ? samples->n : reference->n;
    const int width = samples->network->n_features;
    double between;
    int rc;

    if (!some_samples || !some_real) {
        rc = error_set(err, -ENOMEM, "out of memory comparing %d and %d pictures", samples->n,
                       reference->n);
        goto out;
    }
    rc = distance_kernel_between(pool, watch, samples->features, samples->n, reference->features,
                                 reference->n, width, &between, err);
    if (rc == 0 && n > DISTANCE_NEIGHBOUR)
        rc = distance_coverage(pool, watch, some_samples, n, some_real, n, width, &c->precision,
                               err);
    if (rc == 0 && n > DISTANCE_NEIGHBOUR)
        rc = distance_coverage(pool, watch, some_real, n, some_samples, n, width, &c->recall, err);
    if (rc == 0) {
        c->kernel = samples->kernel + reference->kernel - 2 * between;
        c->n_compared = n;
    }

out:
    free(some_samples);
    free(some_real);
    return rc;
}

int comparison_make(struct pool *pool, const struct watch *watch, const struct statistics *samples,
                    const struct statistics *reference, struct comparison *out, struct error *err)
{
    struct comparison c = {.kernel = NAN, .precision = NAN, .recall = NAN};
    int rc = statistics_compare(samples, reference, err);

    if (rc < 0)
        return rc;
    rc = distance_frechet(pool, watch, samples->network->n_features, samples->mean,
                          samples->covariance, reference->mean, reference->covariance, &c.frechet,
                          err);
    if (rc == 0 && samples->features && reference->features)
        rc = compare_features(pool, watch, samples, reference, &c, err);
    if (rc == 0)
        *out = c;
    return rc;
}

static int more_of(struct pool *pool, const struct watch *watch, const double *x, int n,
                   const double *y, int m, int d, struct comparison_more *out, struct error *err)
{
    int rc = distance_kernel(pool, watch, x, n, y, m, d, &out->kernel, &out->kernel_error, err);

    if (rc == 0)
        rc = sliced_distance(pool, watch, x, n, y, m, d, &out->sliced, err);
    if (rc == 0)
        out->mind = sliced_mind(out->sliced, d);
    return rc;
}

int comparison_make_more(struct pool *pool, const struct watch *watch,
                         const struct statistics *samples, const struct statistics *reference,
                         struct comparison_more *out, struct error *err)
{
    if (!samples->features || !reference->features)
        return error_set(err, -EINVAL, "statistics without features have no kernel distance");
    return more_of(pool, watch, samples->features, samples->n, reference->features, reference->n,
                   samples->network->n_features, out, err);
}

bool comparison_is_fid(const struct statistics *reference, int n)
{
    return reference->provenance.published &&
           feature_resize_is_of_fid(reference->provenance.resize) && n >= COMPARISON_FID_LEAST &&
           reference->n >= COMPARISON_FID_LEAST;
}

const char *comparison_short_name(const struct statistics *reference, int n)
{
    return comparison_is_fid(reference, n) ? "FID" : "FD";
}

void comparison_name(const struct statistics *reference, int n, char out[COMPARISON_NAME])
{
    if (comparison_is_fid(reference, n))
        snprintf(out, COMPARISON_NAME, "FID (%d pictures)", n);
    else
        snprintf(out, COMPARISON_NAME, "Frechet distance (%s, %d pictures)",
                 reference->network->name, n);
}

bool comparison_has_errors(const struct statistics *samples, const struct statistics *reference)
{
    return samples->features && reference->features && samples->n >= JACKKNIFE_LEAST &&
           reference->n >= JACKKNIFE_LEAST;
}

bool comparison_errors_are_quick(const struct statistics *samples,
                                 const struct statistics *reference)
{
    double n = samples->n < reference->n ? samples->n : reference->n;

    /* Four times all distances between n vectors. */
    return 4 * n * n * samples->network->n_features * JACKKNIFE_GROUPS < quick_products;
}

int comparison_make_errors(struct pool *pool, const struct watch *watch,
                           const struct statistics *samples, const struct statistics *reference,
                           bool with_coverage, struct jackknife *out, struct error *err)
{
    double *x, *y;
    int rc;

    if (!samples->features || !reference->features)
        return error_set(err, -EINVAL, "statistics without features have no intervals");
    x = shuffled_features(samples);
    y = shuffled_features(reference);
    rc = x && y ? jackknife_errors(pool, watch, x, samples->n, y, reference->n,
                                   samples->network->n_features, with_coverage, out, err)
                : error_set(err, -ENOMEM, "out of memory comparing %d and %d pictures", samples->n,
                            reference->n);
    free(x);
    free(y);
    return rc;
}

int comparison_floor(struct pool *pool, const struct watch *watch,
                     const struct statistics *reference, int n, struct comparison_least *out,
                     struct error *err)
{
    const int d = reference->network->n_features;
    const size_t width = (size_t)d, cells = width * width;
    double *means, *covariances, *shuffled;
    int rc;

    if (!reference->features)
        return error_set(err, -EINVAL, "statistics without features cannot be split");
    if (n < 2 || reference->n - n < n)
        return error_set(err, -EINVAL, "%d pictures cannot be split into %d and as many others",
                         reference->n, n);
    shuffled = shuffled_features(reference);
    means = malloc(2 * width * sizeof(*means));
    covariances = malloc(2 * cells * sizeof(*covariances));
    if (!shuffled || !means || !covariances)
        rc = error_set(err, -ENOMEM, "out of memory splitting %d pictures", reference->n);
    else
        rc = distance_moments(pool, watch, shuffled, n, d, means, covariances, err);
    if (rc == 0)
        rc = distance_moments(pool, watch, shuffled + (size_t)n * width, reference->n - n, d,
                              means + width, covariances + cells, err);
    if (rc == 0)
        rc = distance_frechet(pool, watch, d, means, covariances, means + width,
                              covariances + cells, &out->frechet, err);
    if (rc == 0)
        rc = more_of(pool, watch, shuffled, n, shuffled + (size_t)n * width, reference->n - n, d,
                     &out->more, err);
    out->precision = out->recall = NAN;
    if (rc == 0 && n > DISTANCE_NEIGHBOUR)
        rc = distance_coverage(pool, watch, shuffled, n, shuffled + (size_t)n * width, n, d,
                               &out->precision, err);
    if (rc == 0 && n > DISTANCE_NEIGHBOUR)
        rc = distance_coverage(pool, watch, shuffled + (size_t)n * width, n, shuffled, n, d,
                               &out->recall, err);
    free(shuffled);
    free(means);
    free(covariances);
    return rc;
}
