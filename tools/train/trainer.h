/* The trainer: one step of Soft Score Matching after another.
 *
 * A step is two plans that share state on the device: loss and gradients, which add into the state
 * "gradient", and the update (model/update.h). Between them the ranks of a communicator sum the
 * gradient. The batch alone decides about its chunks and the order in which sums are taken, so the same
 * training gives the same bytes with any number of threads.
 *
 * A batch is divided evenly: among the ranks in their order, and what a rank has among runs of the first
 * plan. With several runs the bytes are those of one where a run consists of whole chunks; with several
 * ranks where each has one chunk, else sums of sums are rounded otherwise than sums. All ranks call the
 * functions that say so together, and get the same result.
 *
 * It reads no files; the order of the data is tools/train/examples.h.
 * Thread: one at a time.
 */
#ifndef TOOLS_TRAIN_TRAINER_H
#define TOOLS_TRAIN_TRAINER_H

#include "engine/device.h"
#include "tools/train/optimizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct communicator;
struct dataset;
struct error;
struct example;
struct formulation;
struct parameters;
struct recipe;
struct trainer;
struct watch;

struct trainer_options {
    enum precision precision;
    struct communicator *communicator; /* borrowed */
    int n_runs; /* of the first plan per step, each with its part of the batch; less memory */
};

/* What a step did and how long its parts took. */
struct trainer_report {
    double loss;         /* mean over the batch */
    const float *losses; /* [batch] L_i; until the next step */
    double grad_norm;    /* before the clip; 0 where the loss is not finite */
    bool skipped;        /* loss or norm are not finite: the weights are as before */
    double lr;
    double
        batch_ms;  /* reading images and writing the inputs, most of it while the device computes */
    double run_ms; /* forward and backward */
    double update_ms; /* norm, Adam, average, packing */
    double step_ms;   /* all of it */
    double idle_ms;   /* of which the device can have waited for inputs, at most */
};

/* Initial weights from the recipe's seed. device and formulation are borrowed and must outlive
 * the trainer. 0, -EINVAL (also a batch that cannot be divided so), -ENOTSUP, -ENOMEM, -EIO. */
int trainer_create(struct device *device, const struct formulation *f, const struct recipe *r,
                   const struct trainer_options *options, struct trainer **out, struct error *err);
void trainer_destroy(struct trainer *t);

/* Step number `step` from 0, of all ranks together. examples: [batch] of the recipe, on each of them; next:
 * those that step + 1 will be given, which are read while this one is computed, or NULL.
 * 0, or -EIO, and then this trainer is of no use any more. */
int trainer_step(struct trainer *t, const struct dataset *d, const struct example *examples,
                 const struct example *next, uint64_t step, struct trainer_report *report,
                 struct error *err);

/* From now on a loss counts by the inverse of what an untrained network has at its time: the loss of
 * h with F = 0, which OUTPUT_WIENER makes the best linear estimate. The paper's weight leaves the
 * times of much noise or blur to a hundredth of the gradient; Karras et al. 2022 (2206.00364)
 * balance theirs in the same way. Measured on the data set, the same for the same seed whatever
 * the weights are. Reported losses stay the paper's. By rank 0 alone: trainer_share() tells the others.
 * watch: looked at from time to time. 0, -ENOMEM, -EIO or -ECANCELED, after which the trainer is of no
 * use. */
int trainer_balance(struct trainer *t, const struct dataset *d, uint64_t seed,
                    const struct watch *watch, struct error *err);

/* How errors in colour count, where the recipe has them count alike: weights [channels,channels] of
 * color_weights_fit(), before the first step and before they are balanced. 0 or -EIO. */
int trainer_weigh_colors(struct trainer *t, const float *weights, struct error *err);

/* The arrays, e.g. to save them, each of trainer_count() floats. 0 or -EIO. */
int trainer_read(struct trainer *t, const struct optimizer_state *out, struct error *err);
int trainer_write(struct trainer *t, const struct optimizer_state *in, struct error *err);
int trainer_read_ema(struct trainer *t, float *out, struct error *err);
int trainer_read_average(struct trainer *t, int i, float *out, struct error *err);
/* Begins with these weights: they are the averages, too. */
int trainer_begin_with(struct trainer *t, const float *weights, struct error *err);

/* Of all ranks together: rank 0's arrays and balance become those of the others. 0, -ENOMEM or -EIO. */
int trainer_share(struct trainer *t, struct error *err);

size_t trainer_count(const struct trainer *t);
const struct parameters *trainer_parameters(const struct trainer *t);
enum precision trainer_precision(const struct trainer *t); /* never PRECISION_AUTO */
size_t trainer_memory_bytes(const struct trainer *t);      /* on the device */
/* Multiply-adds of one image's loss and gradients, of convolutions, matrices and the like. */
double trainer_products(const struct trainer *t);

#endif
