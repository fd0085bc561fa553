/* Scales of the network's input and output, `output: scaled`:
 *     h = x_t + c_out(t) F(c_in(t) x_t, t)
 * with c_out = rms(x_0 - x_t), what the network has to find, and c_in = 1 / rms(x_t), in the unit
 * that the architecture gives its network: 2 x_t - 1, or x_t where it is centered. While there is noise
 * alone c_out is sigma_t, the scale_by_sigma of Song et al. 2021 (arXiv:2011.13456); with
 * blur it is what the blur has taken as well. After Karras et al. 2022 (arXiv:2206.00364).
 *
 * Moments of the data at SCALING_TIMES equally spaced t, interpolated linearly; the noise, which is
 * known, is added exactly.
 */
#ifndef MODEL_SCALING_H
#define MODEL_SCALING_H

#include <stdbool.h>

enum { SCALING_TIMES = 129 };

struct scaling {
    float
        *moments; /* [SCALING_TIMES, 2], >= 0: mean square of C_t x_0 in the network's unit, and of
                       x_0 - C_t x_0 */
};

void scaling_fini(struct scaling *s);

/* The scales at one t, whose noise is sigma; centered as in the architecture. */
void scaling_at(const struct scaling *s, double t, double sigma, bool centered, float *c_in,
                float *c_out);

#endif
