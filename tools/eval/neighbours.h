/* The vectors of one set that are nearest to those of another: whether samples are copies of what a model
 * was trained on (Daras et al. 2023, Fig. 9).
 */
#ifndef TOOLS_EVAL_NEIGHBOURS_H
#define TOOLS_EVAL_NEIGHBOURS_H

#include <stdbool.h>

struct error;
struct pool;
struct watch;

struct neighbour {
    int index; /* in y */
    double distance;
};

/* The k nearest of y [m,d] to every one of x [n,d], by rising distance: out [n,k]. within: x is y, and
 * none is its own neighbour. Of equal distances the first counts. watch may be NULL.
 * 0, -EINVAL (y has fewer), -ECANCELED or -ENOMEM. */
int neighbours_find(struct pool *pool, const struct watch *watch, const double *x, int n,
                    const double *y, int m, int d, bool within, int k, struct neighbour *out,
                    struct error *err);

/* The median of the distances to the nearest, of n with k each. n >= 1. 0 or -ENOMEM. */
int neighbours_median(const struct neighbour *found, int n, int k, double *out, struct error *err);

#endif
