/* The weights of a network by their names, out of a safetensors file. */
#ifndef MODEL_WEIGHTS_H
#define MODEL_WEIGHTS_H

#include <stddef.h>

struct error;
struct parameters;
struct safetensors;
struct safetensors_tensor;

/* A tensor of a file, which must have this shape. 0, or -EINVAL if it is missing or has another. */
int weights_find(const struct safetensors *file, const char *name, int n_dims, const size_t *dims,
                 const struct safetensors_tensor **out, struct error *err);

/* Reads all weights of parameters; the file has them under `prefix` and their names, maybe among
 * others. values: [parameters_count()].
 * 0, -EINVAL (a tensor is missing, has another shape or is not finite), or what safetensors_open()
 * returns; the text names the file. */
int weights_read(const char *path, const char *prefix, const struct parameters *parameters,
                 float *values, struct error *err);
/* The same of a file that is open already; the text names the tensor alone. */
int weights_take(const struct safetensors *file, const char *prefix,
                 const struct parameters *parameters, float *values, struct error *err);

#endif
