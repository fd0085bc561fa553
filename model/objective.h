/* Soft Score Matching as one program: loss and gradients of a batch.
 *
 * x_t = C_t x_0 + sigma_t eta; h = denoiser(x_t, t);
 *     soft (Daras et al. 2023, Eq. 12):  L_i = 1/2 ||C_t (h - x_0)||^2 w(t)
 *     plain x_0 residual:                L_i = 1/2 ||h - x_0||^2 w(t)
 * with w = 1/sigma_t^2 or 1, always 1 without noise (phi - (x_0 - x_t) = h - x_0). The batch loss is sum_i dloss_i L_i, where
 * the paper has dloss_i = 1/B; gradients are of that sum.
 *
 * What may be added to it, ours but for the second:
 *     look ahead    the C of the loss is that of an earlier time, max(t - ahead, 0), of each image: what the
 *                   next steps of a sampler see of h counts, too; and residual > 0 adds
 *                   residual times the plain loss, which sees everything
 *     perturbation  the network is given x_t + gamma sigma_t xi, with noise xi of its own, and asked for
 *                   the phi of x_t: Ning et al. 2023 (arXiv:2301.11706), Algorithm 1, where it is said
 *                   of eps. A sampler's x is not exactly an x_t, either
 *     colors        h - x_0 is multiplied, pixel by pixel, by a matrix of colours (color_fit.h), which
 *                   says what an error in each of them counts
 */
#ifndef MODEL_OBJECTIVE_H
#define MODEL_OBJECTIVE_H

#include "engine/base/philox.h"
#include "engine/device.h"
#include "model/denoiser.h"

#include <stdbool.h>

enum loss { LOSS_SOFT, LOSS_PLAIN };
enum loss_weight { LOSS_WEIGHT_SIGMA, LOSS_WEIGHT_ONE }; /* 1/sigma_t^2, 1 */

#define OBJECTIVE_COLORS "loss.colors" /* table [c,c], to be written where options.colors */

struct objective_options {
    enum loss loss;
    enum loss_weight weight;
    bool look_ahead;    /* LOSS_SOFT only */
    float residual;     /* LOSS_SOFT only; 0: not added */
    float perturbation; /* gamma; 0: none */
    bool colors;
    bool eta_given; /* eta, and xi, are inputs instead of drawn from the key (tests) */
    bool dropout;   /* masks drawn from the key at the architecture's rate */
};

struct objective {
    struct denoiser denoiser;
    int x0;           /* in  [n,h,w,c], in [0,1] */
    int key;          /* in  [n,4]; -1 when neither noise nor dropout is drawn */
    int eta, xi;      /* in  [n,h,w,c] when eta_given; xi with a perturbation only */
    int coefficients; /* in  [n,2]: 1, sigma_t; with a perturbation [n,3]: and gamma sigma_t */
    int weight;       /* in  [n,1]: w(t) */
    int dloss;        /* in  [n,1] */
    int label;        /* in  [n,1] as ncsnpp_append() says; -1 without labels */
    int augment;      /* in  [n,AUGMENTATION_NUMBERS]; -1 where the architecture has none */
    struct operator_values c_loss; /* in: C of the loss where it looks ahead */
    struct objective_options options;
    int x_t;         /* out [n,h,w,c]: what the network is given */
    int loss;        /* out [n,1]: L_i */
    int n_gradients; /* one per parameter of the program, in its order */
    int *gradients;  /* out: unbatched values; -1 for the frozen Fourier frequencies. Owned */
};

/* What a device is to train in when asked for a precision: gradients leave the range of float16, so
 * "auto" is bf16 there, or fp32. 0, or -ENOTSUP for fp16 and what the device lacks. */
int objective_precision(struct device *device, enum precision wanted, enum precision *out,
                        struct error *err);

int objective_append(struct program *p, const struct formulation *f,
                     const struct objective_options *options, struct objective *out,
                     struct error *err);
void objective_fini(struct objective *o);

/* What an image is to the objective beside its pixels. */
struct objective_row {
    double t;
    double ahead; /* >= 0; 0 unless options.look_ahead */
    double dloss;
    int label;            /* 1 .. n_labels; 0: none */
    const float *augment; /* [AUGMENTATION_NUMBERS]; NULL: 0 */
    struct philox_key key;
};

/* Fills everything of image i but x0, eta and xi: operators, sigma, weight, time, label, augmentation, key, dloss. */
void objective_write_row(const struct objective *o, const struct formulation *f,
                         struct executor *executor, int i, const struct objective_row *row);

#endif
