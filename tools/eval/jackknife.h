/* How sure figures of comparison.h are, from the pictures at hand alone.
 *
 * Both sets are cut into groups at random, and every figure is computed again without the i-th group of
 * either: what these vary by tells what the figure would vary by with other pictures (the delete-a-group
 * jackknife, Shao and Wu 1989). A bootstrap, which draws pictures twice, would make them their own
 * nearest neighbours, and precision and recall meaningless. Theirs come out up to twice too large: who is
 * whose neighbour jumps when a group goes.
 */
#ifndef TOOLS_EVAL_JACKKNIFE_H
#define TOOLS_EVAL_JACKKNIFE_H

#include <stdbool.h>

struct error;
struct pool;
struct watch;

enum { JACKKNIFE_GROUPS = 10, JACKKNIFE_LEAST = 5 * JACKKNIFE_GROUPS };

/* Standard errors. */
struct jackknife {
    double frechet, sliced, mind;
    double precision, recall; /* of as many of either, as comparison.h has them */
};

/* x [n,d] and y [m,d], each in a random order; n, m >= JACKKNIFE_LEAST. with_coverage: precision and recall,
 * too, which else are NAN. watch may be NULL.
 * 0, -EINVAL (fewer), -ECANCELED, -ERANGE, -ENOMEM or -EIO. */
int jackknife_errors(struct pool *pool, const struct watch *watch, const double *x, int n,
                     const double *y, int m, int d, bool with_coverage, struct jackknife *out,
                     struct error *err);

#endif
