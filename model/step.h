/* One row of a sampler as a piece of program: the network, the corruption at three times of the step
 * and the combination of model/sampler.h, for a batch whose images may be at different rows of
 * different samplers. In between, where wanted, h is led:
 *
 *     guidance     h <- w h + (1 - w) u, with u the h of an evaluation before (classifier-free
 *                  guidance, Ho and Salimans 2022, arXiv:2207.12598: u is without a label); since C
 *                  is linear, this is the same as guiding the score
 *     restoration  h <- h + g A^T (M (y - A h)), M a mask, A a blur or the identity: a step towards
 *                  the pictures that are y once they are corrupted. With A = 1 and g = 1 the pixels of
 *                  the mask become those of y (after Wang et al. 2022, DDNM, arXiv:2212.00490)
 */
#ifndef MODEL_STEP_H
#define MODEL_STEP_H

#include "model/denoiser.h"
#include "model/sampler.h"

/* Values [n,h,w,c] that a step begins with, exact; -1 where there are none. */
struct step_inputs {
    int x, m, eta;
    int u;       /* with labels: see above */
    int y, mask; /* for restoration; mask [n,h,w,1] */
};

struct step {
    struct denoiser denoiser;
    int coefficients;                              /* in [n,14], with labels [n,15] */
    struct operator_values c[SAMPLER_CORRUPTIONS]; /* in */
    int label, guidance;                           /* in [n,1] and [n,2], with labels; else -1 */
    struct operator_values a; /* in: A as a row and a gate, for restoration; first -1: none */
    int restoration;          /* in [n,3]: 1, -1, g; else -1 */
    int u;                    /* out: the denoiser's h, before it is led */
    int h;                    /* out: h */
    int next_x, next_m;       /* out: x' and m' */
};

/* What leads a row; all 0: nothing does, and the bytes are those of a step that could not. */
struct step_lead {
    int label;         /* 1 .. n_labels, 0: none */
    bool guided;       /* with weight w */
    float guidance;    /* w */
    bool hold;         /* the row only finds u: x' = x, m' = m */
    float restoration; /* g; 0: no restoration */
    const float *a;    /* [h] weights of distance 0 .. h - 1 of A; read with restoration */
};

/* Appends to p. 0 or the program's first error. */
int step_append(struct program *p, const struct formulation *f, const struct step_inputs *inputs,
                struct step *out, struct error *err);

/* Fills everything of image i but what step_inputs says. lead: NULL for nothing. */
void step_write(const struct step *s, const struct formulation *f, struct executor *executor, int i,
                const struct sampler_row *row, const struct step_lead *lead);

#endif
