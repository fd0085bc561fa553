/* A kernel with operands of its own, to be timed alone. Thread: one at a time. */
#ifndef TOOLS_BENCH_KERNEL_TIMER_H
#define TOOLS_BENCH_KERNEL_TIMER_H

#include "engine/device.h"

struct error;
struct kernel_timer;

/* Makes the kernel of spec on a device and fills its inputs with numbers between -1/2 and 1/2; only
 * for specs of float32 and bfloat16. 0, or what kernel_create() and the memory of the device
 * return. */
int kernel_timer_create(struct device *device, const struct kernel_spec *spec,
                        struct kernel_timer **out, struct error *err);
void kernel_timer_destroy(struct kernel_timer *t); /* NULL is fine */

/* Runs it whole, once, and takes the time. 0 or -EIO. */
int kernel_timer_run(struct kernel_timer *t, double *seconds, struct error *err);

#endif
