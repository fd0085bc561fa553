/* Tick times: how long one evaluation of the network takes, by the number of busy lanes.
 *
 * Thread: any; nothing is shared.
 */
#ifndef TOOLS_SIMULATE_TICKS_H
#define TOOLS_SIMULATE_TICKS_H

#include "engine/device.h"

struct checkpoint;
struct error;
struct watch;

enum { TICKS_MAX = 64, TICKS_LANES_MAX = 4096 };

/* Measured points, by rising numbers of lanes; the first is for one lane. */
struct ticks {
    int n;
    int lanes[TICKS_MAX];
    double ms[TICKS_MAX];
};

/* Linear between the points. lanes: 1 .. the last point's. */
double ticks_ms(const struct ticks *t, int lanes);

int ticks_lanes_max(const struct ticks *t);

/* "1:3.2,2:3.0,16:22.4", in any order; one lane must be among them. 0 or -EINVAL. */
int ticks_parse(const char *text, struct ticks *out, struct error *err);

/* From the output of softdiff-bench --json, with one case per batch, or of --ticks with one device and
 * precision. 0, -EINVAL or -errno. */
int ticks_read_bench(const char *path, struct ticks *out, struct error *err);

/* Measures a generator with 1, 2, 3, 4, 6, 8, 12, ... and `slots` busy lanes, which take turns in
 * each of `rounds`, and keeps the medians. watch: told of the rounds, may be NULL.
 * 0, -ECANCELED or an error of the generator. */
int ticks_measure(struct device *device, const struct checkpoint *c, enum precision precision,
                  int slots, int rounds, const struct watch *watch, struct ticks *out,
                  struct error *err);

#endif
