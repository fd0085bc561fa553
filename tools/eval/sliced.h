/* Sliced Wasserstein distance of sets of vectors: the mean over directions of how far their projections
 * are from one another as sets of numbers. On features of pictures it looks at whole laws, not at means
 * and covariances only, and needs fewer pictures than a Frechet distance does.
 *
 * Its square, times 3 d, is the Monge Inception Distance, MIND, Berthet et al. 2026 (arXiv:2605.06797,
 * Eq. 3.1): d undoes the mean over directions, so that it is of the size of a Frechet distance, and a
 * set that is moved by v is 3 |v|^2 away. The paper has Inception's features, 5,000 pictures on either
 * side and 100 to 1,000 directions. Differs: sets of different sizes are compared whole, by the integral
 * over their quantiles; others drop pictures of the larger one.
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

/* The Monge Inception Distance of sets of vectors [d] that sliced_distance() finds this far apart. */
double sliced_mind(double distance, int d);

#endif
