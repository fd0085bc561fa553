/* Convolutions through oneDNN: activations NHWC, weights in whatever format the primitive likes
 * best, made from the plain ones by a reorder (ahead of time for parameters, after every run for
 * their gradients).
 */
#include "engine/cpu/convolution.h"
#include "engine/cpu/cpu_kernels.h"
#include "engine/cpu/kernel_memory.h"
#include "engine/cpu/loops.h"
#include "engine/cpu/onednn.h"

#include <errno.h>
#include <stdlib.h>

enum { BANDS_MAX = 8, BAND_PRODUCTS = 1 << 20 };

/* Bands by the call that computes them: at the top and the bottom of an image they see padding. */
enum band_kind { BAND_TOP, BAND_MIDDLE, BAND_BOTTOM, BAND_KINDS };

/* Rows of y, computed from some rows of x. */
struct band {
    enum band_kind kind;
    size_t x_offset, y_offset; /* bytes */
};

struct convolution {
    struct kernel base;
    /* By kind of band, NULL where there is none of it. Only forward there is more than the first,
     * which then serves all bands that are like the top one. Weights are in one format. */
    struct onednn_call *calls[BAND_KINDS];
    struct onednn_call *reorder; /* between the plain weights and those of the calls */
    bool bias;
    /* Forward: an image is split into bands. */
    int n_bands;
    struct band bands[BANDS_MAX];
    size_t x_bytes, y_bytes; /* of an image */
    /* OP_CONVOLUTION_ADD: a call leaves band_count sums in scratch, float32, to be added to. */
    bool residual;
    float scale;
    enum dtype y_type;
    size_t band_count;
    const struct product_loops *loops;
};

static void calls_destroy(struct convolution *c)
{
    for (int i = 0; i < BAND_KINDS; i++) {
        onednn_call_destroy(c->calls[i]);
        c->calls[i] = NULL;
    }
}

static void convolution_destroy(struct kernel *kernel)
{
    struct convolution *c = (struct convolution *)kernel;

    if (!c)
        return;
    calls_destroy(c);
    onednn_call_destroy(c->reorder);
    free(c);
}

/* A band of an image. Scratch: its sums if there is a residual, then scratch of the call. */
static int forward_run(const struct kernel *kernel, int stage, int part,
                       const struct kernel_args *args, struct error *err)
{
    const struct convolution *c = (const struct convolution *)kernel;
    const struct band *band = &c->bands[part % c->n_bands];
    size_t image = (size_t)(part / c->n_bands), y_offset = image * c->y_bytes + band->y_offset;
    const char *x = (const char *)args->in[0] + image * c->x_bytes + band->x_offset;
    char *y = (char *)args->out[0] + y_offset;
    size_t sums_bytes = c->residual ? scratch_align(c->band_count * sizeof(float)) : 0;
    const void *const operands[] = {x, args->in[1], c->residual ? args->scratch : y,
                                    c->bias ? args->in[2] : NULL};
    int rc =
        onednn_call_run(c->calls[band->kind], operands, (char *)args->scratch + sums_bytes, err);

    if (rc == 0 && c->residual) {
        const void *const terms[] = {args->scratch, (const char *)args->in[3] + y_offset};
        const enum dtype types[] = {DTYPE_F32, c->y_type};
        const float factors[] = {c->scale, c->scale};

        c->loops->combine(terms, types, factors, 2, c->band_count, y, c->y_type);
    }
    return rc;
}

static int backward_data_run(const struct kernel *kernel, int stage, int part,
                             const struct kernel_args *args, struct error *err)
{
    const struct convolution *c = (const struct convolution *)kernel;
    const void *const operands[] = {args->in[0], args->in[1], args->out[0]};

    return onednn_call_run(c->calls[0], operands, args->scratch, err);
}

/* Scratch: the gradient in the primitive's format, then scratch of the call and of the reorder. */
static int backward_weight_run(const struct kernel *kernel, int stage, int part,
                               const struct kernel_args *args, struct error *err)
{
    const struct convolution *c = (const struct convolution *)kernel;
    char *rest = (char *)args->scratch + scratch_align(onednn_call_bytes(c->reorder, 0));
    const void *const operands[] = {args->in[0], args->in[1], args->scratch,
                                    c->bias ? args->out[1] : NULL};
    const void *const reordered[] = {args->scratch, args->out[0]};
    int rc = onednn_call_run(c->calls[0], operands, rest, err);

    if (rc < 0)
        return rc;
    return onednn_call_run(c->reorder, reordered, rest, err);
}

/* Behind the packed weights there is room for the scratch of the reorder, because pack() has
 * none of its own. */
static size_t convolution_packed_bytes(const struct kernel *kernel, int input)
{
    const struct convolution *c = (const struct convolution *)kernel;

    return scratch_align(onednn_call_bytes(c->reorder, 1)) + onednn_call_scratch(c->reorder);
}

static int convolution_pack(const struct kernel *kernel, int input, const float *src, void *dst,
                            struct error *err)
{
    const struct convolution *c = (const struct convolution *)kernel;
    const void *const args[] = {src, dst};

    return onednn_call_run(c->reorder, args,
                           (char *)dst + scratch_align(onednn_call_bytes(c->reorder, 1)), err);
}

static const struct kernel_ops forward_ops = {
    .run = forward_run,
    .destroy = convolution_destroy,
    .packed_bytes = convolution_packed_bytes,
    .pack = convolution_pack,
};

static const struct kernel_ops backward_data_ops = {
    .run = backward_data_run,
    .destroy = convolution_destroy,
    .packed_bytes = convolution_packed_bytes,
    .pack = convolution_pack,
};

static const struct kernel_ops backward_weight_ops = {
    .run = backward_weight_run,
    .destroy = convolution_destroy,
};

/* NULL with err set when out of memory. */
static struct convolution *convolution_allocate(const struct convolution_shape *shape,
                                                const struct kernel_ops *ops, struct error *err)
{
    struct convolution *c = kernel_allocate(shape->kind, sizeof(*c), ops, err);

    if (c)
        c->bias = shape->bias;
    return c;
}

static void widen_scratch(struct convolution *c, const struct onednn_call *call)
{
    if (c->base.scratch_bytes < onednn_call_scratch(call))
        c->base.scratch_bytes = onednn_call_scratch(call);
}

/* Gives input 1 the packed format that the calls want. */
static int packing_init(struct cpu_device *device, struct convolution *c,
                        const struct convolution_shape *shape, struct error *err)
{
    int rc = onednn_pack_create(device, shape, c->calls[0], &c->reorder, err);

    if (rc < 0)
        return rc;
    c->base.packing[1] = onednn_packing(c->reorder);
    for (int i = 0; i < BAND_KINDS; i++) {
        if (c->calls[i])
            widen_scratch(c, c->calls[i]);
    }
    return 0;
}

/* How many bands of equal height, by the work there is. */
static int count_bands(const struct convolution_shape *shape)
{
    double products = (double)shape->y_h * shape->y_w * shape->x_c * shape->y_c * shape->k_h *
                      shape->k_w / shape->groups;
    int n = BANDS_MAX;

    while (n > 1 && (shape->y_h % n != 0 || products < (double)n * BAND_PRODUCTS))
        n /= 2;
    return n;
}

/* The convolution of a band as one of its own. */
static struct convolution_shape band_shape(const struct convolution_shape *whole, int band,
                                           int n_bands, int *first_x)
{
    struct convolution_shape shape = *whole;
    int first_y = whole->y_h / n_bands * band;
    int first = first_y * whole->stride - whole->pad_top;
    int end = first + (whole->y_h / n_bands - 1) * whole->stride + whole->k_h;

    *first_x = first > 0 ? first : 0;
    shape.n = 1;
    shape.y_h = whole->y_h / n_bands;
    shape.x_h = (end < whole->x_h ? end : whole->x_h) - *first_x;
    shape.pad_top = *first_x - first;
    return shape;
}

static bool same_band(const struct convolution_shape *a, const struct convolution_shape *b)
{
    return a->x_h == b->x_h && a->pad_top == b->pad_top;
}

/* Splits the kernel; shapes receives the convolutions of its kinds of bands. Returns how many. */
static int bands_init(struct convolution *c, const struct convolution_shape *whole, int n_bands,
                      struct convolution_shape shapes[BAND_KINDS])
{
    int n_kinds = 0;

    c->base.n_parts[0] = whole->n * n_bands;
    c->n_bands = n_bands;
    c->x_bytes =
        (size_t)whole->x_h * (size_t)whole->x_w * (size_t)whole->x_c * dtype_size(whole->x_type);
    c->y_bytes =
        (size_t)whole->y_h * (size_t)whole->y_w * (size_t)whole->y_c * dtype_size(whole->y_type);
    c->band_count = (size_t)(whole->y_h / n_bands) * (size_t)whole->y_w * (size_t)whole->y_c;
    for (int i = 0; i < n_bands; i++) {
        int first_x, kind = 0;
        struct convolution_shape shape = band_shape(whole, i, n_bands, &first_x);

        while (kind < n_kinds && !same_band(&shape, &shapes[kind]))
            kind++;
        if (kind == n_kinds)
            shapes[n_kinds++] = shape;
        c->bands[i].kind = (enum band_kind)kind;
        c->bands[i].x_offset =
            (size_t)first_x * (size_t)whole->x_w * (size_t)whole->x_c * dtype_size(whole->x_type);
        c->bands[i].y_offset = (size_t)(whole->y_h / n_bands * i) * (size_t)whole->y_w *
                               (size_t)whole->y_c * dtype_size(whole->y_type);
    }
    return n_kinds;
}

/* Makes the calls of all kinds with the weights in the format that kind `owner` likes best. */
static int calls_create(struct cpu_device *device, struct convolution *c,
                        const struct convolution_shape *shapes, int n_kinds, int owner,
                        struct error *err)
{
    int rc = onednn_forward_create(device, &shapes[owner], NULL, &c->calls[owner], err);

    for (int i = 0; i < n_kinds && rc == 0; i++) {
        if (i != owner)
            rc = onednn_forward_create(device, &shapes[i], c->calls[owner], &c->calls[i], err);
    }
    return rc;
}

static bool calls_are_slow(const struct convolution *c)
{
    for (int i = 0; i < BAND_KINDS; i++) {
        if (c->calls[i] && onednn_call_is_slow(c->calls[i]))
            return true;
    }
    return false;
}

/* Bands differ in the format of the weights that they like best, and for that of another one oneDNN
 * may have nothing but its plainest loops: so each kind of band is asked in turn until one format
 * suits all. Where none does, bands get larger, up to the whole image. */
static int forward_calls_create(struct cpu_device *device, struct convolution *c,
                                const struct convolution_shape *whole, int n_bands,
                                struct error *err)
{
    struct convolution_shape shapes[BAND_KINDS];

    for (; n_bands > 1; n_bands /= 2) {
        int n_kinds = bands_init(c, whole, n_bands, shapes);

        for (int owner = 0; owner < n_kinds; owner++) {
            int rc = calls_create(device, c, shapes, n_kinds, owner, err);

            if (rc < 0 || !calls_are_slow(c))
                return rc;
            calls_destroy(c);
        }
    }
    bands_init(c, whole, 1, shapes);
    return calls_create(device, c, shapes, 1, 0, err);
}

static int forward_create(struct cpu_device *device, const struct convolution_shape *shape,
                          int n_bands, struct kernel **out, struct error *err)
{
    struct convolution *c = convolution_allocate(shape, &forward_ops, err);
    int rc;

    if (!c)
        return -ENOMEM;
    rc = forward_calls_create(device, c, shape, n_bands, err);
    if (rc == 0)
        rc = packing_init(device, c, shape, err);
    if (rc < 0) {
        convolution_destroy(&c->base);
        return rc;
    }
    c->residual = shape->residual;
    c->scale = shape->scale;
    c->y_type = shape->y_type;
    c->loops = loops_best()->product;
    if (c->residual)
        c->base.scratch_bytes += scratch_align(c->band_count * sizeof(float));
    *out = &c->base;
    return 0;
}

int convolution_forward_create(struct cpu_device *device, const struct convolution_shape *shape,
                               struct kernel **out, struct error *err)
{
    return forward_create(device, shape, count_bands(shape), out, err);
}

int convolution_whole_create(struct cpu_device *device, const struct convolution_shape *shape,
                             struct kernel **out, struct error *err)
{
    return forward_create(device, shape, 1, out, err);
}

bool convolution_has_bands(const struct convolution_shape *shape)
{
    return count_bands(shape) > 1;
}

int convolution_backward_data_create(struct cpu_device *device,
                                     const struct convolution_shape *shape, struct kernel **out,
                                     struct error *err)
{
    struct convolution *c = convolution_allocate(shape, &backward_data_ops, err);
    int rc;

    if (!c)
        return -ENOMEM;
    rc = onednn_backward_data_create(device, shape, &c->calls[0], err);
    if (rc == 0)
        rc = packing_init(device, c, shape, err);
    if (rc < 0) {
        convolution_destroy(&c->base);
        return rc;
    }
    *out = &c->base;
    return 0;
}

int convolution_backward_weight_create(struct cpu_device *device,
                                       const struct convolution_shape *shape, struct kernel **out,
                                       struct error *err)
{
    struct convolution *c = convolution_allocate(shape, &backward_weight_ops, err);
    size_t call_bytes, reorder_bytes;
    int rc;

    if (!c)
        return -ENOMEM;
    rc = onednn_backward_weight_create(device, shape, &c->calls[0], err);
    if (rc == 0)
        rc = onednn_unpack_create(device, shape, c->calls[0], &c->reorder, err);
    if (rc < 0) {
        convolution_destroy(&c->base);
        return rc;
    }
    call_bytes = onednn_call_scratch(c->calls[0]);
    reorder_bytes = onednn_call_scratch(c->reorder);
    c->base.scratch_bytes = scratch_align(onednn_call_bytes(c->reorder, 0)) +
                            (call_bytes > reorder_bytes ? call_bytes : reorder_bytes);
    *out = &c->base;
    return 0;
}
