/* A network on one device in one precision, evaluated in two ways: by a plan that keeps the values which
 * are asked for until the end, so that they can be read, and by one that keeps phi alone, as when
 * serving. Thread: one at a time.
 */
#ifndef TOOLS_INSPECT_SIDE_H
#define TOOLS_INSPECT_SIDE_H

#include "engine/device.h"

#include <stdbool.h>

struct error;
struct program;
struct side;

/* A network and what is wanted of it. */
struct side_network {
    const struct program *program;
    int x, time_cond, phi; /* values */
    const float *weights;  /* in the order of the program's parameters */
    int n_images;
    int n_kept;
    const int *kept; /* values, phi among them */
};

/* A name is "DEVICE" or "DEVICE:PRECISION". 0, or -EINVAL where no machine has such a device. */
int side_check_name(const char *name, struct error *err);

/* 0, or what device_open() and plan_create() return; the text names the side. */
int side_create(const char *name, int n_threads, const char *choices,
                const struct side_network *network, struct side **out, struct error *err);
void side_destroy(struct side *s); /* NULL is fine */

void side_describe(const struct side *s, char *text, size_t size); /* "cpu bf16" */
enum precision side_precision(const struct side *s);
struct passes side_passes(const struct side *s); /* of the plan that keeps values */

/* Evaluates the network. images [n,h,w,c], times [n]. 0 or -EIO. */
int side_run(struct side *s, const float *images, const float *times, struct error *err);

/* All images of a value that was kept. 0 or -EINVAL. */
int side_read(struct side *s, int value, float *dst, struct error *err);

/* Whether phi has the same bytes by both plans. 0, -ENOMEM. */
int side_check(struct side *s, bool *same, struct error *err);

#endif
