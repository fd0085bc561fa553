/* Kernels that join pixels: the largest or the mean of a window, the mean of an image. A window's rows
 * come first: the largest or mean of whole rows of pixels, then, of that, those of neighbours. */
#include "engine/cpu/cpu_kernels.h"
#include "engine/cpu/loops.h"
#include "engine/cpu/kernel_memory.h"

#include <errno.h>

enum { SIDE_MAX = 3 };

struct pooling {
    struct kernel kernel; /* first: device.h */
    const struct cpu_loops *loops;
    enum dtype type;
    int n; /* images */
    int h, w, h_out, w_out;
    int side, stride;   /* of the window; max_pool only */
    size_t c;           /* channels */
    size_t pixel_bytes; /* of x */
};

static int max_pool_run(const struct kernel *kernel, int stage, int part,
                        const struct kernel_args *args, struct error *err)
{
    const struct pooling *k = (const struct pooling *)kernel;
    const size_t row_bytes = (size_t)k->w * k->pixel_bytes;
    const char *x = args->in[0];
    char *row = args->scratch, *y = args->out[0];

    for (int i = 0; i < k->n; i++) {
        for (int r = 0; r < k->h_out; r++) {
            const void *terms[SIDE_MAX];

            for (int j = 0; j < k->side; j++)
                terms[j] = x + (size_t)(r * k->stride + j) * row_bytes;
            k->loops->pooling->largest(terms, k->side, k->type, (size_t)k->w * k->c, row);
            for (int column = 0; column < k->w_out; column++) {
                for (int j = 0; j < k->side; j++)
                    terms[j] = row + (size_t)(column * k->stride + j) * k->pixel_bytes;
                k->loops->pooling->largest(terms, k->side, k->type, k->c, y);
                y += k->pixel_bytes;
            }
        }
        x += (size_t)k->h * row_bytes;
    }
    return 0;
}

static int mean_pool_run(const struct kernel *kernel, int stage, int part,
                         const struct kernel_args *args, struct error *err)
{
    const struct pooling *k = (const struct pooling *)kernel;
    const size_t n_pixels = (size_t)k->h * (size_t)k->w;
    const char *x = args->in[0];
    float *y = args->out[0];

    for (int i = 0; i < k->n; i++) {
        k->loops->pooling->means(x, k->type, n_pixels, k->c, y);
        x += n_pixels * k->pixel_bytes;
        y += k->c;
    }
    return 0;
}

/* The mean of those of a - 1, a and a + 1 that are in 0 .. n - 1, each `bytes` on from the one before. */
static void average_around(const struct cpu_loops *loops, const char *x, int a, int n, size_t bytes,
                           enum dtype type, size_t count, void *y, enum dtype y_type)
{
    const int first = a > 0 ? a - 1 : 0, last = a < n - 1 ? a + 1 : a;
    const int n_terms = last - first + 1;
    const void *terms[SIDE_MAX];
    enum dtype types[SIDE_MAX];
    float weights[SIDE_MAX];

    for (int i = 0; i < n_terms; i++) {
        terms[i] = x + (size_t)(first + i) * bytes;
        types[i] = type;
        weights[i] = 1.0f / (float)n_terms;
    }
    loops->product->combine(terms, types, weights, n_terms, count, y, y_type);
}

/* Scratch: a row in float32. */
static int average_pool_run(const struct kernel *kernel, int stage, int part,
                            const struct kernel_args *args, struct error *err)
{
    const struct pooling *k = (const struct pooling *)kernel;
    const size_t row_bytes = (size_t)k->w * k->pixel_bytes;
    const char *x = (const char *)args->in[0] + (size_t)part * (size_t)k->h * row_bytes;
    char *row = args->scratch, *y = (char *)args->out[0] + (size_t)part * (size_t)k->h * row_bytes;

    for (int r = 0; r < k->h; r++) {
        average_around(k->loops, x, r, k->h, row_bytes, k->type, (size_t)k->w * k->c, row,
                       DTYPE_F32);
        for (int column = 0; column < k->w; column++) {
            average_around(k->loops, row, column, k->w, k->c * sizeof(float), DTYPE_F32, k->c, y,
                           k->type);
            y += k->pixel_bytes;
        }
    }
    return 0;
}

/* NULL with err set when out of memory. */
static struct pooling *pooling_create(const struct kernel_spec *spec, const struct kernel_ops *ops,
                                      struct error *err)
{
    const struct tensor_desc *x = &spec->inputs[0];
    struct pooling *k = kernel_allocate(spec->kind, sizeof(*k), ops, err);

    if (!k)
        return NULL;
    k->loops = loops_best();
    k->type = x->dtype;
    k->n = x->n;
    k->h = x->shape.dims[0];
    k->w = x->shape.dims[1];
    k->c = (size_t)x->shape.dims[2];
    k->pixel_bytes = k->c * dtype_size(x->dtype);
    return k;
}

int cpu_max_pool_create(struct cpu_device *device, const struct kernel_spec *spec,
                        struct kernel **out, struct error *err)
{
    static const struct kernel_ops ops = {.run = max_pool_run, .destroy = kernel_free};
    struct pooling *k = pooling_create(spec, &ops, err);

    if (!k)
        return -ENOMEM;
    k->side = spec->attributes.window.side;
    k->stride = spec->attributes.window.stride;
    k->h_out = spec->outputs[0].shape.dims[0];
    k->w_out = spec->outputs[0].shape.dims[1];
    k->kernel.scratch_bytes = scratch_align((size_t)k->w * k->pixel_bytes);
    *out = &k->kernel;
    return 0;
}

int cpu_mean_pool_create(struct cpu_device *device, const struct kernel_spec *spec,
                         struct kernel **out, struct error *err)
{
    static const struct kernel_ops ops = {.run = mean_pool_run, .destroy = kernel_free};
    struct pooling *k = pooling_create(spec, &ops, err);

    if (!k)
        return -ENOMEM;
    *out = &k->kernel;
    return 0;
}

int cpu_average_pool_create(struct cpu_device *device, const struct kernel_spec *spec,
                            struct kernel **out, struct error *err)
{
    static const struct kernel_ops ops = {.run = average_pool_run, .destroy = kernel_free};
    struct pooling *k = pooling_create(spec, &ops, err);

    if (!k)
        return -ENOMEM;
    k->kernel.n_parts[0] = k->n;
    k->kernel.scratch_bytes = scratch_align((size_t)k->w * k->c * sizeof(float));
    *out = &k->kernel;
    return 0;
}
