/* The second half of a training step, as a piece of program: from the summed gradient to new weights.
 * It runs once, on flat arrays of all weights that are state:
 *
 *     weights    as parameters_keep() has them
 *     gradient   what the objective's plan has added up; 0 afterwards
 *     m, v       Adam's moments
 *     ema        the moving average of the weights
 *     average.I  more of them, each with a decay of its own
 *
 * Sources: Kingma and Ba 2015 (arXiv:1412.6980) in the form of torch.optim.Adam; clipping and the
 * average as in yang-song/score_sde_pytorch (cb1f359), losses.py and models/ema.py. Where the
 * gradient's norm is not finite nothing changes, but for the gradient, which is 0 then, too.
 */
#ifndef MODEL_UPDATE_H
#define MODEL_UPDATE_H

#include <stddef.h>

struct error;
struct executor;
struct program;

/* Names of the states. */
#define UPDATE_WEIGHTS  "weights"
#define UPDATE_GRADIENT "gradient"
#define UPDATE_M        "m"
#define UPDATE_V        "v"
#define UPDATE_EMA      "ema"
enum { UPDATE_AVERAGES_MAX = 4 };
extern const char *const update_average_names[UPDATE_AVERAGES_MAX];

struct update {
    int numbers;    /* in, unbatched: of Adam */
    int rates;      /* in, unbatched: of the averages, ema first */
    int n_averages; /* beside ema */
    int norm;       /* out [1]: of the gradient, before the clip */
};

/* The numbers of one update, t counted from 1. */
struct update_numbers {
    double clip;         /* largest norm of the gradient; 0: never clipped */
    double lr;           /* of this step */
    double beta1, beta2; /* [0, 1) */
    double eps;          /* > 0 */
    double t;            /* updates, this one included: corrects the moments, which begin at 0 */
    double ema_decay;    /* of this step, [0, 1] */
    double decays[UPDATE_AVERAGES_MAX]; /* the same of the other averages */
};

/* Appends to p for `count` weights and so many averages beside ema, 0 .. UPDATE_AVERAGES_MAX. 0, or the
 * program's first error. */
int update_append(struct program *p, size_t count, int n_averages, struct update *out,
                  struct error *err);

/* Fills the numbers of the next run. */
void update_write(const struct update *u, struct executor *executor,
                  const struct update_numbers *numbers);

#endif
