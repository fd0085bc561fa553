/* What a training takes from its data before the first step: the schedule's levels, the prior and,
 * with output wiener, the tables of the linear estimate. */
#ifndef TOOLS_TRAIN_FIT_H
#define TOOLS_TRAIN_FIT_H

struct dataset;
struct error;
struct formulation;
struct recipe;

/* Images are chosen by the recipe's seed. Logs one line per part. out: formulation_fini() it.
 * 0, -EINVAL (too few images, no path of that length), -ENOMEM, -EIO. */
int fit_formulation(const struct recipe *r, const struct dataset *d, struct formulation *out,
                    struct error *err);

#endif
