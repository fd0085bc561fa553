/* The best linear estimate of pictures from degraded ones (Wiener's): what can be said of them if all
 * that is known of pictures is their mean and the covariance of every value with every other.
 *
 *     x = mu + S A^T (A S A^T + s^2)^-1 (y - A mu)
 *
 * It has the least mean squared error that any linear map has, and of all maps if pictures were Gaussian.
 */
#ifndef TOOLS_EVAL_LINEAR_ESTIMATE_H
#define TOOLS_EVAL_LINEAR_ESTIMATE_H

#include <stdint.h>

struct degrader;
struct error;
struct linear_estimate;
struct pool;
struct watch;

enum { LINEAR_ESTIMATE_SIDE_MAX = 64 }; /* px: three matrices of 1.2 GB there */

/* pixels [n,side,side,channels] of other pictures than will be restored, with their mirror images.
 * 0, -EINVAL (a side too large, fewer than 2), -ENOMEM or -ECANCELED. */
int linear_estimate_fit(struct pool *pool, const struct watch *watch, int n, int side, int channels,
                        const uint8_t *pixels, struct linear_estimate **out, struct error *err);
void linear_estimate_destroy(struct linear_estimate *e);

/* y, x: [n,side,side,channels] as degrader_degrade() makes them -> the estimates, in 8 bits; what is known
 * for certain stays. 0, -ENOMEM or -EIO (LAPACK). */
int linear_estimate_of(struct linear_estimate *e, struct degrader *d, int n, const uint8_t *y,
                       uint8_t *x, struct error *err);

#endif
