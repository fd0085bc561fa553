/* Samplers as tables of coefficients: one row per network evaluation.
 *
 * With h the predicted clean image at t, C and C' the corruption at `from` and `to`, and m one
 * image of memory per lane, every row does
 *     g  = h + extrapolate (h - m)
 *     x' = x_scale x + m_scale m + y_scale C g + y_next_scale C' g + eta_scale eta
 *     m' = keep_x x + keep_h h
 * The grid is t_i = 1 - i/N; the last step goes to sigma 0 and the clean level, so that it returns
 * h. Names on the wire and sources:
 *     momentum            Daras et al. 2023, Alg. 2 (no noise in the last step)
 *     probability-flow    Eq. 44, last step denoised (x' = h)
 *     pf-literal          Eq. 44 to the letter: half of the remaining noise stays
 *     naive               Alg. 1, for comparison
 *     pf-sigma            x' = C' h + (s'/s)(x - C h): exponential integrator (DDIM form)
 *     ancestral           x' = C' h + (s'^2/s^2)(x - C h) + sqrt(s'^2 (s^2 - s'^2)/s^2) eta
 *     pf-2m               two-step exponential integrator, after Lu et al. 2022 (2211.01095):
 *                         pf-sigma on h + (h - h_prev)/2; plain in the first and the last step
 *     pf-heun             Heun, after Karras et al. 2022 (2206.00364): two evaluations per step;
 *                         the last step is pf-sigma, and so is the first where nfe is even
 */
#ifndef MODEL_SAMPLER_H
#define MODEL_SAMPLER_H

struct error;
struct schedule;

enum sampler {
    SAMPLER_PF_2M,
    SAMPLER_MOMENTUM,
    SAMPLER_PROBABILITY_FLOW,
    SAMPLER_PF_LITERAL,
    SAMPLER_NAIVE,
    SAMPLER_PF_SIGMA,
    SAMPLER_ANCESTRAL,
    SAMPLER_PF_HEUN,
    SAMPLERS /* how many */
};

enum { SAMPLER_NFE_MAX = 10000 };

struct sampler_row {
    double t;        /* where the network is evaluated */
    double from, to; /* times of C and C'; to = 0 means the clean level, sigma 0 */
    float x_scale, m_scale, y_scale, y_next_scale, eta_scale;
    float extrapolate, keep_x, keep_h;
    int step; /* number of the draw of eta, counted from 0 */
};

const char *sampler_name(enum sampler s);
int sampler_parse(const char *name, enum sampler *out, struct error *err); /* or -EINVAL */

/* Fills rows[0 .. nfe). nfe 1 .. SAMPLER_NFE_MAX, and every sampler works with any. 0 or -EINVAL. */
int sampler_table(enum sampler s, const struct schedule *schedule, int nfe,
                  struct sampler_row *rows, struct error *err);

#endif
