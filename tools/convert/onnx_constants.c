#include "tools/convert/onnx_constants.h"
#include "engine/base/error.h"
#include "engine/parameters.h"
#include "engine/program.h"
#include "tools/convert/onnx_graph.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct made {
    char *name;
    enum onnx_layout layout;
    int number;
};

struct onnx_constants {
    struct onnx *graph;
    struct parameters *parameters;
    const float *weights;
    int n;
    struct made *made;
};

int onnx_constants_create(struct onnx *o, struct parameters *parameters, const float *weights,
                          struct onnx_constants **out, struct error *err)
{
    struct onnx_constants *c = calloc(1, sizeof(*c));

    if (!c)
        return error_set(err, -ENOMEM, "out of memory for constants");
    c->graph = o;
    c->parameters = parameters;
    c->weights = weights;
    *out = c;
    return 0;
}

void onnx_constants_destroy(struct onnx_constants *c)
{
    if (!c)
        return;
    for (int i = 0; i < c->n; i++)
        free(c->made[i].name);
    free(c->made);
    free(c);
}

/* planes of rows x columns, each turned round. */
static void turn(const float *src, int planes, int rows, int columns, float *dst)
{
    for (int p = 0; p < planes; p++) {
        for (int i = 0; i < rows; i++) {
            for (int j = 0; j < columns; j++)
                dst[(size_t)j * (size_t)rows + (size_t)i] = *src++;
        }
        dst += (size_t)rows * (size_t)columns;
    }
}

/* Another order of the numbers, and their dimensions in the graph; how many these are. */
static int lay_out(const struct shape *shape, enum onnx_layout layout, const float *src, float *dst,
                   int dims[SHAPE_DIMS_MAX])
{
    const int *d = shape->dims;
    bool whole = shape->n_dims == SHAPE_DIMS_MAX;
    int n = whole ? d[0] : 1, h = d[whole], w = d[1 + whole], c = d[2 + whole];

    switch (layout) {
    case ONNX_AS_IS:
        memcpy(dims, d, (size_t)shape->n_dims * sizeof(*dims));
        memcpy(dst, src, shape_count(shape) * sizeof(*dst));
        return shape->n_dims;
    case ONNX_WINDOW:
        memcpy(dst, src, shape_count(shape) * sizeof(*dst));
        memcpy(dims, (const int[]){d[0], d[1], 1, 1}, 4 * sizeof(*dims));
        return 4;
    case ONNX_TRANSPOSED:
    case ONNX_WINDOW_TRANSPOSED:
        turn(src, 1, d[0], d[1], dst);
        memcpy(dims, (const int[]){d[1], d[0], 1, 1}, 4 * sizeof(*dims));
        return layout == ONNX_TRANSPOSED ? 2 : 4;
    case ONNX_IMAGES:
        turn(src, n, h * w, c, dst);
        memcpy(dims, (const int[]){n, c, h, w}, 4 * sizeof(*dims));
        return 4;
    }
    return 0;
}

static int read_values(struct onnx_constants *c, const struct value *v, float *values,
                       struct error *err)
{
    int i;

    if (v->role == VALUE_TABLE)
        return parameters_read_table(c->parameters, v->name, values, err);
    i = parameters_find(c->parameters, v->name);
    if (i < 0)
        return error_set(err, -EINVAL, "there is no weight \"%s\"", v->name);
    memcpy(values, c->weights + parameters_offset(c->parameters, i),
           shape_count(&v->shape) * sizeof(*values));
    return 0;
}

static int make(struct onnx_constants *c, const struct value *v, enum onnx_layout layout, int *out,
                struct error *err)
{
    size_t count = shape_count(&v->shape);
    float *values = malloc(2 * count * sizeof(*values));
    int dims[SHAPE_DIMS_MAX], n_dims, rc;

    if (!values)
        return error_set(err, -ENOMEM, "out of memory for \"%s\"", v->name);
    rc = read_values(c, v, values, err);
    if (rc == 0) {
        n_dims = lay_out(&v->shape, layout, values, values + count, dims);
        *out = onnx_floats(c->graph, n_dims, dims, values + count);
    }
    free(values);
    return rc;
}

int onnx_constants_find(struct onnx_constants *c, const struct value *v, enum onnx_layout layout,
                        int *out, struct error *err)
{
    struct made *more;
    char *name;
    int number = -1, rc;

    for (int i = 0; i < c->n; i++) {
        if (c->made[i].layout == layout && strcmp(c->made[i].name, v->name) == 0) {
            *out = c->made[i].number;
            return 0;
        }
    }
    rc = make(c, v, layout, &number, err);
    if (rc < 0)
        return rc;
    more = realloc(c->made, ((size_t)c->n + 1) * sizeof(*more));
    if (more)
        c->made = more;
    name = strdup(v->name);
    if (!more || !name) {
        free(name);
        return error_set(err, -ENOMEM, "out of memory for constants");
    }
    c->made[c->n++] = (struct made){name, layout, number};
    *out = number;
    return 0;
}
