/* The optimiser: gradient clipping, Adam with warm-up and decay, and the moving average (EMA).
 *
 * Sources: Kingma and Ba 2015 (arXiv:1412.6980) in the form of torch.optim.Adam; warm-up, clipping
 * and the average's ramp as in yang-song/score_sde_pytorch (cb1f359), losses.py and models/ema.py.
 *
 * Everything works on flat arrays of all parameters. Sums run in blocks of fixed size added up in
 * order, so the result does not depend on the number of threads.
 */
#ifndef TOOLS_TRAIN_OPTIMIZER_H
#define TOOLS_TRAIN_OPTIMIZER_H

#include <stddef.h>
#include <stdint.h>

struct pool;

enum decay { DECAY_NONE, DECAY_LINEAR, DECAY_COSINE };

struct optimizer_options {
    double lr;           /* after the warm-up, > 0 */
    uint64_t warmup;     /* steps; the rate rises linearly from 0 at step 0. 0: no warm-up */
    enum decay decay;    /* how the rate falls to 0 at step `steps` */
    double decay_from;   /* fraction of the steps where the fall begins, [0, 1) */
    uint64_t steps;      /* length of the training; read by decay only */
    double beta1, beta2; /* [0, 1) */
    double eps;          /* > 0 */
    double clip;         /* largest global L2 norm of the gradient; 0: never clipped */
    double ema;          /* decay of the average in the long run, [0, 1) */
};

/* Arrays of n floats each, all borrowed. Where the gradient is always 0 (frozen parameters), the
 * weights stay as they are. */
struct optimizer_state {
    size_t n;
    float *weights;
    float *ema;
    float *m, *v; /* Adam's moments, 0 at the start */
    const float *gradient;
};

/* The learning rate of a step, counted from 0: the first is 0 with a warm-up. */
double optimizer_lr(const struct optimizer_options *o, uint64_t step);

/* The average's decay at its n-th update, counted from 1: min(ema, (1 + n) / (10 + n)). */
double optimizer_ema_decay(const struct optimizer_options *o, uint64_t n);

/* Global L2 norm of n numbers, accumulated in double. pool may be NULL: this thread alone. */
double optimizer_norm(struct pool *pool, const float *x, size_t n);

/* One update, number `step` from 0, of weights, moments and average, with the gradient times
 * min(1, clip / (norm + 1e-6)). pool may be NULL. */
void optimizer_update(const struct optimizer_options *o, struct pool *pool, uint64_t step,
                      double norm, const struct optimizer_state *s);

#endif
