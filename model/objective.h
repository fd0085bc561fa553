/* Soft Score Matching as one program: loss and gradients of a batch.
 *
 * x_t = C_t x_0 + sigma_t eta; h = denoiser(x_t, t);
 *     soft (Daras et al. 2023, Eq. 12):  L_i = 1/2 ||C_t (h - x_0)||^2 w(t)
 *     plain x_0 residual:                L_i = 1/2 ||h - x_0||^2 w(t)
 * with w = 1/sigma_t^2 (phi - (x_0 - x_t) = h - x_0). The batch loss is sum_i dloss_i L_i, where
 * the paper has dloss_i = 1/B; gradients are of that sum.
 */
#ifndef MODEL_OBJECTIVE_H
#define MODEL_OBJECTIVE_H

#include "engine/device.h"
#include "model/denoiser.h"

#include <stdbool.h>

enum loss { LOSS_SOFT, LOSS_PLAIN };

struct objective_options {
    enum loss loss;
    bool eta_given; /* eta is an input instead of drawn from the key (tests) */
    bool dropout;   /* masks drawn from the key at the architecture's rate */
};

struct objective {
    struct denoiser denoiser;
    int x0;           /* in  [n,h,w,c], in [0,1] */
    int key;          /* in  [n,4]; -1 when neither noise nor dropout is drawn */
    int eta;          /* in  [n,h,w,c] when eta_given */
    int coefficients; /* in  [n,2]: 1, sigma_t */
    int weight;       /* in  [n,1]: w(t) */
    int dloss;        /* in  [n,1] */
    int label;        /* in  [n,1] as ncsnpp_append() says; -1 without labels */
    int x_t;          /* out [n,h,w,c] */
    int loss;         /* out [n,1]: L_i */
    int n_gradients;  /* one per parameter of the program, in its order */
    int *gradients;   /* out: unbatched values; -1 for the frozen Fourier frequencies. Owned */
};

/* What a device is to train in when asked for a precision: gradients leave the range of float16, so
 * "auto" is bf16 there, or fp32. 0, or -ENOTSUP for fp16 and what the device lacks. */
int objective_precision(struct device *device, enum precision wanted, enum precision *out,
                        struct error *err);

int objective_append(struct program *p, const struct formulation *f,
                     const struct objective_options *options, struct objective *out,
                     struct error *err);
void objective_fini(struct objective *o);

struct philox_key;

/* Fills everything of image i but x0 and eta: operators, sigma, weight, time, key, dloss; its label is
 * none. */
void objective_write_time(const struct objective *o, const struct formulation *f,
                          struct executor *executor, int i, double t, double dloss,
                          const struct philox_key *key);

#endif
