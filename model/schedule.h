/* The schedule: t in [0,1] to (level of the corruption, sigma of the noise), by knots.
 *
 * The level is interpolated linearly between its knots, sigma linearly in log sigma between its
 * own. Knots are stored in the checkpoint and never recomputed when serving.
 * Sources: Daras et al. 2023, section 3.3 (levels by shortest Wasserstein path), appendix F
 * (noise from 0.01 to 0.1 in the first part of the time, constant afterwards).
 */
#ifndef MODEL_SCHEDULE_H
#define MODEL_SCHEDULE_H

#include <stdbool.h>

struct error;
struct json_t;

enum { SCHEDULE_KNOTS_MAX = 1025 };

struct schedule_knots {
    int n;         /* 2 .. SCHEDULE_KNOTS_MAX */
    double *t;     /* [n] strictly rising from 0 to 1 */
    double *value; /* [n] finite; sigma: > 0, or all 0 */
};

struct schedule {
    struct schedule_knots level;
    struct schedule_knots sigma;
};

void schedule_fini(struct schedule *s);
int schedule_copy(const struct schedule *s, struct schedule *out, struct error *err); /* -ENOMEM */

double schedule_level(const struct schedule *s, double t);
double schedule_sigma(const struct schedule *s, double t); /* at t = 0: sigma_min, not 0 */
bool schedule_has_noise(const struct schedule *s);         /* or sigma is 0 throughout */

/* {"level": {"t": [..], "value": [..]}, "sigma": {..}}; 0, -EINVAL, -ENOMEM. */
int schedule_from_json(const struct json_t *json, struct schedule *out, struct error *err);
struct json_t *schedule_to_json(const struct schedule *s); /* new; NULL without memory */

/* Noise alone in [0, t_noise] (geometric from sigma_min to sigma_max), then the levels over
 * [t_noise, 1] at equal distances in t; the level at t <= t_noise is levels[0].
 * levels: n >= 2 values, the first the mildest. For noise (VE) n may be 0 and t_noise 1. */
int schedule_noise_then_levels(double sigma_min, double sigma_max, double t_noise, int n,
                               const double *levels, struct schedule *out, struct error *err);

/* Levels over all of [0, 1] at equal distances in t, and beside them noise: geometric from sigma_min
 * to sigma_max in [0, t_noise], 0 < t_noise <= 1, or as much at any time (sigma_min = sigma_max), or
 * none (both 0). levels: n >= 2 values. */
int schedule_noise_beside_levels(double sigma_min, double sigma_max, double t_noise, int n,
                                 const double *levels, struct schedule *out, struct error *err);

/* VP: a(t) = exp(-t^2 (beta_max - beta_min)/4 - t beta_min/2), sigma = sqrt(1 - a^2); subVP:
 * sigma = 1 - a^2; sigma times noise_scale, 0.5 for their pictures of [-1,1] in our [0,1]. Song et al.
 * 2021, Eq. 29-31. beta 0.1, 20. The first sigma knot is at t 1e-3's value so that it stays positive. */
int schedule_vp(double beta_min, double beta_max, double noise_scale, int sub, struct schedule *out,
                struct error *err);

/* VP in n >= 2 steps of variance betas[i], in (0, 1), the last also 1, as in Ho et al. 2020 (arXiv:2006.11239): step i at
 * t = i / (n - 1) has a = the root of the product of 1 - beta up to it, and sigma as above. */
int schedule_vp_steps(int n, const double *betas, double noise_scale, struct schedule *out,
                      struct error *err);

#endif
