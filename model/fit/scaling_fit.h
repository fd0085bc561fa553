/* The moments of `output: scaled` (scaling.h) of a training set. */
#ifndef MODEL_FIT_SCALING_FIT_H
#define MODEL_FIT_SCALING_FIT_H

#include <stdbool.h>

struct corruption;
struct error;
struct scaling;
struct schedule;
struct watch;

/* images [n, side, side, channels] in [0,1], n >= 1; some tens suffice, since every pixel counts.
 * centered as in the architecture. watch: told of the times, may be NULL. 0, -ENOMEM, -ECANCELED. */
int scaling_fit(const struct corruption *c, const struct schedule *s, bool centered, int side,
                int channels, int n, const float *images, const struct watch *watch,
                struct scaling *out, struct error *err);

#endif
