/* The way that a model undoes, gone forwards: a picture at times from 0 to 1, and what is expected of it.
 */
#ifndef TOOLS_SAMPLE_FORWARD_H
#define TOOLS_SAMPLE_FORWARD_H

#include "engine/device.h"

#include <stdint.h>

struct checkpoint;
struct error;

struct forward_options {
    const char *picture; /* a PNG or JPEG file */
    int n;               /* times, >= 2 */
    uint64_t seed;       /* of the noise */
    const char *out;
    int columns;
    struct device *device; /* with which the network predicts; NULL: it does not */
    enum precision precision;
};

/* Writes x_t = C_t x_0 + sigma_t eta of a picture at n equally spaced times as one PNG in rows of
 * `columns`. With a device a second row follows: the clean picture h(x_t, t) that the network expects of
 * each, the conditional means of Daras et al. 2023, Fig. 5; both rows then have n columns.
 * 0, -EINVAL (a model of no colours, what is no picture), -ENOMEM, -errno of a file, or what the device
 * returns. */
int forward_write(const struct checkpoint *c, const struct forward_options *o, struct error *err);

#endif
