/* Matrix products with parameters.
 *
 * Over positions (NIN layers, attention's projections) they are 1x1 convolutions and go through
 * oneDNN. Over vectors (the time embedding and its projections) there are a few rows only: own
 * loops in float32, one row after the other, so that an image's result does not depend on n. So it
 * is with matrices that are no parameters and come unpacked, which mix a few colours.
 */
#include "engine/cpu/convolution.h"
#include "engine/cpu/cpu_kernels.h"
#include "engine/cpu/kernel_memory.h"
#include "engine/cpu/loops.h"

#include <errno.h>
#include <string.h>

struct vector_linear {
    struct kernel base;
    const struct cpu_loops *loops;
    int n, in, out; /* rows, their widths */
    bool in_first;
    bool bias;
};

/* y += x */
static void add_to(float *restrict y, const float *restrict x, int size)
{
    for (int i = 0; i < size; i++)
        y[i] += x[i];
}

/* y = rows x, with rows [n_rows,size] */
static void times_rows(const struct cpu_loops *loops, const float *rows, const float *x, int n_rows,
                       int size, float *y)
{
    loops->row->dots(rows, x, (size_t)n_rows, (size_t)size, y);
}

/* y = rows^T x */
static void times_columns(const struct cpu_loops *loops, const float *rows, const float *x,
                          int n_rows, int size, float *y)
{
    loops->product->matrix(x, 0, 1, rows, y, 1, (size_t)n_rows, (size_t)size);
}

static int vector_run(const struct kernel *kernel, int stage, int part,
                      const struct kernel_args *args, struct error *err)
{
    const struct vector_linear *l = (const struct vector_linear *)kernel;
    const float *x = args->in[0], *weight = args->in[1], *bias = l->bias ? args->in[2] : NULL;
    float *y = args->out[0];

    for (int i = 0; i < l->n; i++, x += l->in, y += l->out) {
        if (l->in_first)
            times_columns(l->loops, weight, x, l->in, l->out, y);
        else
            times_rows(l->loops, weight, x, l->out, l->in, y);
        if (bias)
            add_to(y, bias, l->out);
    }
    return 0;
}

static int vector_grad_data_run(const struct kernel *kernel, int stage, int part,
                                const struct kernel_args *args, struct error *err)
{
    const struct vector_linear *l = (const struct vector_linear *)kernel;
    const float *dy = args->in[0], *weight = args->in[1];
    float *dx = args->out[0];

    for (int i = 0; i < l->n; i++, dy += l->out, dx += l->in) {
        if (l->in_first)
            times_rows(l->loops, weight, dy, l->in, l->out, dx);
        else
            times_columns(l->loops, weight, dy, l->out, l->in, dx);
    }
    return 0;
}

static int vector_grad_weight_run(const struct kernel *kernel, int stage, int part,
                                  const struct kernel_args *args, struct error *err)
{
    const struct vector_linear *l = (const struct vector_linear *)kernel;
    const float *x = args->in[0], *dy = args->in[1];
    float *dweight = args->out[0], *dbias = l->bias ? args->out[1] : NULL;
    /* dweight = row^T column, with [n,n_rows] and [n,size] */
    const float *row = l->in_first ? x : dy, *column = l->in_first ? dy : x;
    size_t n_rows = (size_t)(l->in_first ? l->in : l->out);
    size_t size = (size_t)(l->in_first ? l->out : l->in);

    l->loops->product->matrix(row, 1, n_rows, column, dweight, n_rows, (size_t)l->n, size);
    if (!dbias)
        return 0;
    memset(dbias, 0, (size_t)l->out * sizeof(*dbias));
    for (int i = 0; i < l->n; i++)
        add_to(dbias, dy + (size_t)i * l->out, l->out);
    return 0;
}

static const struct kernel_ops vector_ops = {
    .run = vector_run,
    .destroy = kernel_free,
};

static const struct kernel_ops vector_grad_data_ops = {
    .run = vector_grad_data_run,
    .destroy = kernel_free,
};

static const struct kernel_ops vector_grad_weight_ops = {
    .run = vector_grad_weight_run,
    .destroy = kernel_free,
};

static int channels(const struct tensor_desc *t)
{
    return t->shape.dims[t->shape.n_dims - 1];
}

static int vector_create(const struct kernel_ops *ops, const struct convolution_shape *shape,
                         struct kernel **out, struct error *err)
{
    struct vector_linear *l = kernel_allocate(shape->kind, sizeof(*l), ops, err);

    if (!l)
        return -ENOMEM;
    l->loops = loops_best();
    l->n = shape->n * shape->x_h * shape->x_w;
    l->in = shape->x_c;
    l->out = shape->y_c;
    l->in_first = shape->in_first;
    l->bias = shape->bias;
    *out = &l->base;
    return 0;
}

static bool by_rows(const struct tensor_desc *x, const struct tensor_desc *y, bool packed)
{
    return (x->shape.n_dims == 1 || !packed) && x->dtype == DTYPE_F32 && y->dtype == DTYPE_F32;
}

static struct convolution_shape shape_of(const struct kernel_spec *spec,
                                         const struct tensor_desc *x, const struct tensor_desc *y)
{
    int h = x->shape.n_dims > 2 ? x->shape.dims[x->shape.n_dims - 3] : 1;
    int w = x->shape.n_dims > 1 ? x->shape.dims[x->shape.n_dims - 2] : 1;

    return (struct convolution_shape){
        .kind = spec->kind,
        .n = x->n,
        .x_h = h,
        .x_w = w,
        .x_c = channels(x),
        .y_h = h,
        .y_w = w,
        .y_c = channels(y),
        .x_type = x->dtype,
        .y_type = y->dtype,
        .k_h = 1,
        .k_w = 1,
        .groups = 1,
        .stride = 1,
        .in_first = spec->attributes.linear.in_first,
    };
}

int cpu_linear_create(struct cpu_device *device, const struct kernel_spec *spec,
                      struct kernel **out, struct error *err)
{
    const struct tensor_desc *x = &spec->inputs[0], *y = &spec->outputs[0];
    struct convolution_shape shape = shape_of(spec, x, y);

    shape.bias = spec->n_inputs > 2 && !spec->inputs[2].absent;
    if (by_rows(x, y, spec->inputs[1].parameter))
        return vector_create(&vector_ops, &shape, out, err);
    return convolution_forward_create(device, &shape, out, err);
}

int cpu_linear_grad_data_create(struct cpu_device *device, const struct kernel_spec *spec,
                                struct kernel **out, struct error *err)
{
    const struct tensor_desc *x = &spec->outputs[0], *y = &spec->inputs[0];
    struct convolution_shape shape = shape_of(spec, x, y);

    if (by_rows(x, y, spec->inputs[1].parameter))
        return vector_create(&vector_grad_data_ops, &shape, out, err);
    return convolution_backward_data_create(device, &shape, out, err);
}

int cpu_linear_grad_weight_create(struct cpu_device *device, const struct kernel_spec *spec,
                                  struct kernel **out, struct error *err)
{
    const struct tensor_desc *x = &spec->inputs[0], *y = &spec->inputs[1];
    struct convolution_shape shape = shape_of(spec, x, y);

    shape.bias = spec->n_outputs > 1 && !spec->outputs[1].absent;
    if (by_rows(x, y, true))
        return vector_create(&vector_grad_weight_ops, &shape, out, err);
    return convolution_backward_weight_create(device, &shape, out, err);
}
