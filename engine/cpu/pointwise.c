/* Kernels that work element by element: silu, relu, add, affine, mix, multiply, half_square. */
#include "engine/cpu/cpu_kernels.h"
#include "engine/cpu/loops.h"
#include "engine/cpu/kernel_memory.h"

#include <errno.h>

enum { PART_ELEMENTS = 32768 }; /* of a kernel that is split */

struct pointwise {
    struct kernel kernel; /* first: device.h */
    const struct cpu_loops *loops;
    int n;            /* images */
    size_t count;     /* elements of an image */
    size_t mask_rows; /* multiply: pixels of the batch where the mask has one value each, else 0 */
    int n_terms;      /* mix */
    int n_coefficients, first;
    float scale, shift, top;
    enum dtype types[OP_INPUTS_MAX], y_type;
};

static const void *image_at(const void *x, enum dtype type, size_t i)
{
    return (const char *)x + i * dtype_size(type);
}

static void *image_at_mutable(void *x, enum dtype type, size_t i)
{
    return (char *)x + i * dtype_size(type);
}

/* Elements [*first, *first + the result) of the batch are of a part. */
static size_t part_range(const struct pointwise *p, int part, size_t *first)
{
    size_t count = (size_t)p->n * p->count;

    *first = (size_t)part * PART_ELEMENTS;
    return count - *first < PART_ELEMENTS ? count - *first : PART_ELEMENTS;
}

/* For kernels that may be split anywhere. */
static void pointwise_split(struct pointwise *p)
{
    p->kernel.n_parts[0] = (int)(((size_t)p->n * p->count + PART_ELEMENTS - 1) / PART_ELEMENTS);
}

/* What all of these kernels share. x: the image input. NULL with err set when out of memory. */
static struct pointwise *pointwise_create(const struct kernel_spec *spec,
                                          const struct kernel_ops *ops, const struct tensor_desc *x,
                                          struct error *err)
{
    struct pointwise *p = kernel_allocate(spec->kind, sizeof(*p), ops, err);

    if (!p)
        return NULL;
    p->loops = loops_best();
    p->n = x->n;
    p->count = shape_count(&x->shape);
    for (int i = 0; i < spec->n_inputs; i++)
        p->types[i] = spec->inputs[i].dtype;
    p->y_type = spec->outputs[0].dtype;
    return p;
}

static int silu_run(const struct kernel *kernel, int stage, int part,
                    const struct kernel_args *args, struct error *err)
{
    const struct pointwise *p = (const struct pointwise *)kernel;
    size_t first, count = part_range(p, part, &first);

    p->loops->pointwise->silu(image_at(args->in[0], p->y_type, first),
                              image_at_mutable(args->out[0], p->y_type, first), p->y_type, count);
    return 0;
}

static int silu_grad_run(const struct kernel *kernel, int stage, int part,
                         const struct kernel_args *args, struct error *err)
{
    const struct pointwise *p = (const struct pointwise *)kernel;

    p->loops->pointwise->silu_grad(args->in[0], args->in[1], args->out[0], p->y_type,
                                   (size_t)p->n * p->count);
    return 0;
}

static int relu_run(const struct kernel *kernel, int stage, int part,
                    const struct kernel_args *args, struct error *err)
{
    const struct pointwise *p = (const struct pointwise *)kernel;
    size_t first, count = part_range(p, part, &first);

    p->loops->pointwise->relu(image_at(args->in[0], p->y_type, first),
                              image_at_mutable(args->out[0], p->y_type, first), p->y_type, count,
                              p->top);
    return 0;
}

int cpu_activation_create(struct cpu_device *device, const struct kernel_spec *spec,
                          struct kernel **out, struct error *err)
{
    static const struct kernel_ops silu = {.run = silu_run, .destroy = kernel_free};
    static const struct kernel_ops silu_grad = {.run = silu_grad_run, .destroy = kernel_free};
    static const struct kernel_ops relu = {.run = relu_run, .destroy = kernel_free};
    const struct kernel_ops *ops = spec->kind == OP_SILU        ? &silu
                                   : spec->kind == OP_SILU_GRAD ? &silu_grad
                                                                : &relu;
    struct pointwise *p = pointwise_create(spec, ops, &spec->inputs[0], err);

    if (!p)
        return -ENOMEM;
    p->top = spec->attributes.relu.top;
    if (ops != &silu_grad)
        pointwise_split(p);
    *out = &p->kernel;
    return 0;
}

static int add_run(const struct kernel *kernel, int stage, int part, const struct kernel_args *args,
                   struct error *err)
{
    const struct pointwise *p = (const struct pointwise *)kernel;
    size_t first, count = part_range(p, part, &first);

    p->loops->pointwise->add(image_at(args->in[0], p->y_type, first),
                             image_at(args->in[1], p->y_type, first),
                             image_at_mutable(args->out[0], p->y_type, first), p->y_type, count,
                             p->scale);
    return 0;
}

int cpu_add_create(struct cpu_device *device, const struct kernel_spec *spec, struct kernel **out,
                   struct error *err)
{
    static const struct kernel_ops ops = {.run = add_run, .destroy = kernel_free};
    struct pointwise *p = pointwise_create(spec, &ops, &spec->inputs[0], err);

    if (!p)
        return -ENOMEM;
    p->scale = spec->attributes.add.scale;
    pointwise_split(p);
    *out = &p->kernel;
    return 0;
}

static int affine_run(const struct kernel *kernel, int stage, int part,
                      const struct kernel_args *args, struct error *err)
{
    const struct pointwise *p = (const struct pointwise *)kernel;
    size_t first, count = part_range(p, part, &first);

    p->loops->pointwise->affine(image_at(args->in[0], p->types[0], first), p->types[0],
                                image_at_mutable(args->out[0], p->y_type, first), p->y_type, count,
                                p->scale, p->shift);
    return 0;
}

int cpu_affine_create(struct cpu_device *device, const struct kernel_spec *spec,
                      struct kernel **out, struct error *err)
{
    static const struct kernel_ops ops = {.run = affine_run, .destroy = kernel_free};
    struct pointwise *p = pointwise_create(spec, &ops, &spec->inputs[0], err);

    if (!p)
        return -ENOMEM;
    p->scale = spec->attributes.affine.scale;
    p->shift = spec->attributes.affine.shift;
    pointwise_split(p);
    *out = &p->kernel;
    return 0;
}

static int mix_run(const struct kernel *kernel, int stage, int part, const struct kernel_args *args,
                   struct error *err)
{
    const struct pointwise *p = (const struct pointwise *)kernel;
    const float *coefficients = args->in[0];

    for (int i = 0; i < p->n; i++) {
        size_t start = (size_t)i * p->count;
        const void *x[OP_INPUTS_MAX];

        for (int j = 0; j < p->n_terms; j++)
            x[j] = image_at(args->in[j + 1], p->types[j + 1], start);
        p->loops->product->combine(x, p->types + 1,
                                   coefficients + (size_t)i * p->n_coefficients + p->first,
                                   p->n_terms, p->count,
                                   image_at_mutable(args->out[0], p->y_type, start), p->y_type);
    }
    return 0;
}

int cpu_mix_create(struct cpu_device *device, const struct kernel_spec *spec, struct kernel **out,
                   struct error *err)
{
    static const struct kernel_ops ops = {.run = mix_run, .destroy = kernel_free};
    struct pointwise *p = pointwise_create(spec, &ops, &spec->inputs[1], err);

    if (!p)
        return -ENOMEM;
    p->n_terms = spec->n_inputs - 1;
    p->n_coefficients = spec->inputs[0].shape.dims[0];
    p->first = spec->attributes.mix.first;
    *out = &p->kernel;
    return 0;
}

static int multiply_run(const struct kernel *kernel, int stage, int part,
                        const struct kernel_args *args, struct error *err)
{
    const struct pointwise *p = (const struct pointwise *)kernel;
    size_t count = (size_t)p->n * p->count;

    if (p->mask_rows)
        p->loops->pointwise->multiply_rows(args->in[0], p->types[0], args->in[1], p->types[1],
                                           args->out[0], p->mask_rows, count / p->mask_rows);
    else
        p->loops->pointwise->multiply(args->in[0], p->types[0], args->in[1], p->types[1],
                                      args->out[0], count);
    return 0;
}

int cpu_multiply_create(struct cpu_device *device, const struct kernel_spec *spec,
                        struct kernel **out, struct error *err)
{
    static const struct kernel_ops ops = {.run = multiply_run, .destroy = kernel_free};
    const struct tensor_desc *x = &spec->inputs[0], *m = &spec->inputs[1];
    struct pointwise *p = pointwise_create(spec, &ops, x, err);

    if (!p)
        return -ENOMEM;
    if (!shape_equal(&x->shape, &m->shape))
        p->mask_rows = tensor_count(m);
    *out = &p->kernel;
    return 0;
}

static int half_square_run(const struct kernel *kernel, int stage, int part,
                           const struct kernel_args *args, struct error *err)
{
    const struct pointwise *p = (const struct pointwise *)kernel;
    const float *x = args->in[0], *weight = args->in[1];
    float *y = args->out[0];

    for (int i = 0; i < p->n; i++) {
        double sum = p->loops->pointwise->sum_of_squares(x + (size_t)i * p->count, p->count);

        y[i] = (float)(0.5 * weight[i] * sum);
    }
    return 0;
}

static int half_square_grad_run(const struct kernel *kernel, int stage, int part,
                                const struct kernel_args *args, struct error *err)
{
    const struct pointwise *p = (const struct pointwise *)kernel;
    const float *x = args->in[0], *weight = args->in[1], *dy = args->in[2];
    float *dx = args->out[0];

    for (int i = 0; i < p->n; i++) {
        size_t start = (size_t)i * p->count;

        p->loops->pointwise->affine(x + start, DTYPE_F32, dx + start, DTYPE_F32, p->count,
                                    weight[i] * dy[i], 0.0f);
    }
    return 0;
}

int cpu_half_square_create(struct cpu_device *device, const struct kernel_spec *spec,
                           struct kernel **out, struct error *err)
{
    static const struct kernel_ops forward = {.run = half_square_run, .destroy = kernel_free};
    static const struct kernel_ops backward = {.run = half_square_grad_run, .destroy = kernel_free};
    const struct kernel_ops *ops = spec->kind == OP_HALF_SQUARE ? &forward : &backward;
    struct pointwise *p = pointwise_create(spec, ops, &spec->inputs[0], err);

    if (!p)
        return -ENOMEM;
    *out = &p->kernel;
    return 0;
}

static int pixels_run(const struct kernel *kernel, int stage, int part,
                      const struct kernel_args *args, struct error *err)
{
    const struct pointwise *p = (const struct pointwise *)kernel;
    size_t first, count = part_range(p, part, &first);
    const float *x = (const float *)args->in[0] + first;
    uint8_t *y = (uint8_t *)args->out[0] + first;

    for (size_t i = 0; i < count; i++) {
        /* NaN fails both comparisons. */
        float scaled = x[i] >= 1 ? 255.0f : x[i] > 0 ? 255.0f * x[i] + 0.5f : 0.0f;

        y[i] = (uint8_t)(int)scaled;
    }
    return 0;
}

int cpu_pixels_create(struct cpu_device *device, const struct kernel_spec *spec,
                      struct kernel **out, struct error *err)
{
    static const struct kernel_ops ops = {.run = pixels_run, .destroy = kernel_free};
    struct pointwise *p = pointwise_create(spec, &ops, &spec->inputs[0], err);

    if (!p)
        return -ENOMEM;
    pointwise_split(p);
    *out = &p->kernel;
    return 0;
}
