#include "model/weights.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

#include "engine/base/error.h"
#include "engine/parameters.h"
#include "model/safetensors.h"

enum { SHAPE_TEXT = 64, NAME_SIZE = 160 };

/* "[3,64]" */
static void shape_text(int n_dims, const size_t *dims, char text[SHAPE_TEXT])
{
    int used = snprintf(text, SHAPE_TEXT, "[");

    for (int i = 0; i < n_dims && used < SHAPE_TEXT; i++)
        used += snprintf(text + used, (size_t)(SHAPE_TEXT - used), i ? ",%zu" : "%zu", dims[i]);
    if (used < SHAPE_TEXT)
        snprintf(text + used, (size_t)(SHAPE_TEXT - used), "]");
}

int weights_find(const struct safetensors *file, const char *name, int n_dims, const size_t *dims,
                 const struct safetensors_tensor **out, struct error *err)
{
    const struct safetensors_tensor *tensor = safetensors_find(file, name);
    bool same;

    if (!tensor)
        return error_set(err, -EINVAL, "tensor \"%s\" is missing", name);
    same = tensor->n_dims == n_dims;
    for (int i = 0; same && i < n_dims; i++)
        same = tensor->dims[i] == dims[i];
    if (!same) {
        char is[SHAPE_TEXT], needs[SHAPE_TEXT];

        shape_text(tensor->n_dims, tensor->dims, is);
        shape_text(n_dims, dims, needs);
        return error_set(err, -EINVAL, "tensor \"%s\" is %s, the model needs %s", name, is, needs);
    }
    *out = tensor;
    return 0;
}

static int read_weight(const struct safetensors *file, const char *prefix,
                       const struct parameters *parameters, int i, float *values, struct error *err)
{
    const struct shape *shape = parameters_shape(parameters, i);
    const struct safetensors_tensor *tensor;
    size_t dims[SHAPE_DIMS_MAX];
    char name[NAME_SIZE];
    int rc;

    for (int j = 0; j < shape->n_dims; j++)
        dims[j] = (size_t)shape->dims[j];
    snprintf(name, sizeof(name), "%s%s", prefix, parameters_name(parameters, i));
    rc = weights_find(file, name, shape->n_dims, dims, &tensor, err);
    if (rc < 0)
        return rc;
    return safetensors_read_floats(tensor, values + parameters_offset(parameters, i), err);
}

int weights_take(const struct safetensors *file, const char *prefix,
                 const struct parameters *parameters, float *values, struct error *err)
{
    int rc = 0;

    for (int i = 0; rc == 0 && i < parameters_n(parameters); i++)
        rc = read_weight(file, prefix, parameters, i, values, err);
    return rc;
}

int weights_read(const char *path, const char *prefix, const struct parameters *parameters,
                 float *values, struct error *err)
{
    struct safetensors *file;
    int rc = safetensors_open(path, &file, err);

    if (rc < 0)
        return rc;
    rc = weights_take(file, prefix, parameters, values, err);
    safetensors_close(file);
    if (rc < 0)
        error_prefix(err, "weights \"%s\": ", path);
    return rc;
}
