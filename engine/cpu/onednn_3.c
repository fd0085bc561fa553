/* oneDNN 3: descriptors of memory are objects to be made and destroyed, and a primitive's
 * descriptor is made in one step. */
#include "engine/cpu/onednn_version.h"

#include <assert.h>

enum { MEMORIES_MAX = 4 };

const struct onednn_isa_name onednn_isa_names[] = {
    {dnnl_cpu_isa_sse41, "sse41"},
    {dnnl_cpu_isa_avx, "avx"},
    {dnnl_cpu_isa_avx2, "avx2"},
    {dnnl_cpu_isa_avx2_vnni, "avx2_vnni"},
    {dnnl_cpu_isa_avx2_vnni_2, "avx2_vnni_2"},
    {dnnl_cpu_isa_avx512_core, "avx512_core"},
    {dnnl_cpu_isa_avx512_core_vnni, "avx512_core_vnni"},
    {dnnl_cpu_isa_avx512_core_bf16, "avx512_core_bf16"},
    {dnnl_cpu_isa_avx512_core_fp16, "avx512_core_fp16"},
    {dnnl_cpu_isa_avx512_core_amx, "avx512_core_amx"},
    {dnnl_cpu_isa_avx512_core_amx_fp16, "avx512_core_amx_fp16"},
    {dnnl_cpu_isa_default, NULL},
};

/* The memory descriptors of a primitive's arguments, while its own is made. */
struct memories {
    dnnl_memory_desc_t descs[MEMORIES_MAX];
};

static void memories_fini(struct memories *m)
{
    for (int i = 0; i < MEMORIES_MAX; i++) {
        if (m->descs[i])
            dnnl_memory_desc_destroy(m->descs[i]);
    }
}

/* tensors[i] NULL leaves descs[i] NULL. On failure there is nothing to clean up. */
static dnnl_status_t memories_init(struct memories *m, int n,
                                   const struct onednn_tensor *const *tensors)
{
    dnnl_status_t status = dnnl_success;

    assert(n <= MEMORIES_MAX);
    *m = (struct memories){{NULL}};
    for (int i = 0; i < n && status == dnnl_success; i++) {
        const struct onednn_tensor *t = tensors[i];

        if (t && t->any)
            status = dnnl_memory_desc_create_with_tag(&m->descs[i], t->n_dims, t->dims, t->type,
                                                      dnnl_format_tag_any);
        else if (t)
            status = dnnl_memory_desc_create_with_strides(&m->descs[i], t->n_dims, t->dims, t->type,
                                                          t->strides);
    }
    if (status != dnnl_success)
        memories_fini(m);
    return status;
}

static const_dnnl_memory_desc_t arg_desc(const_dnnl_primitive_desc_t desc, int arg)
{
    return dnnl_primitive_desc_query_md(desc, dnnl_query_exec_arg_md, arg);
}

static const dnnl_dims_t no_dilates = {0};

dnnl_status_t onednn_forward_describe(const struct onednn_engine *engine,
                                      const struct onednn_convolution *convolution,
                                      const_dnnl_primitive_desc_t like, dnnl_primitive_desc_t *out)
{
    const struct onednn_convolution *c = convolution;
    const struct onednn_tensor *tensors[] = {&c->x, like ? NULL : &c->weight, &c->y,
                                             c->has_bias ? &c->bias : NULL};
    struct memories m;
    dnnl_status_t status = memories_init(&m, 4, tensors);

    if (status != dnnl_success)
        return status;
    status =
        dnnl_convolution_forward_primitive_desc_create(out, engine->engine, dnnl_forward_training,
                                                       dnnl_convolution_direct, m.descs[0],
                                                       like ? arg_desc(like, DNNL_ARG_WEIGHTS)
                                                            : m.descs[1],
                                                       m.descs[3], m.descs[2], c->strides,
                                                       no_dilates, c->pads, c->pads_end,
                                                       engine->attr);
    memories_fini(&m);
    return status;
}

dnnl_status_t onednn_backward_data_describe(const struct onednn_engine *engine,
                                            const struct onednn_convolution *convolution,
                                            const_dnnl_primitive_desc_t hint,
                                            dnnl_primitive_desc_t *out)
{
    const struct onednn_convolution *c = convolution;
    const struct onednn_tensor *tensors[] = {&c->x, &c->weight, &c->y};
    struct memories m;
    dnnl_status_t status = memories_init(&m, 3, tensors);

    if (status != dnnl_success)
        return status;
    status =
        dnnl_convolution_backward_data_primitive_desc_create(out, engine->engine,
                                                             dnnl_convolution_direct, m.descs[0],
                                                             m.descs[1], m.descs[2], c->strides,
                                                             no_dilates, c->pads, c->pads_end, hint,
                                                             engine->attr);
    memories_fini(&m);
    return status;
}

dnnl_status_t onednn_backward_weight_describe(const struct onednn_engine *engine,
                                              const struct onednn_convolution *convolution,
                                              const_dnnl_primitive_desc_t hint,
                                              dnnl_primitive_desc_t *out)
{
    const struct onednn_convolution *c = convolution;
    struct onednn_tensor exact = c->weight;
    const struct onednn_tensor *tensors[] = {&c->x, &exact, &c->y, c->has_bias ? &c->bias : NULL};
    struct memories m;
    dnnl_status_t status;

    exact.type = dnnl_f32;
    status = memories_init(&m, 4, tensors);
    if (status != dnnl_success)
        return status;
    status =
        dnnl_convolution_backward_weights_primitive_desc_create(out, engine->engine,
                                                                dnnl_convolution_direct, m.descs[0],
                                                                m.descs[1], m.descs[3], m.descs[2],
                                                                c->strides, no_dilates, c->pads,
                                                                c->pads_end, hint, engine->attr);
    memories_fini(&m);
    return status;
}

dnnl_status_t onednn_product_describe(const struct onednn_engine *engine,
                                      const struct onednn_tensor *a, const struct onednn_tensor *b,
                                      const struct onednn_tensor *c, dnnl_primitive_desc_t *out)
{
    const struct onednn_tensor *tensors[] = {a, b, c};
    struct memories m;
    dnnl_status_t status = memories_init(&m, 3, tensors);

    if (status != dnnl_success)
        return status;
    status = dnnl_matmul_primitive_desc_create(out, engine->engine, m.descs[0], m.descs[1], NULL,
                                               m.descs[2], engine->attr);
    memories_fini(&m);
    return status;
}

dnnl_status_t onednn_pack_describe(const struct onednn_engine *engine,
                                   const struct onednn_tensor *plain,
                                   const_dnnl_primitive_desc_t packed, int arg,
                                   dnnl_primitive_desc_t *out)
{
    struct memories m;
    dnnl_status_t status = memories_init(&m, 1, &plain);

    if (status != dnnl_success)
        return status;
    status =
        dnnl_reorder_primitive_desc_create(out, m.descs[0], engine->engine, arg_desc(packed, arg),
                                           engine->engine, engine->attr);
    memories_fini(&m);
    return status;
}

dnnl_status_t onednn_unpack_describe(const struct onednn_engine *engine,
                                     const_dnnl_primitive_desc_t packed, int arg,
                                     const struct onednn_tensor *plain, dnnl_primitive_desc_t *out)
{
    struct memories m;
    dnnl_status_t status = memories_init(&m, 1, &plain);

    if (status != dnnl_success)
        return status;
    status = dnnl_reorder_primitive_desc_create(out, arg_desc(packed, arg), engine->engine,
                                                m.descs[0], engine->engine, engine->attr);
    memories_fini(&m);
    return status;
}

size_t onednn_arg_bytes(const_dnnl_primitive_desc_t desc, int arg)
{
    return dnnl_memory_desc_get_size(arg_desc(desc, arg));
}

void onednn_arg_layout(const_dnnl_primitive_desc_t desc, int arg, struct onednn_layout *out)
{
    const_dnnl_memory_desc_t memory = arg_desc(desc, arg);
    const dnnl_dims_t *dims = NULL, *padded = NULL, *strides = NULL, *blocks = NULL, *which = NULL;

    *out = (struct onednn_layout){.n_dims = 0};
    dnnl_memory_desc_query(memory, dnnl_query_ndims_s32, &out->n_dims);
    dnnl_memory_desc_query(memory, dnnl_query_inner_nblks_s32, &out->n_blocks);
    dnnl_memory_desc_query(memory, dnnl_query_data_type, &out->type);
    dnnl_memory_desc_query(memory, dnnl_query_format_kind, &out->kind);
    dnnl_memory_desc_query(memory, dnnl_query_dims, &dims);
    dnnl_memory_desc_query(memory, dnnl_query_padded_dims, &padded);
    dnnl_memory_desc_query(memory, dnnl_query_strides, &strides);
    dnnl_memory_desc_query(memory, dnnl_query_inner_blks, &blocks);
    dnnl_memory_desc_query(memory, dnnl_query_inner_idxs, &which);
    out->dims = *dims;
    out->padded_dims = *padded;
    out->strides = *strides;
    out->blocks = *blocks;
    out->block_dims = *which;
}

dnnl_status_t onednn_arg_memory_create(const_dnnl_primitive_desc_t desc, int arg,
                                       const struct onednn_engine *engine, dnnl_memory_t *out)
{
    return dnnl_memory_create(out, arg_desc(desc, arg), engine->engine, DNNL_MEMORY_NONE);
}
