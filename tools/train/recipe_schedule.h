/* The schedule of a recipe: how t becomes (level, sigma). config/recipes/README.md describes the
 * keys. */
#ifndef TOOLS_TRAIN_RECIPE_SCHEDULE_H
#define TOOLS_TRAIN_RECIPE_SCHEDULE_H

#include "model/fit/schedule_fit.h"
#include "model/schedule.h"

#include <stdbool.h>

struct error;
struct json_t;

enum { RECIPE_LEVELS_MAX = 1024 };

enum recipe_schedule_kind {
    RECIPE_SCHEDULE_LEVELS, /* noise and the given levels */
    RECIPE_SCHEDULE_FIT,    /* noise and levels found on the data */
    RECIPE_SCHEDULE_NOISE,  /* noise alone, over all of the time */
    RECIPE_SCHEDULE_VP,     /* variance preserving, for the corruptions vp and subvp */
    RECIPE_SCHEDULE_KNOTS,  /* as `softdiff-schedule fit` wrote it */
};

struct recipe_schedule {
    enum recipe_schedule_kind kind;
    double sigma_min, sigma_max; /* in the unit of x, rising, or the same throughout, or both 0 */
    double t_noise;              /* (0, 1], until when the noise grows */
    bool beside;                 /* levels change from t = 0 on, else from t_noise on */
    int n_levels;                /* how many there are, or how many to find */
    double levels[RECIPE_LEVELS_MAX];
    struct schedule_fit_options fit; /* FIT; without a watch */
    int images;                      /* FIT: how many images measure the distances */
    double beta_min, beta_max;       /* VP */
    double noise_scale;              /* VP */
    struct schedule knots;           /* KNOTS; owned */
};

/* json: the member "schedule" of a recipe for this corruption and side in px. out: zero; may hold
 * something also on failure. 0, -EINVAL naming the key, -ENOMEM. */
int recipe_schedule_read(const struct json_t *json, const struct json_t *corruption, int side,
                         struct recipe_schedule *out, struct error *err);
void recipe_schedule_fini(struct recipe_schedule *s);

#endif
