/* One row of a sampler as a piece of program: the network, the corruption at three times of the step
 * and the combination of model/sampler.h, for a batch whose images may be at different rows of
 * different samplers.
 */
#ifndef MODEL_STEP_H
#define MODEL_STEP_H

#include "model/denoiser.h"
#include "model/sampler.h"

struct step {
    struct denoiser denoiser;
    int coefficients; /* in [n,14] */
    struct operator_values c[SAMPLER_CORRUPTIONS];
    int next_x, next_m; /* out, exact [n,h,w,c]: x' and m' */
};

/* Appends to p. x, m, eta: exact [n,h,w,c]. 0 or the program's first error. */
int step_append(struct program *p, const struct formulation *f, int x, int m, int eta,
                struct step *out, struct error *err);

/* Writes everything of image i but x, m and eta. scratch: denoiser_scratch_floats(). */
int step_write(const struct step *s, const struct formulation *f, struct executor *executor, int i,
               const struct sampler_row *row, float *scratch, struct error *err);

#endif
