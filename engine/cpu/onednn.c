#include "engine/cpu/onednn.h"
#include "engine/base/error.h"
#include "engine/base/hash.h"
#include "engine/cpu/convolution.h"
#include "engine/cpu/cpu_kernels.h"
#include "engine/cpu/onednn_call.h"
#include "engine/cpu/onednn_version.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void onednn_engine_destroy(struct onednn_engine *engine)
{
    if (!engine)
        return;
    if (engine->attr)
        dnnl_primitive_attr_destroy(engine->attr);
    if (engine->engine)
        dnnl_engine_destroy(engine->engine);
    free(engine);
}

int onednn_engine_create(struct onednn_engine **out, struct error *err)
{
    struct onednn_engine *engine = calloc(1, sizeof(*engine));
    dnnl_status_t status;

    if (!engine)
        return error_set(err, -ENOMEM, "out of memory for oneDNN's engine");
    status = dnnl_engine_create(&engine->engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_create(&engine->attr);
    /* The scratchpad comes from the caller: oneDNN's own belongs to a thread and grows. */
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(engine->attr, dnnl_scratchpad_mode_user);
    if (status != dnnl_success) {
        onednn_engine_destroy(engine);
        return onednn_error(status, "a cpu engine", err);
    }
    *out = engine;
    return 0;
}

const char *onednn_isa(void)
{
    dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();

    for (const struct onednn_isa_name *known = onednn_isa_names; known->name; known++) {
        if (known->isa == isa)
            return known->name;
    }
    return "unknown instruction set";
}

/* The values of the enumeration are sets of bits: a larger set has the smaller one's bits. */
static bool isa_includes(dnnl_cpu_isa_t isa)
{
    return (dnnl_get_effective_cpu_isa() & isa) == isa;
}

bool onednn_has_native_bf16(void)
{
    return isa_includes(dnnl_cpu_isa_avx512_core_bf16);
}

bool onednn_has_amx(void)
{
    return isa_includes(dnnl_cpu_isa_avx512_core_amx);
}

void onednn_version(char *text, size_t size)
{
    const dnnl_version_t *version = dnnl_version();

    snprintf(text, size, "%d.%d.%d", version->major, version->minor, version->patch);
}

static dnnl_data_type_t data_type(enum dtype dtype)
{
    return dtype == DTYPE_BF16 ? dnnl_bf16 : dnnl_f32;
}

static struct onednn_tensor nhwc(int n, int c, int h, int w, enum dtype dtype)
{
    dnnl_dim_t row = (dnnl_dim_t)w * c;

    return (struct onednn_tensor){
        .n_dims = 4,
        .dims = {n, c, h, w},
        .strides = {h * row, 1, row, c},
        .type = data_type(dtype),
    };
}

static struct onednn_tensor weight_any(const struct convolution_shape *s, enum dtype dtype)
{
    struct onednn_tensor weight = {
        .n_dims = 4,
        .dims = {s->y_c, s->x_c, s->k_h, s->k_w},
        .any = true,
        .type = data_type(dtype),
    };

    if (s->groups > 1) {
        weight.n_dims = 5;
        memcpy(weight.dims,
               (dnnl_dims_t){s->groups, s->y_c / s->groups, s->x_c / s->groups, s->k_h, s->k_w},
               sizeof(weight.dims));
    }
    return weight;
}

static struct onednn_tensor weight_plain(const struct convolution_shape *s)
{
    dnnl_dim_t area = (dnnl_dim_t)s->k_h * s->k_w, window = s->x_c / s->groups * area;
    dnnl_dims_t in_first = {1, s->y_c, 1, 1}, out_first = {window, area, s->k_w, 1};
    dnnl_dims_t grouped = {s->y_c / s->groups * window, window, area, s->k_w, 1};
    struct onednn_tensor plain = weight_any(s, DTYPE_F32);

    plain.any = false;
    memcpy(plain.strides,
           s->in_first     ? in_first
           : s->groups > 1 ? grouped
                           : out_first,
           sizeof(plain.strides));
    return plain;
}

static struct onednn_convolution convolution_of(const struct convolution_shape *s)
{
    int extents[2][3] = {{s->x_h, s->y_h, s->k_h}, {s->x_w, s->y_w, s->k_w}};
    /* bf16 weights unless everything is float32 */
    bool bf16 = s->x_type == DTYPE_BF16 || s->y_type == DTYPE_BF16;
    struct onednn_convolution c = {
        .x = nhwc(s->n, s->x_c, s->x_h, s->x_w, s->x_type),
        .y = nhwc(s->n, s->y_c, s->y_h, s->y_w, s->residual ? DTYPE_F32 : s->y_type),
        .weight = weight_any(s, bf16 ? DTYPE_BF16 : DTYPE_F32),
        .bias = {.n_dims = 1, .dims = {s->y_c}, .strides = {1}, .type = dnnl_f32},
        .has_bias = s->bias,
    };

    for (int i = 0; i < 2; i++) {
        c.strides[i] = s->stride;
        c.pads[i] = i == 0 ? s->pad_top : s->pad;
        /* what the last window reaches over the end; negative if it stops short of it */
        c.pads_end[i] =
            (dnnl_dim_t)(extents[i][1] - 1) * s->stride + extents[i][2] - extents[i][0] - c.pads[i];
    }
    return c;
}

int onednn_forward_create(struct cpu_device *device, const struct convolution_shape *shape,
                          const struct onednn_call *like, struct onednn_call **out,
                          struct error *err)
{
    static const int args[] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_BIAS};
    struct onednn_convolution convolution = convolution_of(shape);
    dnnl_primitive_desc_t desc;
    dnnl_status_t status = onednn_forward_describe(device->engine, &convolution,
                                                   like ? onednn_call_desc(like) : NULL, &desc);

    if (status != dnnl_success)
        return onednn_error(status, op_name(shape->kind), err);
    return onednn_call_create(device, desc, shape->bias ? 4 : 3, args, op_name(shape->kind), out,
                              err);
}

typedef dnnl_status_t describe_fn(const struct onednn_engine *engine,
                                  const struct onednn_convolution *convolution,
                                  const_dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *out);

/* A gradient, with the forward primitive's description as its hint. */
static dnnl_status_t describe_backward(const struct cpu_device *device, describe_fn *describe,
                                       const struct onednn_convolution *convolution,
                                       dnnl_primitive_desc_t *out)
{
    dnnl_primitive_desc_t hint;
    dnnl_status_t status = onednn_forward_describe(device->engine, convolution, NULL, &hint);

    if (status != dnnl_success)
        return status;
    status = describe(device->engine, convolution, hint, out);
    dnnl_primitive_desc_destroy(hint);
    return status;
}

int onednn_backward_data_create(struct cpu_device *device, const struct convolution_shape *shape,
                                struct onednn_call **out, struct error *err)
{
    static const int args[] = {DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC};
    struct onednn_convolution convolution = convolution_of(shape);
    dnnl_primitive_desc_t desc;
    dnnl_status_t status;

    convolution.has_bias = false;
    status = describe_backward(device, onednn_backward_data_describe, &convolution, &desc);
    if (status != dnnl_success)
        return onednn_error(status, op_name(shape->kind), err);
    return onednn_call_create(device, desc, 3, args, op_name(shape->kind), out, err);
}

int onednn_backward_weight_create(struct cpu_device *device, const struct convolution_shape *shape,
                                  struct onednn_call **out, struct error *err)
{
    static const int args[] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS,
                               DNNL_ARG_DIFF_BIAS};
    struct onednn_convolution convolution = convolution_of(shape);
    dnnl_primitive_desc_t desc;
    dnnl_status_t status =
        describe_backward(device, onednn_backward_weight_describe, &convolution, &desc);

    if (status != dnnl_success)
        return onednn_error(status, op_name(shape->kind), err);
    return onednn_call_create(device, desc, shape->bias ? 4 : 3, args, op_name(shape->kind), out,
                              err);
}

static const int reorder_args[] = {DNNL_ARG_FROM, DNNL_ARG_TO};

int onednn_pack_create(struct cpu_device *device, const struct convolution_shape *shape,
                       const struct onednn_call *call, struct onednn_call **out, struct error *err)
{
    struct onednn_tensor plain = weight_plain(shape);
    dnnl_primitive_desc_t desc;
    dnnl_status_t status = onednn_pack_describe(device->engine, &plain, onednn_call_desc(call),
                                                DNNL_ARG_WEIGHTS, &desc);

    if (status != dnnl_success)
        return onednn_error(status, op_name(shape->kind), err);
    return onednn_call_create(device, desc, 2, reorder_args, op_name(shape->kind), out, err);
}

int onednn_unpack_create(struct cpu_device *device, const struct convolution_shape *shape,
                         const struct onednn_call *call, struct onednn_call **out,
                         struct error *err)
{
    struct onednn_tensor plain = weight_plain(shape);
    dnnl_primitive_desc_t desc;
    dnnl_status_t status = onednn_unpack_describe(device->engine, onednn_call_desc(call),
                                                  DNNL_ARG_DIFF_WEIGHTS, &plain, &desc);

    if (status != dnnl_success)
        return onednn_error(status, op_name(shape->kind), err);
    return onednn_call_create(device, desc, 2, reorder_args, op_name(shape->kind), out, err);
}

/* Field by field: a descriptor has bytes that nobody sets. */
static uint64_t hash_arg(uint64_t hash, const struct onednn_call *call, int arg)
{
    struct onednn_layout layout;
    size_t dims_bytes, blocks_bytes;

    onednn_arg_layout(onednn_call_desc(call), arg, &layout);
    dims_bytes = (size_t)layout.n_dims * sizeof(*layout.dims);
    blocks_bytes = (size_t)layout.n_blocks * sizeof(*layout.blocks);
    hash = hash_bytes(hash, &layout.n_dims, sizeof(layout.n_dims));
    hash = hash_bytes(hash, layout.dims, dims_bytes);
    hash = hash_bytes(hash, &layout.type, sizeof(layout.type));
    hash = hash_bytes(hash, layout.padded_dims, dims_bytes);
    hash = hash_bytes(hash, &layout.kind, sizeof(layout.kind));
    hash = hash_bytes(hash, layout.strides, dims_bytes);
    hash = hash_bytes(hash, &layout.n_blocks, sizeof(layout.n_blocks));
    hash = hash_bytes(hash, layout.blocks, blocks_bytes);
    return hash_bytes(hash, layout.block_dims, blocks_bytes);
}

uint64_t onednn_packing(const struct onednn_call *pack)
{
    uint64_t hash = hash_arg(HASH_START, pack, DNNL_ARG_FROM);

    hash = hash_arg(hash, pack, DNNL_ARG_TO);
    return hash ? hash : 1;
}

static struct onednn_tensor matrix_of(struct onednn_matrix m, enum dtype dtype)
{
    dnnl_dims_t plain = {m.columns, 1}, transposed = {1, m.rows};
    struct onednn_tensor t = {
        .n_dims = 2,
        .dims = {m.rows, m.columns},
        .type = data_type(dtype),
    };

    memcpy(t.strides, m.transposed ? transposed : plain, sizeof(t.strides));
    return t;
}

int onednn_product_create(struct cpu_device *device, struct onednn_matrix a, struct onednn_matrix b,
                          enum dtype type, enum dtype c_type, const char *what,
                          struct onednn_call **out, struct error *err)
{
    static const int args[] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
    struct onednn_tensor x = matrix_of(a, type), w = matrix_of(b, type);
    struct onednn_tensor y = matrix_of((struct onednn_matrix){a.rows, b.columns, false}, c_type);
    dnnl_primitive_desc_t desc;
    dnnl_status_t status = onednn_product_describe(device->engine, &x, &w, &y, &desc);

    if (status != dnnl_success)
        return onednn_error(status, what, err);
    return onednn_call_create(device, desc, 3, args, what, out, err);
}
