/* Kernels that move channels: concat and slice. A pixel of an output takes a run of bytes from
 * a pixel of each input. */
#include "engine/cpu/cpu_kernels.h"
#include "engine/cpu/kernel_memory.h"

#include <errno.h>
#include <string.h>

enum { PART_PIXELS = 512 }; /* of the batch */

struct channels {
    struct kernel kernel;             /* first: device.h */
    size_t n_pixels;                  /* of the whole batch */
    size_t a_bytes, b_bytes, y_bytes; /* a pixel of each tensor; b: concat only */
    size_t first_bytes;               /* slice: where the run begins in a pixel of a */
};

/* The pixel after the last of a part. */
static size_t part_end(const struct channels *k, int part)
{
    size_t end = ((size_t)part + 1) * PART_PIXELS;

    return end < k->n_pixels ? end : k->n_pixels;
}

static int concat_run(const struct kernel *kernel, int stage, int part,
                      const struct kernel_args *args, struct error *err)
{
    const struct channels *k = (const struct channels *)kernel;
    size_t first = (size_t)part * PART_PIXELS, end = part_end(k, part);
    const char *a = (const char *)args->in[0] + first * k->a_bytes;
    const char *b = (const char *)args->in[1] + first * k->b_bytes;
    char *y = (char *)args->out[0] + first * k->y_bytes;

    for (size_t i = first; i < end; i++) {
        memcpy(y, a, k->a_bytes);
        memcpy(y + k->a_bytes, b, k->b_bytes);
        a += k->a_bytes;
        b += k->b_bytes;
        y += k->y_bytes;
    }
    return 0;
}

static int slice_run(const struct kernel *kernel, int stage, int part,
                     const struct kernel_args *args, struct error *err)
{
    const struct channels *k = (const struct channels *)kernel;
    size_t first = (size_t)part * PART_PIXELS, end = part_end(k, part);
    const char *x = (const char *)args->in[0] + first * k->a_bytes + k->first_bytes;
    char *y = (char *)args->out[0] + first * k->y_bytes;

    for (size_t i = first; i < end; i++) {
        memcpy(y, x, k->y_bytes);
        x += k->a_bytes;
        y += k->y_bytes;
    }
    return 0;
}

/* NULL with err set when out of memory. */
static struct channels *channels_create(const struct kernel_spec *spec,
                                        const struct kernel_ops *ops, struct error *err)
{
    const struct tensor_desc *a = &spec->inputs[0], *y = &spec->outputs[0];
    size_t size = dtype_size(y->dtype);
    struct channels *k = kernel_allocate(spec->kind, sizeof(*k), ops, err);

    if (!k)
        return NULL;
    k->a_bytes = size * (size_t)a->shape.dims[a->shape.n_dims - 1];
    k->y_bytes = size * (size_t)y->shape.dims[y->shape.n_dims - 1];
    k->n_pixels = tensor_count(y) * size / k->y_bytes;
    k->kernel.n_parts[0] = (int)((k->n_pixels + PART_PIXELS - 1) / PART_PIXELS);
    return k;
}

int cpu_concat_create(struct cpu_device *device, const struct kernel_spec *spec,
                      struct kernel **out, struct error *err)
{
    static const struct kernel_ops ops = {.run = concat_run, .destroy = kernel_free};
    struct channels *k = channels_create(spec, &ops, err);

    if (!k)
        return -ENOMEM;
    k->b_bytes = k->y_bytes - k->a_bytes;
    *out = &k->kernel;
    return 0;
}

int cpu_slice_create(struct cpu_device *device, const struct kernel_spec *spec, struct kernel **out,
                     struct error *err)
{
    static const struct kernel_ops ops = {.run = slice_run, .destroy = kernel_free};
    struct channels *k = channels_create(spec, &ops, err);

    if (!k)
        return -ENOMEM;
    k->first_bytes = dtype_size(spec->inputs[0].dtype) * (size_t)spec->attributes.slice.first;
    *out = &k->kernel;
    return 0;
}
