/* How a model is sampled: what of that is in its checkpoint.
 *
 * Format 2 of a checkpoint adds, all optional,
 *     "defaults": {"sampler": "sde-2m", "nfe": 20, "excess": 0.1}
 *     "solvers": [{"nfe": 2, "t": [1, 0.3, 0], "trend": [0, 0.2], "noise": [0.5, 0]}, ..]
 * and its step grids get finer everywhere as nfe grows; those of format 1 stay as they were.
 *
 * excess: the noise that the default sampler renews is drawn with 1 + excess times the variance
 * that would leave the law of x_t as it is, as with S_noise > 1 in Karras et al. 2022
 * (2206.00364), for networks whose own images vary too little. It belongs to the pair (checkpoint,
 * sampler), asked for by name or not, so that the same request gives the same bytes.
 *
 * A solver is a table of the sampler `tuned` for one nfe: step i goes from t[i] to t[i + 1],
 * follows h + trend[i] (h - m) with m the h before, and renews the share noise[i] of the noise's
 * standard deviation at its end (model/sampler.h).
 */
#ifndef MODEL_SAMPLING_H
#define MODEL_SAMPLING_H

#include "model/sampler.h"

#include <stdbool.h>

struct error;
struct json_t;

enum { SAMPLING_SOLVERS_MAX = 64, SAMPLING_NFE_DEFAULT = 20 };

struct sampling_choice {
    enum sampler sampler;
    int nfe;
};

struct solver {
    int nfe;
    double *t;     /* [nfe + 1] strictly falling from 1 to 0; owned, and in it: */
    double *trend; /* [nfe] -8 .. 8; the first, which has no h before it, is 0 */
    double *noise; /* [nfe] 0 .. 1; the last, which ends without noise, is 0 */
};

/* Room for a table; 0 or -ENOMEM. */
int solver_init(struct solver *s, int nfe, struct error *err);
void solver_fini(struct solver *s);

struct sampling {
    bool refining_grid; /* of every sampler, as in format 2 */
    bool noiseless;     /* the schedule has no noise: of the samplers only those that need none */
    bool has_defaults;
    struct sampling_choice defaults; /* where they are there */
    double excess;                   /* 0 .. 1 */
    int n_solvers;
    struct solver *solvers; /* owned, by rising nfe */
};

void sampling_fini(struct sampling *s);

/* From the members "defaults" and "solvers" of a document, either may be NULL. Strict: defaults
 * whose sampler is `tuned` need a table, and excess a sampler that draws noise and is not tuned.
 * s: zero, but for refining_grid and noiseless. 0, -EINVAL or -ENOMEM (s is then to be finished). */
int sampling_from_json(const struct json_t *defaults, const struct json_t *solvers,
                       struct sampling *s, struct error *err);
/* New, NULL without memory or where there are none. */
struct json_t *sampling_defaults_to_json(const struct sampling *s);
struct json_t *sampling_solvers_to_json(const struct sampling *s);

/* The excess with which a sampler draws its noise: 0 but for the default one. */
double sampling_excess(const struct sampling *s, enum sampler sampler);

/* The table of `tuned` for so many evaluations, or NULL. */
const struct solver *sampling_solver(const struct sampling *s, int nfe);

/* The one answer to what is meant where something is not said. sampler: NULL, the model's default,
 * which is sde-2m where its checkpoint has none, and probability-flow without noise; nfe: 0, the default number, which is
 * SAMPLING_NFE_DEFAULT where there is none, or nfe_max if that is less; of `tuned` the table next
 * below it, or its smallest. Where the default is `tuned` and no table of it will do, none for the nfe that
 * is said or none within nfe_max, it is as if the checkpoint had no default.
 *
 * Asked for neither it succeeds.
 * 0, -ENOENT (tuned, and there are no tables; a sampler that needs noise, and there is none), -EINVAL (tuned, and no table for this nfe, or none
 * within nfe_max; the text lists those there are). */
int sampling_choose(const struct sampling *s, const enum sampler *sampler, int nfe, int nfe_max,
                    struct sampling_choice *out, struct error *err);

/* The same for who begins at another time than 1, with a picture instead of noise: tables of `tuned` are for
 * 1 only, so that none will do. */
int sampling_choose_midway(const struct sampling *s, const enum sampler *sampler, int nfe,
                           int nfe_max, struct sampling_choice *out, struct error *err);

#endif
