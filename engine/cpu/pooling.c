/* Kernels that join pixels: the largest of a window, the mean of an image. A window's rows come
 * first: the largest of whole rows of pixels, then, of that, the largest of neighbours. */
#include "engine/cpu/cpu_kernels.h"
#include "engine/cpu/loops.h"
#include "engine/cpu/tensors.h"
#include "engine/base/error.h"

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

/* For an x that is an image. */
static int pooling_create(const struct kernel_spec *spec, const struct kernel_ops *ops,
                          struct pooling **out, struct error *err)
{
    const struct tensor_desc *x = &spec->inputs[0];
    struct pooling *k = kernel_allocate(spec, sizeof(*k), ops, err);

    if (!k)
        return -ENOMEM;
    k->loops = loops_best();
    k->type = x->dtype;
    k->n = x->n;
    k->h = x->shape.dims[0];
    k->w = x->shape.dims[1];
    k->c = (size_t)x->shape.dims[2];
    k->pixel_bytes = k->c * dtype_size(x->dtype);
    *out = k;
    return 0;
}

int cpu_max_pool_create(struct cpu_device *device, const struct kernel_spec *spec,
                        struct kernel **out, struct error *err)
{
    static const struct kernel_ops ops = {.run = max_pool_run, .destroy = kernel_free};
    const struct tensor_desc *x = &spec->inputs[0], *y = &spec->outputs[0];
    const int side = spec->attributes.window.side, stride = spec->attributes.window.stride;
    struct pooling *k = NULL;
    int rc;

    if (!tensor_is_image(x) || !tensor_is_image(y) || x->dtype != y->dtype || x->n != y->n ||
        x->shape.dims[2] != y->shape.dims[2])
        return tensor_refuse(spec, "x and y must be images of one type", err);
    if (side < 2 || side > SIDE_MAX || stride < 1 || stride > 2 || x->shape.dims[0] < side ||
        x->shape.dims[1] < side || y->shape.dims[0] != (x->shape.dims[0] - side) / stride + 1 ||
        y->shape.dims[1] != (x->shape.dims[1] - side) / stride + 1)
        return tensor_refuse(spec, "the image sizes do not fit the window", err);
    rc = pooling_create(spec, &ops, &k, err);
    if (rc < 0)
        return rc;
    k->side = side;
    k->stride = stride;
    k->h_out = y->shape.dims[0];
    k->w_out = y->shape.dims[1];
    k->kernel.scratch_bytes = scratch_align((size_t)k->w * k->pixel_bytes);
    *out = &k->kernel;
    return 0;
}

int cpu_mean_pool_create(struct cpu_device *device, const struct kernel_spec *spec,
                         struct kernel **out, struct error *err)
{
    static const struct kernel_ops ops = {.run = mean_pool_run, .destroy = kernel_free};
    const struct tensor_desc *x = &spec->inputs[0], *y = &spec->outputs[0];
    struct pooling *k = NULL;
    int rc;

    if (!tensor_is_image(x) || !tensor_is_f32(y, (size_t)x->shape.dims[2]) || x->n != y->n)
        return tensor_refuse(spec, "x must be images, y a float32 vector of their channels", err);
    rc = pooling_create(spec, &ops, &k, err);
    if (rc < 0)
        return rc;
    *out = &k->kernel;
    return 0;
}
