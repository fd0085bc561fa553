/* What computes the images of a generator: the plans of a sampler step and of a start, the state that
 * they share, slot by slot, and the weights.
 *
 * State: x_t ("x"), one image of memory ("m"), with labels the h of an evaluation before ("u"), for
 * restoration the picture to be restored ("y") and where it is known ("mask").
 * Thread: one at a time.
 */
#ifndef MODEL_EVALUATION_H
#define MODEL_EVALUATION_H

#include "engine/device.h"
#include "model/sampler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct checkpoint;
struct error;
struct evaluation;
struct philox_key;
struct step_lead;
struct trace;

struct evaluation_options {
    enum precision precision;
    int batch_max; /* images evaluated at a time */
    int n_slots;   /* of the state */
    bool restoration;
};

/* What an image draws its noise from: key, and where other is not NULL some of it from there. */
struct evaluation_noise {
    const struct philox_key *key, *other;
    double mix; /* of other, [0, 1] */
};

/* device is borrowed; of the checkpoint the formulation is too, and its weights are copied.
 * 0, -EINVAL, -ENOTSUP, -ENOMEM, -EIO. */
int evaluation_create(struct device *device, const struct checkpoint *c,
                      const struct evaluation_options *options, struct evaluation **out,
                      struct error *err);
void evaluation_destroy(struct evaluation *e);

/* Fills row i of the next start, and starts images [0, n): x_1 is drawn into their slots, the rest of
 * the state is 0. Not during a run. 0 or -EIO. */
void evaluation_write_start(struct evaluation *e, int i, int slot,
                            const struct evaluation_noise *noise);
int evaluation_start(struct evaluation *e, int n, struct error *err);

/* Writes one image of the state; not of a slot that a run in progress names.
 * src: [h,w,c], "mask" [h,w]. 0, -EINVAL (no such state), -EIO. */
int evaluation_put(struct evaluation *e, const char *name, int slot, const float *src,
                   struct error *err);
/* Makes the rest of the state in a slot 0, as a start does. */
int evaluation_clear(struct evaluation *e, int slot, struct error *err);
/* Reads it; not during a run. */
int evaluation_get(struct evaluation *e, const char *name, int slot, float *dst, struct error *err);

/* Fills row i of the next run. */
void evaluation_write(struct evaluation *e, int i, int slot, const struct sampler_row *row,
                      const struct evaluation_noise *noise, const struct step_lead *lead);

/* Runs rows [0, n), and waits for them. x_wanted, h_wanted: [n], which pixels will be asked for.
 * 0 or -EIO. */
int evaluation_run(struct evaluation *e, int n, const bool *x_wanted, const bool *h_wanted,
                   struct error *err);
int evaluation_wait(struct evaluation *e, struct error *err);

/* Of row i of the last run, [h,w,c]: x' and the predicted clean image. Until the next run. */
const uint8_t *evaluation_pixels(struct evaluation *e, int i);
const uint8_t *evaluation_predicted(struct evaluation *e, int i);
/* Whether x' can be told from nonsense: its numbers are finite, and so is the sum of their squares. Of
 * rows whose x was wanted. */
bool evaluation_is_finite(struct evaluation *e, int i);

/* As executor_trace(), of all that is run. */
int evaluation_trace(struct evaluation *e, struct trace *trace, struct error *err);

enum precision evaluation_precision(const struct evaluation *e);
size_t evaluation_memory_bytes(const struct evaluation *e); /* on the device */
size_t evaluation_row_bytes(const struct evaluation *e);    /* of an image, per run */

#endif
