/* What a training takes from its data before the first step: the schedule's levels, the prior and,
 * by the output, the tables of the linear estimate or the scales. */
#ifndef TOOLS_TRAIN_FIT_H
#define TOOLS_TRAIN_FIT_H

#include "model/fit/schedule_fit.h"

struct corruption;
struct dataset;
struct error;
struct formulation;
struct recipe;
struct schedule;
struct watch;

/* Images are chosen by the recipe's seed. Logs the beginning and the end of each part, and warns of a
 * schedule whose end leaves something of the pictures to see where it should be noise alone. watch:
 * told of the parts, may be NULL. out: formulation_fini() it.
 * 0, -EINVAL (too few images), -ENOENT (no path of that length), -ENOMEM, -EIO, -ECANCELED. */
int fit_formulation(const struct recipe *r, const struct dataset *d, const struct watch *watch,
                    struct formulation *out, struct error *err);

/* How errors in colour are made to count alike on this data, model/fit/color_fit.h; the same for the
 * same data and recipe. 0, -EINVAL (grey pictures), -ENOMEM, -EIO. */
int fit_color_weights(const struct recipe *r, const struct dataset *d, float out[9],
                      struct error *err);

/* What is told of a schedule that was fitted; all 0 for one that was given. */
struct fit_report {
    int images;
    struct schedule_fit_report schedule;
};

/* The schedule alone, for a corruption made of the recipe's. out: schedule_fini() it. As above. */
int fit_schedule(const struct recipe *r, const struct dataset *d, const struct corruption *c,
                 const struct watch *watch, struct fit_report *report, struct schedule *out,
                 struct error *err);

#endif
