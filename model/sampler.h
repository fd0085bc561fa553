/* Samplers as tables of coefficients: one row per network evaluation.
 *
 * With h the predicted clean image at t, C_0, C_1 and C_2 the corruption at `from`, `middle` and
 * `to`, and m one image of memory per lane, every row does
 *     x' = x_scale x + m_scale m + eta_scale eta + sum_k C_k (h_scale[k] h + trend_scale[k] (h - m))
 *     m' = keep_x x + keep_h h
 * The last step goes to sigma 0 and the clean level, so that it returns h (sde-2m and tuned: with
 * its trend). The grid is t_i = 1 - i/N; of sde-2m t_i = (1 - i/N)^1.2, where checkpoints of format
 * 1 have a last step of 0.03 whatever N; of tuned what the checkpoint says. Names on the wire and
 * sources, with C, s and C', s' at both ends of a step:
 *     momentum            Daras et al. 2023, Alg. 2 (no noise in the last step)
 *     probability-flow    Eq. 44, last step denoised (x' = h)
 *     pf-literal          Eq. 44 to the letter: half of the remaining noise stays
 *     naive               Alg. 1, for comparison
 *     pf-sigma            x' = C' h + (s'/s)(x - C h): exponential integrator. With vp it is DDIM, Song
 *                         et al. 2021 (2010.02502), Eq. 12 with sigma_t = 0
 *     ancestral           x' = C' h + q (s'^2/s^2)(x - C h) + sqrt(s'^2 (s^2 - q^2 s'^2)/s^2) eta: what
 *                         is known of x' from x and h, if x was made from x'. q is a/a' where C is a
 *                         number a, else 1, and 1 in checkpoints of format 1. With vp it is DDPM's, Ho et al. 2020 (2006.11239), Eq. 6
 *                         and 7, with the smaller of their variances
 *     pf-2m               two-step exponential integrator, after Lu et al. 2022 (2211.01095):
 *                         pf-sigma on h + (h - h_prev)/2; plain in the first and the last step
 *     pf-heun             Heun, after Karras et al. 2022 (2206.00364): two evaluations per step;
 *                         the last step is pf-sigma, and so is the first where nfe is even
 *     sde-2m              two steps and renewed noise: exponential integrator of
 *                             d(D x) = h d(D C) + noise, D = e^(-b t)/s,
 *                         the flow of pf-sigma (b = 0) with noise that decays at the rate b as t
 *                         falls and is drawn anew as fast, which leaves the law of x_t as it is (as
 *                         Song et al. 2021, 2011.13456, for C = 1) and corrects what went wrong
 *                         before. h is the line through the last two predictions; D C, in which
 *                         every mode appears at its own time, a parabola through three values,
 *                         where pf-2m has a line through two
 *     tuned               x' = C' g + a (x - C g) + c eta with g = h + k (h - h_prev), c = z s',
 *                         a = sqrt(1 - z^2) s'/s: times, k and z of every step are a table in the
 *                         checkpoint, for some nfe only (model/sampling.h)
 */
#ifndef MODEL_SAMPLER_H
#define MODEL_SAMPLER_H

#include <stdbool.h>

struct error;
struct formulation;

enum sampler {
    SAMPLER_SDE_2M,
    SAMPLER_PF_2M,
    SAMPLER_MOMENTUM,
    SAMPLER_PROBABILITY_FLOW,
    SAMPLER_PF_LITERAL,
    SAMPLER_NAIVE,
    SAMPLER_PF_SIGMA,
    SAMPLER_ANCESTRAL,
    SAMPLER_PF_HEUN,
    SAMPLER_TUNED, /* all before it work with any nfe */
    SAMPLERS       /* how many */
};

enum { SAMPLER_NFE_MAX = 10000 };
enum { SAMPLER_CORRUPTIONS = 3 }; /* in a row */

struct sampler_row {
    double t;                /* where the network is evaluated */
    double from, middle, to; /* times of C_k; 0 means the clean level, sigma 0 */
    float x_scale, m_scale, eta_scale;
    float h_scale[SAMPLER_CORRUPTIONS], trend_scale[SAMPLER_CORRUPTIONS];
    float keep_x, keep_h;
    int step; /* number of the draw of eta, counted from 0 */
};

const char *sampler_name(enum sampler s);
int sampler_parse(const char *name, enum sampler *out, struct error *err); /* or -EINVAL */

/* What to know of a sampler before it is chosen, a sentence that `softdiff-eval gaussian` measures;
 * NULL: nothing. */
const char *sampler_note(enum sampler s);

/* Whether excess (model/sampling.h) has something to enlarge: not in a tuned table, whose noise is
 * what it was tuned to be. */
bool sampler_renews_noise(enum sampler s);

/* Whether it divides by the noise, or leaves what it does to it: all but naive and probability-flow,
 * where s'/s is 1 if both are 0. These two are then algorithms 1 and 2 of Bansal et al. 2022 (Cold
 * Diffusion, 2208.09392). */
bool sampler_needs_noise(enum sampler s);
int sampler_refuse(enum sampler s, struct error *err); /* says so; -EINVAL */

/* Fills rows[0 .. nfe) from the schedule and the sampling of f. 0, or -EINVAL: nfe is not within
 * 1 .. SAMPLER_NFE_MAX, s is tuned and has no table for it, or needs noise where there is none. */
int sampler_table(enum sampler s, const struct formulation *f, int nfe, struct sampler_row *rows,
                  struct error *err);

/* The same for an image that starts at the time `begin`, (0, 1]: all times of the grid are multiplied
 * by it. Also -EINVAL: s is tuned and begin not 1. */
int sampler_table_from(enum sampler s, const struct formulation *f, double begin, int nfe,
                       struct sampler_row *rows, struct error *err);

#endif
