#include "engine/cpu/winograd.h"
#include "engine/cpu/cpu_kernels.h"
#include "engine/cpu/kernel_memory.h"
#include "engine/cpu/loops.h"
#include "engine/cpu/winograd_loops.h"

#include <errno.h>
#include <string.h>

/* Tiles are worked on in strips whose transformed values stay in the second-level cache. Each strip
 * reads all of the transformed weights: they are long where these do not stay there. A convolution
 * of one strip is cut by output channels instead. */
enum {
    STRIP = 16,
    STRIP_LONG = 32,
    WEIGHT_BYTES_LONG = 1536 * 1024, /* of the weights, from which on strips are long */
    TILES_PER_PART = 4,              /* of the transform of a single strip */
    STRIP_GRADIENT = 64,             /* very long: a strip reads and writes the whole gradient */
};

/* What input 1 is packed as, see struct kernel; the shape comes with the parameter. */
#define PACKING_FORWARD  UINT64_C(0x57494E4F46574434)
#define PACKING_BACKWARD UINT64_C(0x57494E4F42574434)

struct winograd {
    struct kernel base;
    const struct winograd_loops *loops;
    const struct winograd_gradient_loops *gradient_loops;
    int n_tiles, strip;
    struct winograd_image src, dst;
    struct winograd_weight weight; /* from src to dst */
    bool bias, residual;
    float scale; /* with the residual */
};

static int min(int a, int b)
{
    return a < b ? a : b;
}

/* Bytes of the points of a strip. */
static size_t points_bytes(int n_tiles, int c, size_t element)
{
    return (size_t)WINOGRAD_POINTS * (size_t)n_tiles * (size_t)c * element;
}

/* Points of a strip are a line of the cache more apart than they must: a transform touches all of
 * them, and at a multiple of 4096 bytes they would fight for the same places in it. */
static size_t v_step(const struct winograd *w)
{
    return (size_t)w->strip * (size_t)w->src.c + 64 / sizeof(int16_t);
}

static size_t m_step(int n_tiles, int n_columns)
{
    return (size_t)n_tiles * (size_t)n_columns + 64 / sizeof(float);
}

/* The transformed values of a strip: v, then unit. */
static size_t strip_input_bytes(const struct winograd *w)
{
    return WINOGRAD_POINTS * v_step(w) * sizeof(int16_t) +
           scratch_align((size_t)w->strip * sizeof(float));
}

static float *strip_units(const struct winograd *w, int16_t *v)
{
    return (float *)(void *)(v + WINOGRAD_POINTS * v_step(w));
}

/* Bytes of a block of the packed weights, with n_columns of output channels. */
static size_t block_bytes(const struct winograd *w, int n_columns)
{
    return points_bytes(w->src.c, n_columns, sizeof(int16_t)) +
           points_bytes(1, n_columns, sizeof(float));
}

/* Output channels [channel, + 64) of a strip, from its transformed values. m: room for points of a
 * strip and 64 channels. */
static void convolve_block(const struct winograd *w, const int16_t *v, const float *unit, int first,
                           int n_tiles, int channel, const void *const *inputs, uint16_t *dst,
                           float *m)
{
    struct winograd_epilogue epilogue = {.bias = w->bias ? inputs[2] : NULL,
                                         .residual = w->residual ? inputs[3] : NULL,
                                         .scale = w->scale};
    int n_columns = min(WINOGRAD_COLUMNS, w->dst.c - channel);
    size_t step = m_step(n_tiles, n_columns);
    const char *block = (const char *)inputs[1] +
                        (size_t)(channel / WINOGRAD_COLUMNS) * block_bytes(w, WINOGRAD_COLUMNS);
    const float *u_unit = (const float *)(const void *)block;
    const int16_t *u = (const int16_t *)(const void *)(u_unit + points_bytes(1, n_columns, 1));

    for (size_t p = 0; p < WINOGRAD_POINTS; p++) {
        w->loops->product(v + p * v_step(w), u, n_tiles, w->src.c, n_columns, m + p * step);
        u += (size_t)w->src.c * (size_t)n_columns;
    }
    w->loops->output(m, step, u_unit, unit, &w->dst, first, n_tiles, channel, n_columns, &epilogue,
                     dst);
}

/* A strip. Scratch: its transformed values, then m of convolve_block(). */
static int strip_run(const struct kernel *kernel, int stage, int part,
                     const struct kernel_args *args, struct error *err)
{
    const struct winograd *w = (const struct winograd *)kernel;
    int first = part * w->strip, n_tiles = min(w->strip, w->n_tiles - first);
    int16_t *v = args->scratch;
    float *unit = strip_units(w, v);
    float *m = (float *)(void *)((char *)args->scratch + strip_input_bytes(w));

    w->loops->input(args->in[0], &w->src, first, n_tiles, v, v_step(w), unit);
    for (int channel = 0; channel < w->dst.c; channel += WINOGRAD_COLUMNS)
        convolve_block(w, v, unit, first, n_tiles, channel, args->in, args->out[0], m);
    return 0;
}

/* The only strip: a few of its tiles are transformed, then 64 output channels computed. */
static int block_run(const struct kernel *kernel, int stage, int part,
                     const struct kernel_args *args, struct error *err)
{
    const struct winograd *w = (const struct winograd *)kernel;
    int16_t *v = args->shared;
    float *unit = strip_units(w, v);

    if (stage == 0) {
        int first = part * TILES_PER_PART;

        w->loops->input(args->in[0], &w->src, first, min(TILES_PER_PART, w->n_tiles - first),
                        v + (size_t)first * (size_t)w->src.c, v_step(w), unit + first);
    } else {
        convolve_block(w, v, unit, 0, w->n_tiles, part * WINOGRAD_COLUMNS, args->in, args->out[0],
                       args->scratch);
    }
    return 0;
}

static size_t winograd_packed_bytes(const struct kernel *kernel, int input)
{
    const struct winograd *w = (const struct winograd *)kernel;

    return points_bytes(w->weight.n_in, w->weight.n_out, sizeof(int16_t)) +
           points_bytes(1, w->weight.n_out, sizeof(float));
}

static int winograd_pack(const struct kernel *kernel, int input, const float *src, void *dst,
                         struct error *err)
{
    const struct winograd *w = (const struct winograd *)kernel;

    w->loops->weight(src, &w->weight, dst);
    return 0;
}

/* Floats or halves of the points of a strip of tiles. */
static size_t gradient_points(int n_tiles, int c)
{
    return (size_t)WINOGRAD_GRADIENT_POINTS * (size_t)n_tiles * (size_t)c;
}

/* Scratch: the points of a strip of x, of dy, and the gradient's; then the sum of a strip of dy. */
static int backward_weight_run(const struct kernel *kernel, int stage, int part,
                               const struct kernel_args *args, struct error *err)
{
    const struct winograd *w = (const struct winograd *)kernel;
    const struct winograd_gradient_loops *loops = w->gradient_loops;
    size_t n_in = (size_t)w->src.c, n_out = (size_t)w->dst.c;
    uint16_t *v = args->scratch;
    uint16_t *z = v + gradient_points(STRIP_GRADIENT, w->src.c);
    float *du = (float *)(void *)(z + gradient_points(STRIP_GRADIENT, w->dst.c));
    float *sum = du + gradient_points(w->src.c, w->dst.c);
    float *dbias = w->bias ? args->out[1] : NULL;

    if (dbias)
        memset(dbias, 0, n_out * sizeof(*dbias));
    for (int first = 0; first < w->n_tiles; first += STRIP_GRADIENT) {
        int n_tiles = min(STRIP_GRADIENT, w->n_tiles - first);
        int n_pairs = (n_tiles + 1) / 2;

        if (dbias)
            memset(sum, 0, n_out * sizeof(*sum));
        loops->input_pairs(args->in[0], &w->src, first, n_tiles, v);
        loops->output_pairs(args->in[1], &w->dst, first, n_tiles, z, dbias ? sum : NULL);
        for (size_t p = 0; p < WINOGRAD_GRADIENT_POINTS; p++)
            loops->product_pairs(v + p * (size_t)n_pairs * n_in * 2,
                                 z + p * (size_t)n_pairs * n_out * 2, n_pairs, w->src.c, w->dst.c,
                                 first > 0, du + p * n_in * n_out);
        for (size_t i = 0; i < n_out && dbias; i++)
            dbias[i] += sum[i];
    }
    loops->weight_grad(du, &w->weight, args->out[0]);
    return 0;
}

static const struct kernel_ops strip_ops = {
    .run = strip_run,
    .destroy = kernel_free,
    .packed_bytes = winograd_packed_bytes,
    .pack = winograd_pack,
};

static const struct kernel_ops block_ops = {
    .run = block_run,
    .destroy = kernel_free,
    .packed_bytes = winograd_packed_bytes,
    .pack = winograd_pack,
};

static const struct kernel_ops backward_weight_ops = {
    .run = backward_weight_run,
    .destroy = kernel_free,
};

bool winograd_suits(const struct convolution_shape *shape)
{
    bool gradient = shape->kind == OP_CONVOLUTION_GRAD_WEIGHT;
    int side = gradient ? WINOGRAD_GRADIENT_SIDE : WINOGRAD_SIDE;
    int x_h_min = gradient ? 2 : 8; /* for a tile of 4x4, reading the weights takes too long */

    return loops_best()->winograd && shape->x_type == DTYPE_BF16 && shape->y_type == DTYPE_BF16 &&
           shape->k_h == 3 && shape->k_w == 3 && shape->groups == 1 && shape->stride == 1 &&
           shape->pad == 1 && shape->x_h >= x_h_min && shape->x_h % side == 0 &&
           shape->x_w % side == 0 && shape->x_c % 32 == 0 && shape->y_c % 32 == 0 &&
           shape->x_c <= WINOGRAD_CHANNELS_MAX && shape->y_c <= WINOGRAD_CHANNELS_MAX;
}

/* NULL with err set when out of memory. */
static struct winograd *winograd_allocate(const struct convolution_shape *shape,
                                          const struct kernel_ops *ops, struct error *err)
{
    struct winograd *w = kernel_allocate(shape->kind, sizeof(*w), ops, err);

    if (!w)
        return NULL;
    w->loops = loops_best()->winograd;
    w->gradient_loops = loops_best()->winograd_gradient;
    w->n_tiles = shape->n * (shape->x_h / WINOGRAD_SIDE) * (shape->x_w / WINOGRAD_SIDE);
    w->src = (struct winograd_image){shape->x_h, shape->x_w, shape->x_c};
    w->dst = (struct winograd_image){shape->y_h, shape->y_w, shape->y_c};
    w->weight = (struct winograd_weight){
        .n_in = shape->x_c,
        .n_out = shape->y_c,
        .in_stride = 9,
        .out_stride = 9 * (size_t)shape->x_c,
    };
    w->bias = shape->bias;
    w->residual = shape->residual;
    w->scale = shape->scale;
    return w;
}

/* Cuts the work, into strips unless there is one only, once src and dst are known. */
static void convolve_init(struct winograd *w, uint64_t packing)
{
    size_t m_bytes;
    bool is_long = points_bytes(w->src.c, w->dst.c, sizeof(int16_t)) > WEIGHT_BYTES_LONG;

    w->base.packing[1] = packing;
    w->strip = min(w->n_tiles, is_long ? STRIP_LONG : STRIP);
    m_bytes = WINOGRAD_POINTS * m_step(w->strip, WINOGRAD_COLUMNS) * sizeof(float);
    if (w->strip < w->n_tiles) {
        w->base.n_parts[0] = (w->n_tiles + w->strip - 1) / w->strip;
        w->base.scratch_bytes = strip_input_bytes(w) + m_bytes;
    } else {
        w->base.ops = &block_ops;
        w->base.n_stages = 2;
        w->base.n_parts[0] = (w->n_tiles + TILES_PER_PART - 1) / TILES_PER_PART;
        w->base.n_parts[1] = (w->dst.c + WINOGRAD_COLUMNS - 1) / WINOGRAD_COLUMNS;
        w->base.shared_bytes = strip_input_bytes(w);
        w->base.scratch_bytes = m_bytes;
    }
}

int winograd_forward_create(struct cpu_device *device, const struct convolution_shape *shape,
                            struct kernel **out, struct error *err)
{
    struct winograd *w = winograd_allocate(shape, &strip_ops, err);

    if (!w)
        return -ENOMEM;
    convolve_init(w, PACKING_FORWARD);
    *out = &w->base;
    return 0;
}

/* A convolution of dy with the flipped windows, inputs and outputs swapped. */
int winograd_backward_data_create(struct cpu_device *device, const struct convolution_shape *shape,
                                  struct kernel **out, struct error *err)
{
    struct winograd *w = winograd_allocate(shape, &strip_ops, err);
    struct winograd_image image;

    if (!w)
        return -ENOMEM;
    image = w->src;
    w->src = w->dst;
    w->dst = image;
    w->weight = (struct winograd_weight){
        .n_in = w->weight.n_out,
        .n_out = w->weight.n_in,
        .in_stride = w->weight.out_stride,
        .out_stride = w->weight.in_stride,
        .flipped = true,
    };
    convolve_init(w, PACKING_BACKWARD);
    *out = &w->base;
    return 0;
}

int winograd_backward_weight_create(struct cpu_device *device,
                                    const struct convolution_shape *shape, struct kernel **out,
                                    struct error *err)
{
    struct winograd *w = winograd_allocate(shape, &backward_weight_ops, err);

    if (!w)
        return -ENOMEM;
    w->n_tiles =
        shape->n * (shape->x_h / WINOGRAD_GRADIENT_SIDE) * (shape->x_w / WINOGRAD_GRADIENT_SIDE);
    w->base.scratch_bytes =
        (gradient_points(STRIP_GRADIENT, w->src.c) + gradient_points(STRIP_GRADIENT, w->dst.c)) *
            sizeof(uint16_t) +
        (gradient_points(w->src.c, w->dst.c) + (size_t)w->dst.c) * sizeof(float);
    *out = &w->base;
    return 0;
}
