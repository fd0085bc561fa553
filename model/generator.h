/* The generator: continuous batching of images in flight.
 *
 * A generator has lanes on one device. A lane is one image: its state on the device, its
 * seed, its table of sampler rows and its position in it. One tick evaluates the network once for all
 * busy lanes, each at its own time, does their sampler steps, and delivers those that finished.
 * Submissions join at the next tick, whatever their sampler and NFE. An image can be parked in the
 * middle and go on later, so that others get its lane.
 *
 * Same seed, same bytes: an image depends on (checkpoint, determinism id of the device, task) and on
 * nothing else, neither lane nor neighbours nor threads nor pauses. What a task leaves out leaves the
 * bytes as they are.
 *
 * A tick has two halves: generator_start() hands the lanes' rows to the device, and while that
 * computes fills those of the next tick; generator_finish() waits and delivers. In between images may
 * be submitted, parked, resumed and cancelled, but nothing else may be run on the device: several
 * generators there take turns, tick by tick.
 *
 * The generator is mechanism; queues, fairness and deadlines belong to the caller.
 * Thread: one at a time. Ticks allocate nothing.
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
struct trace;

struct generator_options {
    enum precision precision;
    int lanes;        /* busy at a time, 1 .. 4096 */
    int nfe_max;      /* most evaluations of an image, 1 .. SAMPLER_NFE_MAX */
    bool restoration; /* tasks may restore; costs memory, and time for tasks that do */
};

/* What a restored picture should agree with; see model/step.h. */
struct generator_restoration {
    const float *y;    /* [h,w,c] the picture, in [0,1] */
    const float *mask; /* [h,w]: 1 where it is known, 0 where not; NULL: all of it is */
    double blur;       /* std in px of the Gaussian that blurred it; 0: it is sharp */
    float weight;      /* g > 0; 1 puts the known pixels of a sharp picture in place */
};

/* Zero what is not wanted. Pointers are read by generator_submit() only. */
struct generator_task {
    uint64_t id;   /* the caller's, echoed; several tasks may share one */
    uint64_t seed; /* any value */
    enum sampler sampler;
    int nfe;
    const struct sampler_row *rows; /* [nfe] instead of the sampler's table */
    const float *start;             /* [h,w,c] x_t at the time of the first row, not x_1 */
    bool mixed;                     /* noise is of two seeds ... */
    uint64_t seed_b;                /* ... this one ... */
    double mix;                     /* ... of which there is so much, [0, 1] */
    int label;                      /* 1 .. n_labels; 0: none */
    bool guided;                    /* towards the label, at two evaluations per row */
    float guidance;                 /* w of model/step.h */
    const struct generator_restoration *restoration;
    bool previews; /* after every evaluation */
};

/* A finished image or a preview. */
struct generator_image {
    uint64_t id;
    uint64_t seed;
    bool finished;
    bool finite;               /* every number of x; a pixel of one that is not is black */
    int n_evaluations, n_done; /* of all, how many are done */
    const uint8_t *pixels;     /* [h,w,c] RGB of x, round(255 clip(x, 0, 1)); until the next tick */
    const uint8_t *predicted;  /* [h,w,c] the predicted clean image; NULL without previews */
};

/* device and checkpoint are borrowed and must outlive the generator, but for the checkpoint's weights,
 * which are copied. Builds the plans and the lanes.
 * 0, -EINVAL, -ENOTSUP, -ENOMEM, -EIO. */
int generator_create(struct device *device, const struct checkpoint *c,
                     const struct generator_options *options, struct generator **out,
                     struct error *err);
void generator_destroy(struct generator *g);

int generator_lanes(const struct generator *g);
int generator_busy(const struct generator *g);    /* lanes in use */
int generator_nfe_max(const struct generator *g); /* of the options */
int generator_side(const struct generator *g);    /* px */
int generator_channels(const struct generator *g);
enum precision generator_precision(const struct generator *g);
size_t generator_memory_bytes(const struct generator *g); /* weights, state, plans, lanes */
size_t generator_row_bytes(const struct generator *g);    /* sent to the device per lane and tick */
/* When the last tick was where, in clock_seconds(). */
struct generator_times {
    double begin;   /* generator_start() is called */
    double drawn;   /* the lanes that are new have their x_1 from the device; begin where none is */
    double written; /* the rows of all lanes are written */
    double handed;  /* the device computes */
    double filled;  /* meanwhile what is known of the next tick has been written */
    double waiting; /* generator_finish() is called */
    double done;    /* the device is done */
    double end;     /* the images are delivered */
};
const struct generator_times *generator_times(const struct generator *g);

/* From the next tick on, adds ticks to the track of this name in a trace, and what the device does to
 * its own. NULL: nothing any more. The trace is borrowed, and must outlive the generator or be taken
 * away. 0 or -ENOMEM. */
int generator_trace(struct generator *g, struct trace *trace, const char *track, struct error *err);

/* Puts an image into a free lane. 0, -EBUSY (none is free; what was cancelled during a tick holds its
 * lane until the tick ends), -EINVAL (nfe, a label, mix, guidance or restoration that this generator
 * does not have, or a number that is not finite), -EIO. */
int generator_submit(struct generator *g, const struct generator_task *task, struct error *err);

/* Takes an image with this id out of its lane and keeps its state: the one with the most evaluations
 * left. Twice as many can be parked as can be busy. 0, -ENOENT (none in a lane), -EBUSY (no room). */
int generator_park(struct generator *g, uint64_t id, struct error *err);

/* Gives a free lane to a parked image with this id: the one with the fewest evaluations left.
 * 0, -ENOENT (none is parked), -EBUSY (no lane free). */
int generator_resume(struct generator *g, uint64_t id, struct error *err);

/* Drops all images with this id, in lanes and parked; returns how many. */
int generator_cancel(struct generator *g, uint64_t id);

/* One network evaluation of every busy lane (none: nothing happens). images: room for
 * generator_lanes() of them;
 * n_images: finished images, and previews where they are wanted. After -EIO every lane is in doubt:
 * cancel them. */
int generator_start(struct generator *g, struct error *err);
int generator_finish(struct generator *g, struct generator_image *images, int *n_images,
                     struct error *err);
/* Both. */
int generator_tick(struct generator *g, struct generator_image *images, int *n_images,
                   struct error *err);

/* Generates a few images alone and in mixed company and compares the bytes. Only while no lane is
 * busy. 0, -EIO saying which differed, or -EDOM: one is not finite, the model is of no use. In
 * model/self_test.c. */
int generator_self_test(struct generator *g, struct error *err);

#endif
