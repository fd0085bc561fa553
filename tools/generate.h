/* Many images from one generator, with its lanes kept busy. */
#ifndef TOOLS_GENERATE_H
#define TOOLS_GENERATE_H

#include "model/sampler.h"

#include <stdbool.h>
#include <stdint.h>

struct error;
struct generator;
struct watch;

/* What is to be drawn: image i of n has the seed first_seed + i. */
struct generate_task {
    int n;
    uint64_t first_seed;
    enum sampler sampler;
    int nfe;
    const int *labels; /* [n] of each image, 1 .. n_labels or 0: none; NULL: none has one */
    bool guided;       /* towards its label, with this weight, at twice the evaluations */
    float guidance;
};

/* Gives every image to take as it is done, in the order of the seeds. pixels: [side,side,channels], until
 * it returns; an error of take ends the work.
 * watch: told of the images, may be NULL. 0, -ECANCELED, -EDOM when an image
 * has numbers that are not finite, or the error of take or of the generator; the generator is then to
 * be destroyed. */
int generate_each(struct generator *g, const struct generate_task *task, const struct watch *watch,
                  int (*take)(void *arg, int i, const uint8_t *pixels, struct error *err),
                  void *arg, struct error *err);

/* All of them together. pixels: out [n,side,side,channels], of which the first *n_done are there after
 * an error, too; n_done may be NULL. As generate_each(). */
int generate_images(struct generator *g, const struct generate_task *task,
                    const struct watch *watch, uint8_t *pixels, int *n_done, struct error *err);

#endif
