#include "tools/eval/jackknife.h"
#include "engine/base/error.h"
#include "tools/eval/distance.h"
#include "tools/eval/sliced.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FRECHET, SLICED, MIND, PRECISION, RECALL, FIGURES };

/* One of both sets without one of its groups, and its moments, which are those of the other groups put
 * together. */
struct part {
    const double *all; /* [n,d] */
    int n, left;       /* vectors of all, and of those that are left */
    double *vectors, *mean, *covariance;
    double *means, *covariances; /* of the groups */
};

/* The first vector of a group, or of what would come after the last. */
static size_t group_first(int n, int group)
{
    return (size_t)n * (size_t)group / JACKKNIFE_GROUPS;
}

static int part_init(struct part *p, const double *all, int n, int d, struct pool *pool,
                     const struct watch *watch, struct error *err)
{
    const size_t width = (size_t)d, cells = width * width;
    int rc = 0;

    *p = (struct part){.all = all, .n = n};
    p->vectors = malloc((size_t)n * width * sizeof(*p->vectors));
    p->mean = malloc(width * sizeof(*p->mean));
    p->covariance = malloc(cells * sizeof(*p->covariance));
    p->means = malloc(JACKKNIFE_GROUPS * width * sizeof(*p->means));
    p->covariances = malloc(JACKKNIFE_GROUPS * cells * sizeof(*p->covariances));
    if (!p->vectors || !p->mean || !p->covariance || !p->means || !p->covariances)
        return error_set(err, -ENOMEM, "out of memory for parts of %d pictures", n);
    for (int i = 0; i < JACKKNIFE_GROUPS && rc == 0; i++) {
        size_t first = group_first(n, i), count = group_first(n, i + 1) - first;

        rc =
            distance_moments(pool, watch, all + first * width, (int)count, d,
                             p->means + (size_t)i * width, p->covariances + (size_t)i * cells, err);
    }
    return rc;
}

static void part_fini(struct part *p)
{
    free(p->vectors);
    free(p->mean);
    free(p->covariance);
    free(p->means);
    free(p->covariances);
}

/* Moments of all groups but one: the scatter within the groups, and that of their means. */
static void part_join_moments(struct part *p, int without, int d)
{
    const size_t width = (size_t)d, cells = width * width;

    memset(p->mean, 0, width * sizeof(*p->mean));
    memset(p->covariance, 0, cells * sizeof(*p->covariance));
    for (int g = 0; g < JACKKNIFE_GROUPS; g++) {
        double count = (double)(group_first(p->n, g + 1) - group_first(p->n, g));

        for (size_t i = 0; g != without && i < width; i++)
            p->mean[i] += p->means[(size_t)g * width + i] * count / p->left;
    }
    for (int g = 0; g < JACKKNIFE_GROUPS; g++) {
        double count = (double)(group_first(p->n, g + 1) - group_first(p->n, g));
        const double *mean = p->means + (size_t)g * width;
        const double *covariance = p->covariances + (size_t)g * cells;

        for (size_t i = 0; g != without && i < width; i++)
            for (size_t j = 0; j < width; j++)
                p->covariance[i * width + j] +=
                    ((count - 1) * covariance[i * width + j] +
                     count * (mean[i] - p->mean[i]) * (mean[j] - p->mean[j])) /
                    (p->left - 1);
    }
}

static void part_leave_out(struct part *p, int group, int d)
{
    const size_t width = (size_t)d, first = group_first(p->n, group);
    const size_t next = group_first(p->n, group + 1), after = (size_t)p->n - next;

    memcpy(p->vectors, p->all, first * width * sizeof(*p->vectors));
    memcpy(p->vectors + first * width, p->all + next * width, after * width * sizeof(*p->vectors));
    p->left = (int)(first + after);
    part_join_moments(p, group, d);
}

static int measure(const struct part *x, const struct part *y, bool with_coverage,
                   struct pool *pool, const struct watch *watch, int d, double out[FIGURES],
                   struct error *err)
{
    int n = x->left < y->left ? x->left : y->left;
    int rc = distance_frechet(pool, watch, d, x->mean, x->covariance, y->mean, y->covariance,
                              &out[FRECHET], err);

    out[PRECISION] = out[RECALL] = NAN;
    if (rc == 0)
        rc = sliced_distance(pool, watch, x->vectors, x->left, y->vectors, y->left, d, &out[SLICED],
                             err);
    if (rc == 0)
        out[MIND] = sliced_mind(out[SLICED], d);
    if (rc == 0 && with_coverage)
        rc = distance_coverage(pool, watch, x->vectors, n, y->vectors, n, d, &out[PRECISION], err);
    if (rc == 0 && with_coverage)
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
                     const double *y, int m, int d, bool with_coverage, struct jackknife *out,
                     struct error *err)
{
    double figures[JACKKNIFE_GROUPS][FIGURES];
    struct part parts[2] = {{0}, {0}};
    int rc;

    if (n < JACKKNIFE_LEAST || m < JACKKNIFE_LEAST)
        return error_set(err, -EINVAL,
                         "%d and %d pictures are too few for intervals: %d are needed", n, m,
                         JACKKNIFE_LEAST);
    rc = part_init(&parts[0], x, n, d, pool, watch, err);
    if (rc == 0)
        rc = part_init(&parts[1], y, m, d, pool, watch, err);
    for (int i = 0; i < JACKKNIFE_GROUPS && rc == 0; i++) {
        part_leave_out(&parts[0], i, d);
        part_leave_out(&parts[1], i, d);
        rc = measure(&parts[0], &parts[1], with_coverage, pool, watch, d, figures[i], err);
    }
    if (rc == 0)
        *out = (struct jackknife){error_of(figures, FRECHET), error_of(figures, SLICED),
                                  error_of(figures, MIND), error_of(figures, PRECISION),
                                  error_of(figures, RECALL)};
    part_fini(&parts[0]);
    part_fini(&parts[1]);
    return rc;
}
