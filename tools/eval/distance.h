/* Distances between sets of vectors: the mathematics of comparing pictures by their features.
 *
 * Vectors are rows, x [n,d]. Everything is computed in double, with sums in a fixed order: results
 * do not depend on the threads of the pool. watch may be NULL; all return -ECANCELED where it says so.
 */
#ifndef TOOLS_EVAL_DISTANCE_H
#define TOOLS_EVAL_DISTANCE_H

struct error;
struct pool;
struct watch;

enum { DISTANCE_NEIGHBOUR = 3 };

/* mean [d] and covariance [d,d], over n - 1. n >= 2. 0 or -ENOMEM. */
int distance_moments(struct pool *pool, const struct watch *watch, const double *x, int n, int d,
                     double *mean, double *covariance, struct error *err);

/* The Frechet distance of two Gaussians, |mean_a - mean_b|^2 + tr(A + B - 2 (A B)^1/2), Heusel et
 * al. 2017 (arXiv:1706.08500). The trace of the root is taken from the eigenvalues of the symmetric
 * R B R^T, where A = R^T R, which are those of A B; values below zero, from rounding, count as zero.
 * 0, -ENOMEM, -ERANGE (not finite) or -EIO (LAPACK found no eigenvalues). */
int distance_frechet(struct pool *pool, const struct watch *watch, int d, const double *mean_a,
                     const double *covariance_a, const double *mean_b, const double *covariance_b,
                     double *out, struct error *err);

/* Means of the kernel (x.y / d + 1)^3: over pairs of different vectors of x (n >= 2), and over
 * pairs of x and y. The kernel distance (KID, Binkowski et al. 2018, arXiv:1801.01401; unbiased,
 * over all vectors at once) is within(x) + within(y) - 2 between(x, y). 0 or -ENOMEM. */
int distance_kernel_within(struct pool *pool, const struct watch *watch, const double *x, int n,
                           int d, double *out, struct error *err);
int distance_kernel_between(struct pool *pool, const struct watch *watch, const double *x, int n,
                            const double *y, int m, int d, double *out, struct error *err);

/* The kernel distance, and its standard error: what it would vary by if as many other vectors of both
 * laws were drawn, by the first term of a U-statistic's variance. Of equal laws that term is 0, and what
 * is found is rather too large. n, m >= 2. 0 or -ENOMEM. */
int distance_kernel(struct pool *pool, const struct watch *watch, const double *x, int n,
                    const double *y, int m, int d, double *out, double *error, struct error *err);

/* The part of x that lies within the distance of some vector of y to its third neighbour in y:
 * precision where x are samples and y is real, recall where x is real and y are samples
 * (Kynkaanniemi et al. 2019, arXiv:1904.06991). m > DISTANCE_NEIGHBOUR. 0, -EINVAL (m) or -ENOMEM. */
int distance_coverage(struct pool *pool, const struct watch *watch, const double *x, int n,
                      const double *y, int m, int d, double *out, struct error *err);

#endif
