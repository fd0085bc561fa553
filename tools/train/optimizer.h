/* The optimiser's settings, and what changes from step to step: warm-up and decay of the learning
 * rate, the ramp of the moving average (EMA), the decays of other averages
 * (model/fit/average_fit.h). The update itself is model/update.h.
 *
 * Sources: warm-up and the average's ramp as in yang-song/score_sde_pytorch (cb1f359), losses.py and
 * models/ema.py.
 */
#ifndef TOOLS_TRAIN_OPTIMIZER_H
#define TOOLS_TRAIN_OPTIMIZER_H

#include "model/update.h"

#include <stddef.h>
#include <stdint.h>

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
    int n_averages;      /* beside it ... */
    double lengths[UPDATE_AVERAGES_MAX]; /* ... as part of the training so far, average_decay() */
};

/* Copies of the arrays on the host, n floats each. */
struct optimizer_state {
    size_t n;
    float *weights;
    float *ema;
    float *m, *v; /* Adam's moments, 0 at the start */
    int n_averages;
    float *averages[UPDATE_AVERAGES_MAX];
};

/* All arrays, 0; to be released with optimizer_state_fini(). 0 or -ENOMEM. */
int optimizer_state_init(struct optimizer_state *s, size_t n, int n_averages);
void optimizer_state_fini(struct optimizer_state *s);

/* All of them in one list, and how they are called in a file and in the state of a device; returns how
 * many. */
enum { OPTIMIZER_ARRAYS_MAX = 4 + UPDATE_AVERAGES_MAX };
struct optimizer_array {
    const char *file_name, *state_name;
    float *values;
};
int optimizer_state_list(const struct optimizer_state *s,
                         struct optimizer_array out[OPTIMIZER_ARRAYS_MAX]);

/* The learning rate of a step, counted from 0: the first is 0 with a warm-up. */
double optimizer_lr(const struct optimizer_options *o, uint64_t step);

/* The average's decay at its n-th update, counted from 1: min(ema, (1 + n) / (10 + n)). */
double optimizer_ema_decay(const struct optimizer_options *o, uint64_t n);

/* The numbers of the update of a step, counted from 0. */
struct update_numbers optimizer_numbers(const struct optimizer_options *o, uint64_t step);

#endif
