/* The prior q_1: where generation starts.
 *
 * x_1 = V c V^T per channel + sigma_1 eta, with c Gaussian: mean and full covariance of the
 * leading eigenmodes of the strongest blur, fitted on the training set with its mirror images.
 * Modes (i, j) with i + j < n_modes; n_modes (n_modes + 1) / 2 per channel. Other corruptions (noise,
 * mask, vp) have n_modes 0 and x_1 = C_1 mu + sigma_1 eta with mu the mean image, or sigma_1 eta
 * alone where there is no start: in checkpoints of format 1, and where C_1 mu is 0.
 */
#ifndef MODEL_PRIOR_H
#define MODEL_PRIOR_H

#include <stdint.h>

struct corruption;
struct error;
struct philox_key;

enum {
    PRIOR_MODES = 5,
    PRIOR_CHANNELS_MAX = 16,
    PRIOR_PAIRS = PRIOR_MODES * (PRIOR_MODES + 1) / 2, /* modes (i, j) with i + j < PRIOR_MODES */
    PRIOR_COEFFICIENTS_MAX = PRIOR_CHANNELS_MAX * PRIOR_PAIRS,
};

struct prior {
    int side;           /* image side_px */
    int channels;       /* of an image */
    int n_modes;        /* 0 or PRIOR_MODES */
    int n_coefficients; /* channels n_modes (n_modes + 1) / 2 */
    float *basis;       /* [side, n_modes] orthonormal columns V */
    float *mean;        /* [n_coefficients], channel-major, then i, then j */
    float *start;       /* C_1 mu [side, side, channels], only with n_modes 0; or NULL */
    float *chol;        /* [n_coefficients, n_coefficients], lower triangle, row major */
};

void prior_fini(struct prior *prior);

/* Lets a prior without modes, and without a start, begin at C(level) mean; where that is 0 it stays
 * without. mean [side, side, channels]. 0 or -ENOMEM. */
int prior_start_at(struct prior *prior, const struct corruption *c, double level, const float *mean,
                   struct error *err);

/* Draws c for (seed, image) of the key: [n_coefficients]. weights: how much of the normals of the key
 * and of the other key, (1, 0) for the key alone. Uses PHILOX_STREAM_PRIOR. No allocation. */
void prior_coefficients(const struct prior *prior, const struct philox_key *key,
                        const float weights[2], const struct philox_key *other, float *out);

#endif
