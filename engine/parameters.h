/* The constants of a network on a device: its weights, as the device's kernels want them packed, and
 * its tables (VALUE_TABLE). Plans of the same network share them: a program's parameter is found here
 * by its name and must have the same shape.
 *
 * Weights are one flat float32 array in the order of their declaration. When serving only the packed
 * copies stay in memory; a trainer keeps the array too, on the device (parameters_keep()).
 *
 * Thread: one at a time, and not while an executor that uses them runs.
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
struct value;

/* Takes names and shapes from the program. device is borrowed and must outlive it. 0 or -ENOMEM. */
int parameters_create(struct device *device, const struct program *p, struct parameters **out,
                      struct error *err);
void parameters_destroy(struct parameters *parameters);

/* Adds the tables of another program of the same network. 0, -EINVAL (a weight that is not there, or
 * another shape), -ENOMEM. */
int parameters_declare(struct parameters *parameters, const struct program *p, struct error *err);

/* The weights. */
int parameters_n(const struct parameters *parameters);
const char *parameters_name(const struct parameters *parameters, int i);
const struct shape *parameters_shape(const struct parameters *parameters, int i);
int parameters_find(const struct parameters *parameters, const char *name); /* -1: none */
size_t parameters_count(const struct parameters *parameters);               /* floats of all */
size_t parameters_offset(const struct parameters *parameters, int i);

/* Fills every copy that plans asked for, from all weights. Plans that come later find theirs filled
 * only if the weights are kept. values: [parameters_count()], not kept. 0, -ENOMEM or -EIO. */
int parameters_load(struct parameters *parameters, const float *values, struct error *err);

/* From now on keeps the weights as an array on the device, 0 at first. *out: its memory. 0 or
 * -ENOMEM. */
int parameters_keep(struct parameters *parameters, void **out, struct error *err);
/* Fills every copy from the array that is kept. 0 or -EIO. Allocates nothing. */
int parameters_repack(struct parameters *parameters, struct error *err);
/* Reads the array that is kept. 0 or -EIO. */
int parameters_read(struct parameters *parameters, float *values, struct error *err);

/* Fills a table that a plan has asked for; others: does nothing. values: as its shape says.
 * 0 or -EIO. */
int parameters_write_table(struct parameters *parameters, const char *name, const float *values,
                           struct error *err);

/* Reads a table that a plan has asked for. 0, -EINVAL (no plan has) or -EIO. */
int parameters_read_table(struct parameters *parameters, const char *name, float *values,
                          struct error *err);

size_t parameters_memory_bytes(const struct parameters *parameters);

/* For plans: the memory that a kernel's input reads a parameter or table from, packed as the kernel
 * wants. Valid until the kernel is released, which must be before its end. 0, -EINVAL (no such
 * parameter, or one of another shape), -ENOMEM or -EIO. */
int parameters_attach(struct parameters *parameters, const struct value *v,
                      const struct kernel *kernel, int input, const void **out, struct error *err);
void parameters_release(struct parameters *parameters, const struct kernel *kernel);

#endif
