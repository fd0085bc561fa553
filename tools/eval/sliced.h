/* Sliced Wasserstein distance of sets of vectors: the mean over directions of how far their projections
 * are from one another as sets of numbers. On features of pictures it is what MIND measures
 * (arXiv:2605.06797): it looks at whole laws, not at means and covariances only, and needs fewer pictures
 * than a Frechet distance does.
 */
#ifndef TOOLS_EVAL_SLICED_H
#define TOOLS_EVAL_SLICED_H

struct error;
struct pool;
struct watch;

enum { SLICED_DIRECTIONS = 1024 };

/* The square root of the mean, over SLICED_DIRECTIONS directions that are always the same ones, of the
 * squared 2-Wasserstein distance between the projections of x [n,d] and y [m,d]. Does not depend on the
 * threads of the pool. watch may be NULL. 0, -ECANCELED or -ENOMEM. */
int sliced_distance(struct pool *pool, const struct watch *watch, const double *x, int n,
                    const double *y, int m, int d, double *out, struct error *err);

#endif
