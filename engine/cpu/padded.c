#include "engine/cpu/padded.h"
#include "engine/cpu/cpu_kernels.h"
#include "engine/cpu/kernel_memory.h"
#include "engine/cpu/winograd.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
    MULTIPLE = 32,
    CHANNELS_MIN = 17, /* with fewer, more than half of a padded activation is zeros */
    PARTS_PER_IMAGE = 4,
};

/* Tells packed copies of padded weights from those of plain ones. */
#define PACKING_PADDED UINT64_C(0x5041444445440000)

/* A matrix as it is outside, and with more columns, and rows, inside. */
struct padding {
    bool padded; /* false: nothing to do, the matrix is used where it is */
    size_t n_rows, row_bytes, padded_row_bytes;
    size_t shared_offset; /* of the copy */
};

/* A run: parts that pad the inputs; the stages of inner; parts that take the padding off the
 * outputs. */
struct padded {
    struct kernel base;
    struct kernel *inner;
    int n_inputs, n_outputs;
    struct padding inputs[OP_INPUTS_MAX], outputs[OP_OUTPUTS_MAX];
    struct padding weight; /* as a parameter: a row of windows per output channel */
    size_t n_weight_rows;  /* with padding */
};

static int round_up(int c)
{
    return (c + MULTIPLE - 1) / MULTIPLE * MULTIPLE;
}

static void padded_destroy(struct kernel *kernel)
{
    struct padded *p = (struct padded *)kernel;

    if (p->inner)
        p->inner->ops->destroy(p->inner);
    kernel_free(kernel);
}

/* Rows [first, end) with zeros behind. */
static void add_padding(const struct padding *padding, const void *from, void *to, size_t first,
                        size_t end)
{
    for (size_t i = first; i < end; i++) {
        char *row = (char *)to + i * padding->padded_row_bytes;

        memcpy(row, (const char *)from + i * padding->row_bytes, padding->row_bytes);
        memset(row + padding->row_bytes, 0, padding->padded_row_bytes - padding->row_bytes);
    }
}

static void remove_padding(const struct padding *padding, const void *from, void *to, size_t first,
                           size_t end)
{
    for (size_t i = first; i < end; i++)
        memcpy((char *)to + i * padding->row_bytes,
               (const char *)from + i * padding->padded_row_bytes, padding->row_bytes);
}

/* The rows of a part. */
static size_t part_begin(size_t n_rows, int part, int n_parts)
{
    return n_rows * (size_t)part / (size_t)n_parts;
}

static int run_inner(const struct padded *p, int stage, int part, const struct kernel_args *args,
                     struct error *err)
{
    const void *in[OP_INPUTS_MAX];
    void *out[OP_OUTPUTS_MAX];
    struct kernel_args inner = *args;

    for (int i = 0; i < p->n_inputs; i++)
        in[i] =
            p->inputs[i].padded ? (char *)args->shared + p->inputs[i].shared_offset : args->in[i];
    for (int i = 0; i < p->n_outputs; i++)
        out[i] = p->outputs[i].padded ? (char *)args->shared + p->outputs[i].shared_offset
                                      : args->out[i];
    inner.in = in;
    inner.out = out;
    return p->inner->ops->run(p->inner, stage, part, &inner, err);
}

static int padded_run(const struct kernel *kernel, int stage, int part,
                      const struct kernel_args *args, struct error *err)
{
    const struct padded *p = (const struct padded *)kernel;
    int n_parts = p->base.n_parts[stage];

    if (stage > 0 && stage < p->base.n_stages - 1)
        return run_inner(p, stage - 1, part, args, err);
    for (int i = 0; i < p->n_inputs && stage == 0; i++) {
        const struct padding *x = &p->inputs[i];

        if (x->padded)
            add_padding(x, args->in[i], (char *)args->shared + x->shared_offset,
                        part_begin(x->n_rows, part, n_parts),
                        part_begin(x->n_rows, part + 1, n_parts));
    }
    for (int i = 0; i < p->n_outputs && stage > 0; i++) {
        const struct padding *y = &p->outputs[i];

        if (y->padded)
            remove_padding(y, (const char *)args->shared + y->shared_offset, args->out[i],
                           part_begin(y->n_rows, part, n_parts),
                           part_begin(y->n_rows, part + 1, n_parts));
    }
    return 0;
}

/* Behind the packed weights there is room for a padded copy of the plain ones. */
static size_t plain_offset(const struct padded *p)
{
    return scratch_align(p->inner->ops->packed_bytes(p->inner, 1));
}

static size_t padded_packed_bytes(const struct kernel *kernel, int input)
{
    const struct padded *p = (const struct padded *)kernel;

    return plain_offset(p) + p->n_weight_rows * p->weight.padded_row_bytes;
}

static int padded_pack(const struct kernel *kernel, int input, const float *src, void *dst,
                       struct error *err)
{
    const struct padded *p = (const struct padded *)kernel;
    char *plain = (char *)dst + plain_offset(p);
    size_t bytes = p->weight.n_rows * p->weight.padded_row_bytes;

    add_padding(&p->weight, src, plain, 0, p->weight.n_rows);
    memset(plain + bytes, 0, p->n_weight_rows * p->weight.padded_row_bytes - bytes);
    return p->inner->ops->pack(p->inner, input, (const float *)(const void *)plain, dst, err);
}

static const struct kernel_ops packing_ops = {
    .run = padded_run,
    .destroy = padded_destroy,
    .packed_bytes = padded_packed_bytes,
    .pack = padded_pack,
};

static const struct kernel_ops plain_ops = {
    .run = padded_run,
    .destroy = padded_destroy,
};

static struct convolution_shape widened(const struct convolution_shape *shape)
{
    struct convolution_shape wide = *shape;

    wide.x_c = round_up(shape->x_c);
    wide.y_c = round_up(shape->y_c);
    return wide;
}

bool padded_suits(const struct convolution_shape *shape)
{
    struct convolution_shape wide = widened(shape);

    return (wide.x_c != shape->x_c || wide.y_c != shape->y_c) && shape->x_c >= CHANNELS_MIN &&
           shape->y_c >= CHANNELS_MIN && winograd_suits(&wide);
}

/* A matrix [n_rows][c, padded], with its place in shared, which grows by it. */
static struct padding padding_of(struct padded *p, size_t n_rows, size_t n_padded_rows, size_t c,
                                 size_t padded_c, size_t element)
{
    struct padding padding = {
        .padded = c != padded_c || n_rows != n_padded_rows,
        .n_rows = n_rows,
        .row_bytes = c * element,
        .padded_row_bytes = padded_c * element,
        .shared_offset = p->base.shared_bytes,
    };

    if (padding.padded)
        p->base.shared_bytes += scratch_align(n_padded_rows * padded_c * element);
    return padding;
}

/* Which operands are padded, in the order of engine/op.h. */
static void operands_init(struct padded *p, const struct convolution_shape *s,
                          const struct convolution_shape *wide)
{
    size_t x_c = (size_t)s->x_c, y_c = (size_t)s->y_c;
    size_t wide_x_c = (size_t)wide->x_c, wide_y_c = (size_t)wide->y_c;
    size_t positions = (size_t)s->n * (size_t)s->x_h * (size_t)s->x_w, window = 9 * sizeof(float);
    struct padding x = padding_of(p, positions, positions, x_c, wide_x_c, sizeof(uint16_t));
    struct padding y = padding_of(p, positions, positions, y_c, wide_y_c, sizeof(uint16_t));

    switch (s->kind) {
    case OP_CONVOLUTION_GRAD_DATA:
        p->n_inputs = 2;
        p->n_outputs = 1;
        p->inputs[0] = y;
        p->outputs[0] = x;
        break;
    case OP_CONVOLUTION_GRAD_WEIGHT:
        p->n_inputs = 2;
        p->n_outputs = s->bias ? 2 : 1;
        p->inputs[0] = x;
        p->inputs[1] = y;
        p->outputs[0] = padding_of(p, y_c, wide_y_c, x_c, wide_x_c, window);
        if (s->bias)
            p->outputs[1] = padding_of(p, 1, 1, y_c, wide_y_c, sizeof(float));
        break;
    default:
        p->n_inputs = s->residual ? 4 : s->bias ? 3 : 2;
        p->n_outputs = 1;
        p->inputs[0] = x;
        if (s->bias)
            p->inputs[2] = padding_of(p, 1, 1, y_c, wide_y_c, sizeof(float));
        if (s->residual)
            p->inputs[3] = padding_of(p, positions, positions, y_c, wide_y_c, sizeof(uint16_t));
        p->outputs[0] = y;
    }
    p->weight = (struct padding){
        .n_rows = y_c,
        .row_bytes = x_c * window,
        .padded_row_bytes = wide_x_c * window,
    };
    p->n_weight_rows = wide_y_c;
}

/* The stages of inner, between two of ours. Shared memory: that of inner, then the copies. */
static void stages_init(struct padded *p, int n_images)
{
    const struct kernel *inner = p->inner;

    assert(inner->n_stages + 2 <= KERNEL_STAGES_MAX);
    p->base.n_stages = inner->n_stages + 2;
    p->base.n_parts[0] = p->base.n_parts[p->base.n_stages - 1] = n_images * PARTS_PER_IMAGE;
    for (int i = 0; i < inner->n_stages; i++)
        p->base.n_parts[i + 1] = inner->n_parts[i];
    p->base.scratch_bytes = inner->scratch_bytes;
    p->base.shared_bytes = scratch_align(inner->shared_bytes);
    if (inner->packing[1])
        p->base.packing[1] = inner->packing[1] ^ PACKING_PADDED;
}

int padded_create(struct cpu_device *device, const struct convolution_shape *shape,
                  struct kernel **out, struct error *err)
{
    bool weight_grad = shape->kind == OP_CONVOLUTION_GRAD_WEIGHT;
    struct convolution_shape wide = widened(shape);
    struct padded *p =
        kernel_allocate(shape->kind, sizeof(*p), weight_grad ? &plain_ops : &packing_ops, err);
    int rc;

    if (!p)
        return -ENOMEM;
    if (weight_grad)
        rc = winograd_backward_weight_create(device, &wide, &p->inner, err);
    else if (shape->kind == OP_CONVOLUTION_GRAD_DATA)
        rc = winograd_backward_data_create(device, &wide, &p->inner, err);
    else
        rc = winograd_forward_create(device, &wide, &p->inner, err);
    if (rc < 0) {
        padded_destroy(&p->base);
        return rc;
    }
    stages_init(p, shape->n);
    operands_init(p, shape, &wide);
    *out = &p->base;
    return 0;
}
