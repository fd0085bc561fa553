/* What a training takes from its data before the first step: the schedule's levels, the prior and,
 * with output wiener, the tables of the linear estimate. */
#ifndef TOOLS_TRAIN_FIT_H
#define TOOLS_TRAIN_FIT_H

struct dataset;
struct error;
struct formulation;
struct recipe;
struct watch;

/* Images are chosen by the recipe's seed. Logs the beginning and the end of each part, and warns of a
 * schedule whose end leaves something of the pictures to see where it should be noise alone. watch:
 * told of the parts, may be NULL. out: formulation_fini() it.
 * 0, -EINVAL (too few images), -ENOENT (no path of that length), -ENOMEM, -EIO, -ECANCELED. */
int fit_formulation(const struct recipe *r, const struct dataset *d, const struct watch *watch,
                    struct formulation *out, struct error *err);

#endif
