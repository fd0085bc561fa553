#include "tools/eval/jackknife.h"
#include "engine/base/error.h"
#include "tools/eval/distance.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FRECHET, PRECISION, RECALL, FIGURES };

/* One of both sets without one of its groups, and its moments. */
struct part {
    const double *all; /* [n,d] */
    int n, left;       /* vectors of all, and of those that are left */
    double *vectors, *mean, *covariance;
};

static int part_init(struct part *p, const double *all, int n, int d, struct error *err)
{
    const size_t width = (size_t)d;

    *p = (struct part){.all = all, .n = n};
    p->vectors = malloc((size_t)n * width * sizeof(*p->vectors));
    p->mean = malloc(width * sizeof(*p->mean));
    p->covariance = malloc(width * width * sizeof(*p->covariance));
    return p->vectors && p->mean && p->covariance
               ? 0
               : error_set(err, -ENOMEM, "out of memory for parts of %d pictures", n);
}

static void part_fini(struct part *p)
{
    free(p->vectors);
    free(p->mean);
    free(p->covariance);
}

static int part_without(struct part *p, int group, struct pool *pool, const struct watch *watch,
                        int d, struct error *err)
{
    const size_t width = (size_t)d;
    size_t first = (size_t)p->n * (size_t)group / JACKKNIFE_GROUPS;
    size_t next = (size_t)p->n * (size_t)(group + 1) / JACKKNIFE_GROUPS;
    size_t after = (size_t)p->n - next;

    memcpy(p->vectors, p->all, first * width * sizeof(*p->vectors));
    memcpy(p->vectors + first * width, p->all + next * width, after * width * sizeof(*p->vectors));
    p->left = (int)(first + after);
    return distance_moments(pool, watch, p->vectors, p->left, d, p->mean, p->covariance, err);
}

static int measure(const struct part *x, const struct part *y, struct pool *pool,
                   const struct watch *watch, int d, double out[FIGURES], struct error *err)
{
    int n = x->left < y->left ? x->left : y->left;
    int rc = distance_frechet(pool, watch, d, x->mean, x->covariance, y->mean, y->covariance,
                              &out[FRECHET], err);

    if (rc == 0)
        rc = distance_coverage(pool, watch, x->vectors, n, y->vectors, n, d, &out[PRECISION], err);
    if (rc == 0)
        rc = distance_coverage(pool, watch, y->vectors, n, x->vectors, n, d, &out[RECALL], err);
    return rc;
}

static double error_of(double figures[JACKKNIFE_GROUPS][FIGURES], int which)
{
    const int g = JACKKNIFE_GROUPS;
    double mean = 0, sum = 0;

    for (int i = 0; i < g; i++)
        mean += figures[i][which] / g;
    for (int i = 0; i < g; i++)
        sum += (figures[i][which] - mean) * (figures[i][which] - mean);
    return sqrt(sum * (g - 1) / g);
}

int jackknife_errors(struct pool *pool, const struct watch *watch, const double *x, int n,
                     const double *y, int m, int d, struct jackknife *out, struct error *err)
{
    double figures[JACKKNIFE_GROUPS][FIGURES];
    struct part parts[2] = {{0}, {0}};
    int rc;

    if (n < 5 * JACKKNIFE_GROUPS || m < 5 * JACKKNIFE_GROUPS)
        return error_set(err, -EINVAL,
                         "%d and %d pictures are too few for intervals: %d are needed", n, m,
                         5 * JACKKNIFE_GROUPS);
    rc = part_init(&parts[0], x, n, d, err);
    if (rc == 0)
        rc = part_init(&parts[1], y, m, d, err);
    for (int i = 0; i < JACKKNIFE_GROUPS && rc == 0; i++) {
        rc = part_without(&parts[0], i, pool, watch, d, err);
        if (rc == 0)
            rc = part_without(&parts[1], i, pool, watch, d, err);
        if (rc == 0)
            rc = measure(&parts[0], &parts[1], pool, watch, d, figures[i], err);
    }
    if (rc == 0)
        *out = (struct jackknife){error_of(figures, FRECHET), error_of(figures, PRECISION),
                                  error_of(figures, RECALL)};
    part_fini(&parts[0]);
    part_fini(&parts[1]);
    return rc;
}
