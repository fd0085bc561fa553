/* Many images from one generator, with its lanes kept busy. */
#ifndef TOOLS_GENERATE_H
#define TOOLS_GENERATE_H

#include "model/sampler.h"

#include <stdint.h>

struct error;
struct generator;
struct watch;

/* Image i of n has the seed first_seed + i. pixels: out [n,side,side,channels].
 * watch: told of the images, may be NULL. 0, -ECANCELED, -EDOM when an image
 * has numbers that are not finite, or the error of the generator; the generator is then to be
 * destroyed. */
int generate_images(struct generator *g, int n, uint64_t first_seed, enum sampler sampler, int nfe,
                    const struct watch *watch, uint8_t *pixels, struct error *err);

#endif
