/* The parameters of a network on a device: one flat array of float32 values on the host, and
 * the packed copies that the device's kernels asked for, shared by all plans.
 *
 * Many programs (training, sampling, of the same network) use one struct parameters; a program's
 * parameter is found here by its name and must have the same shape.
 *
 * Thread: one at a time, and not while a plan that uses it runs.
 */
#ifndef ENGINE_PARAMETERS_H
#define ENGINE_PARAMETERS_H

#include "engine/op.h"

#include <stddef.h>

struct device;
struct error;
struct kernel;
struct parameters;
struct program;

/* Takes names and shapes from the program, in the order of declaration; all values are 0.
 * device is borrowed and must outlive it. 0 or -ENOMEM. */
int parameters_create(struct device *device, const struct program *p, struct parameters **out,
                      struct error *err);
void parameters_destroy(struct parameters *parameters);

int parameters_n(const struct parameters *parameters);
const char *parameters_name(const struct parameters *parameters, int i);
const struct shape *parameters_shape(const struct parameters *parameters, int i);
int parameters_find(const struct parameters *parameters, const char *name); /* -1: none */

/* All values, parameters_count() of them; parameter i starts at parameters_offset(i). After
 * writing, call parameters_changed() before the next run. */
float *parameters_values(struct parameters *parameters);
size_t parameters_count(const struct parameters *parameters);
size_t parameters_offset(const struct parameters *parameters, int i);

/* Brings the packed copies up to date, on the device's threads. 0 or -EIO. Allocates nothing. */
int parameters_changed(struct parameters *parameters, struct error *err);

/* For plans: the memory a kernel's input reads parameter i from, packed as the kernel wants.
 * Valid until parameters_destroy(). The kernel must stay alive until then or until
 * parameters_release() is told of its end. 0, -ENOMEM or -EIO. */
int parameters_attach(struct parameters *parameters, int i, const struct kernel *kernel, int input,
                      const void **out, struct error *err);
void parameters_release(struct parameters *parameters, const struct kernel *kernel);

#endif
