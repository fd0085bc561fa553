/* Pictures of what a training's model draws by now: 64 images, always of the same seeds. */
#ifndef TOOLS_TRAIN_GRID_H
#define TOOLS_TRAIN_GRID_H

#include "engine/device.h"

#include <stdbool.h>
#include <stdint.h>

struct checkpoint;
struct error;
struct watch;

/* Whether one is drawn after so many steps: early on, to show that something is learnt, then after
 * every multiple of `every`; 0: never. */
bool grid_is_due(uint64_t step, int every);

/* By the model's own sampler. watch: told of the images, may be NULL.
 * 0, -ECANCELED, -EDOM (an image is not finite), -ENOMEM, -EIO or -errno of the file. */
int grid_draw(struct device *device, const struct checkpoint *model, enum precision precision,
              const char *path, const struct watch *watch, struct error *err);

#endif
