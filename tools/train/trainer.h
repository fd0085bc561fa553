/* The trainer: one step of Soft Score Matching after another.
 *
 * Owns the network's parameters on a device, the plan of loss and gradients, and the optimiser's
 * arrays. It reads no files; the order of the data is tools/train/examples.h.
 * Thread: one at a time.
 */
#ifndef TOOLS_TRAIN_TRAINER_H
#define TOOLS_TRAIN_TRAINER_H

#include "engine/device.h"
#include "tools/train/optimizer.h"

#include <stddef.h>
#include <stdint.h>

struct dataset;
struct error;
struct example;
struct formulation;
struct parameters;
struct recipe;
struct trainer;

struct trainer_options {
    enum precision precision;
    int n_threads; /* of the optimiser, >= 1 */
};

/* What a step did and how long its parts took. */
struct trainer_report {
    double loss;         /* mean over the batch */
    const float *losses; /* [batch] L_i; until the next step */
    double grad_norm;    /* before the clip */
    double lr;
    double batch_ms;  /* writing the inputs */
    double run_ms;    /* forward and backward */
    double update_ms; /* reading gradients, norm, Adam, average, packing */
};

/* Initial weights from the recipe's seed. device and formulation are borrowed and must outlive
 * the trainer. 0, -EINVAL, -ENOTSUP, -ENOMEM, -EIO. */
int trainer_create(struct device *device, const struct formulation *f, const struct recipe *r,
                   const struct trainer_options *options, struct trainer **out, struct error *err);
void trainer_destroy(struct trainer *t);

/* Step number `step` from 0. examples: [batch] of the recipe. 0; -ERANGE when the loss or a
 * gradient is not finite (the weights are then as before); -EIO. */
int trainer_step(struct trainer *t, const struct dataset *d, const struct example *examples,
                 uint64_t step, struct trainer_report *report, struct error *err);

/* From now on a loss counts by the inverse of what an untrained network has at its time: the loss of
 * h with F = 0, which OUTPUT_WIENER makes the best linear estimate. The paper's weight leaves the
 * times of much noise or blur to a hundredth of the gradient; Karras et al. 2022 (2206.00364)
 * balance theirs in the same way. Measured on the data set, the same for the same seed whatever
 * the weights are. Reported losses stay the paper's. 0, -ENOMEM or -EIO. */
int trainer_balance(struct trainer *t, const struct dataset *d, uint64_t seed, struct error *err);

/* The arrays, e.g. to save them; the trainer's own. After writing into them call
 * trainer_changed(). */
const struct optimizer_state *trainer_state(const struct trainer *t);
int trainer_changed(struct trainer *t, struct error *err);

struct parameters *trainer_parameters(struct trainer *t);
enum precision trainer_precision(const struct trainer *t); /* never PRECISION_AUTO */
size_t trainer_memory_bytes(const struct trainer *t);      /* plan and arrays */

#endif
