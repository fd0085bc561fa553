/* Which training examples a step sees: images, mirrored or not, and their times.
 *
 * Examples are numbered from 0 through the whole training; number i is in epoch i / n, and every
 * epoch takes the images in a new random order. All draws are Philox of (seed, number, step), so
 * that a resumed training needs no more than its counters.
 */
#ifndef TOOLS_TRAIN_EXAMPLES_H
#define TOOLS_TRAIN_EXAMPLES_H

#include "engine/base/philox.h"

#include <stdbool.h>
#include <stdint.h>

struct error;

struct examples_options {
    uint64_t seed;
    int n_images;      /* of the data set */
    int batch;         /* examples per step */
    bool flip;         /* mirror every other example, at random */
    bool stratified;   /* t_i = (u + i / batch) mod 1 with one u per step, instead of a u for each:
                        the same law for each example, less variance of the batch */
    double look_ahead; /* largest of the examples' */
    double label_dropout; /* part of the examples without their label */
};

struct example {
    int image; /* in [0, n_images) */
    bool mirrored;
    bool unlabelled;       /* the label is withheld */
    double t;              /* [1e-5, 1] */
    double ahead;          /* [0, look_ahead], uniform */
    struct philox_key key; /* of its noise and dropout */
};

struct examples; /* remembers the order of one epoch */

/* 0 or -ENOMEM. */
int examples_create(const struct examples_options *options, struct examples **out,
                    struct error *err);
void examples_destroy(struct examples *e);

/* The examples of a step, counted from 0: out [batch]. */
void examples_of_step(struct examples *e, uint64_t step, struct example *out);

#endif
