/* The generator: continuous batching of images in flight.
 *
 * A generator has lanes ("slots") on one device. A lane is one image: its x_t, one image of
 * memory, its seed, its table of sampler rows and its position in it. One tick evaluates the
 * network once for all busy lanes, each at its own time, does their sampler steps, and delivers
 * those that finished. Submissions join at the next tick, whatever their sampler and NFE. An image
 * can be parked in the middle and go on later, so that others get its lane.
 *
 * Same seed, same bytes: an image depends on (checkpoint, device, precision, seed, sampler, nfe)
 * and on nothing else, neither lane nor neighbours nor threads nor pauses.
 *
 * The generator is mechanism; queues, fairness and deadlines belong to the caller.
 * Thread: one at a time. generator_tick() allocates nothing.
 */
#ifndef MODEL_GENERATOR_H
#define MODEL_GENERATOR_H

#include "engine/device.h"
#include "model/sampler.h"

#include <stddef.h>
#include <stdint.h>

struct checkpoint;
struct error;
struct generator;

struct generator_options {
    enum precision precision;
    int slots;   /* lanes, 1 .. 4096 */
    int nfe_max; /* largest nfe that may be submitted, 1 .. SAMPLER_NFE_MAX */
};

struct generator_task {
    uint64_t id;   /* the caller's, echoed; several tasks may share one */
    uint64_t seed; /* any value */
    enum sampler sampler;
    int nfe;
};

struct generator_image {
    uint64_t id;
    uint64_t seed;
    const uint8_t *pixels; /* [h,w,c] RGB, round(255 clip(x, 0, 1)); until the next tick */
    const float *x;        /* [h,w,c] the same before rounding; until the next tick */
};

/* device and checkpoint are borrowed and must outlive the generator (its weights are copied).
 * Builds the plan and the lanes.
 * 0, -EINVAL, -ENOTSUP, -ENOMEM, -EIO. */
int generator_create(struct device *device, const struct checkpoint *c,
                     const struct generator_options *options, struct generator **out,
                     struct error *err);
void generator_destroy(struct generator *g);

int generator_slots(const struct generator *g);
int generator_busy(const struct generator *g); /* lanes in use */
int generator_side(const struct generator *g); /* px */
int generator_channels(const struct generator *g);
enum precision generator_precision(const struct generator *g);
size_t generator_memory_bytes(const struct generator *g);

/* Puts an image into a free lane. 0, -EBUSY (none free), -EINVAL (nfe out of range). */
int generator_submit(struct generator *g, const struct generator_task *task, struct error *err);

/* Takes an image with this id out of its lane and keeps its state: the one with the most evaluations
 * left. As many can be parked as there are slots. 0, -ENOENT (none in a lane), -EBUSY (no room). */
int generator_park(struct generator *g, uint64_t id, struct error *err);

/* Gives a free lane to a parked image with this id: the one with the fewest evaluations left.
 * 0, -ENOENT (none is parked), -EBUSY (no lane free). */
int generator_resume(struct generator *g, uint64_t id, struct error *err);

/* Drops all images with this id, in lanes and parked; returns how many. */
int generator_cancel(struct generator *g, uint64_t id);

/* One network evaluation of every busy lane (none: returns at once). images: room for `slots`;
 * n_images: how many finished. After -EIO every lane is in doubt: cancel them. */
int generator_tick(struct generator *g, struct generator_image *images, int *n_images,
                   struct error *err);

/* Generates a few images alone and in mixed company and compares the bytes. Only while no lane is
 * busy. 0, or -EIO saying which differed. */
int generator_self_test(struct generator *g, struct error *err);

#endif
