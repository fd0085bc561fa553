/* oneDNN 2: descriptors of memory are structs that callers fill in, and an operation has a
 * descriptor of its own before the primitive has one. */
#include "engine/cpu/onednn_version.h"

#include <assert.h>

const struct onednn_isa_name onednn_isa_names[] = {
    {dnnl_cpu_isa_sse41, "sse41"},
    {dnnl_cpu_isa_avx, "avx"},
    {dnnl_cpu_isa_avx2, "avx2"},
    {dnnl_cpu_isa_avx2_vnni, "avx2_vnni"},
    {dnnl_cpu_isa_avx512_core, "avx512_core"},
    {dnnl_cpu_isa_avx512_core_vnni, "avx512_core_vnni"},
    {dnnl_cpu_isa_avx512_core_bf16, "avx512_core_bf16"},
    {dnnl_cpu_isa_avx512_core_amx, "avx512_core_amx"},
    {dnnl_cpu_isa_all, NULL},
};

static dnnl_memory_desc_t memory_desc(const struct onednn_tensor *t)
{
    dnnl_memory_desc_t desc;
    dnnl_status_t status =
        t->any
            ? dnnl_memory_desc_init_by_tag(&desc, t->n_dims, t->dims, t->type, dnnl_format_tag_any)
            : dnnl_memory_desc_init_by_strides(&desc, t->n_dims, t->dims, t->type, t->strides);

    /* Only sizes below 1 or too many of them are refused, which a kernel_spec does not have. */
    assert(status == dnnl_success);
    (void)status;
    return desc;
}

static const dnnl_memory_desc_t *arg_desc(const_dnnl_primitive_desc_t desc, int arg)
{
    return dnnl_primitive_desc_query_md(desc, dnnl_query_exec_arg_md, arg);
}

dnnl_status_t onednn_forward_describe(const struct onednn_engine *engine,
                                      const struct onednn_convolution *convolution,
                                      const_dnnl_primitive_desc_t like, dnnl_primitive_desc_t *out)
{
    const struct onednn_convolution *c = convolution;
    dnnl_memory_desc_t x = memory_desc(&c->x), y = memory_desc(&c->y);
    dnnl_memory_desc_t weight = like ? *arg_desc(like, DNNL_ARG_WEIGHTS) : memory_desc(&c->weight);
    dnnl_memory_desc_t bias = memory_desc(&c->bias);
    dnnl_convolution_desc_t desc;
    dnnl_status_t status =
        dnnl_convolution_forward_desc_init(&desc, dnnl_forward_training, dnnl_convolution_direct,
                                           &x, &weight, c->has_bias ? &bias : NULL, &y, c->strides,
                                           c->pads, c->pads_end);

    if (status != dnnl_success)
        return status;
    return dnnl_primitive_desc_create(out, &desc, engine->attr, engine->engine, NULL);
}

dnnl_status_t onednn_backward_data_describe(const struct onednn_engine *engine,
                                            const struct onednn_convolution *convolution,
                                            const_dnnl_primitive_desc_t hint,
                                            dnnl_primitive_desc_t *out)
{
    const struct onednn_convolution *c = convolution;
    dnnl_memory_desc_t x = memory_desc(&c->x), y = memory_desc(&c->y);
    dnnl_memory_desc_t weight = memory_desc(&c->weight);
    dnnl_convolution_desc_t desc;
    dnnl_status_t status =
        dnnl_convolution_backward_data_desc_init(&desc, dnnl_convolution_direct, &x, &weight, &y,
                                                 c->strides, c->pads, c->pads_end);

    if (status != dnnl_success)
        return status;
    return dnnl_primitive_desc_create(out, &desc, engine->attr, engine->engine, hint);
}

dnnl_status_t onednn_backward_weight_describe(const struct onednn_engine *engine,
                                              const struct onednn_convolution *convolution,
                                              const_dnnl_primitive_desc_t hint,
                                              dnnl_primitive_desc_t *out)
{
    const struct onednn_convolution *c = convolution;
    struct onednn_tensor exact = c->weight;
    dnnl_memory_desc_t x = memory_desc(&c->x), y = memory_desc(&c->y);
    dnnl_memory_desc_t bias = memory_desc(&c->bias), weight;
    dnnl_convolution_desc_t desc;
    dnnl_status_t status;

    exact.type = dnnl_f32;
    weight = memory_desc(&exact);
    status = dnnl_convolution_backward_weights_desc_init(&desc, dnnl_convolution_direct, &x,
                                                         &weight, c->has_bias ? &bias : NULL, &y,
                                                         c->strides, c->pads, c->pads_end);
    if (status != dnnl_success)
        return status;
    return dnnl_primitive_desc_create(out, &desc, engine->attr, engine->engine, hint);
}

dnnl_status_t onednn_product_describe(const struct onednn_engine *engine,
                                      const struct onednn_tensor *a, const struct onednn_tensor *b,
                                      const struct onednn_tensor *c, dnnl_primitive_desc_t *out)
{
    dnnl_memory_desc_t a_desc = memory_desc(a), b_desc = memory_desc(b), c_desc = memory_desc(c);
    dnnl_matmul_desc_t desc;
    dnnl_status_t status = dnnl_matmul_desc_init(&desc, &a_desc, &b_desc, NULL, &c_desc);

    if (status != dnnl_success)
        return status;
    return dnnl_primitive_desc_create(out, &desc, engine->attr, engine->engine, NULL);
}

dnnl_status_t onednn_pack_describe(const struct onednn_engine *engine,
                                   const struct onednn_tensor *plain,
                                   const_dnnl_primitive_desc_t packed, int arg,
                                   dnnl_primitive_desc_t *out)
{
    dnnl_memory_desc_t from = memory_desc(plain);

    return dnnl_reorder_primitive_desc_create(out, &from, engine->engine, arg_desc(packed, arg),
                                              engine->engine, engine->attr);
}

dnnl_status_t onednn_unpack_describe(const struct onednn_engine *engine,
                                     const_dnnl_primitive_desc_t packed, int arg,
                                     const struct onednn_tensor *plain, dnnl_primitive_desc_t *out)
{
    dnnl_memory_desc_t to = memory_desc(plain);

    return dnnl_reorder_primitive_desc_create(out, arg_desc(packed, arg), engine->engine, &to,
                                              engine->engine, engine->attr);
}

size_t onednn_arg_bytes(const_dnnl_primitive_desc_t desc, int arg)
{
    return dnnl_memory_desc_get_size(arg_desc(desc, arg));
}

void onednn_arg_layout(const_dnnl_primitive_desc_t desc, int arg, struct onednn_layout *out)
{
    const dnnl_memory_desc_t *memory = arg_desc(desc, arg);
    const dnnl_blocking_desc_t *blocking = &memory->format_desc.blocking;

    *out = (struct onednn_layout){
        .n_dims = memory->ndims,
        .n_blocks = blocking->inner_nblks,
        .type = memory->data_type,
        .kind = memory->format_kind,
        .dims = memory->dims,
        .padded_dims = memory->padded_dims,
        .strides = blocking->strides,
        .blocks = blocking->inner_blks,
        .block_dims = blocking->inner_idxs,
    };
}

dnnl_status_t onednn_arg_memory_create(const_dnnl_primitive_desc_t desc, int arg,
                                       const struct onednn_engine *engine, dnnl_memory_t *out)
{
    return dnnl_memory_create(out, arg_desc(desc, arg), engine->engine, DNNL_MEMORY_NONE);
}
