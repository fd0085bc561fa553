/* The way that a model undoes, gone forwards: a picture at times from 0 to 1. */
#ifndef TOOLS_SAMPLE_FORWARD_H
#define TOOLS_SAMPLE_FORWARD_H

#include <stdint.h>

struct checkpoint;
struct error;

/* Writes x_t = C_t x_0 + sigma_t eta of a PNG or JPEG file at n >= 2 equally spaced times as one PNG in
 * rows of `columns`. eta is drawn from the seed. 0, -EINVAL (a model of no colours, what is no
 * picture), -ENOMEM or -errno of a file. */
int forward_write(const struct checkpoint *c, const char *picture, int n, uint64_t seed,
                  const char *out, int columns, struct error *err);

#endif
