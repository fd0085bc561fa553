/* What versions 2 and 3 of oneDNN spell differently: the descriptors of memory and of primitives.
 * meson.build takes onednn_2.c or onednn_3.c, by the headers that are installed. Used by onednn.c
 * and onednn_call.c only.
 *
 * Primitive descriptors are the caller's to destroy. Argument arg (DNNL_ARG_SRC, ...) of one stands
 * for the memory descriptor it has chosen.
 */
#ifndef ENGINE_CPU_ONEDNN_VERSION_H
#define ENGINE_CPU_ONEDNN_VERSION_H

#include <dnnl.h>
#include <stdbool.h>
#include <stddef.h>

struct onednn_engine {
    dnnl_engine_t engine;
    dnnl_primitive_attr_t attr;
};

struct onednn_tensor {
    int n_dims;
    dnnl_dims_t dims;
    dnnl_dims_t strides; /* elements; not read with any */
    bool any;            /* the format oneDNN likes best */
    dnnl_data_type_t type;
};

struct onednn_convolution {
    struct onednn_tensor x, y, weight, bias;
    bool has_bias;
    dnnl_dims_t strides, pads, pads_end;
};

/* A format, to be told from others. Arrays are n_dims or n_blocks long and live as long as the
 * primitive descriptor. */
struct onednn_layout {
    int n_dims, n_blocks;
    dnnl_data_type_t type;
    dnnl_format_kind_t kind;
    const dnnl_dim_t *dims, *padded_dims, *strides, *blocks, *block_dims;
};

struct onednn_isa_name {
    dnnl_cpu_isa_t isa;
    const char *name; /* NULL: the end */
};

extern const struct onednn_isa_name onednn_isa_names[];

/* like: a primitive descriptor whose weights' format is taken, NULL for none */
dnnl_status_t onednn_forward_describe(const struct onednn_engine *engine,
                                      const struct onednn_convolution *convolution,
                                      const_dnnl_primitive_desc_t like, dnnl_primitive_desc_t *out);
/* hint: the forward one */
dnnl_status_t onednn_backward_data_describe(const struct onednn_engine *engine,
                                            const struct onednn_convolution *convolution,
                                            const_dnnl_primitive_desc_t hint,
                                            dnnl_primitive_desc_t *out);
dnnl_status_t onednn_backward_weight_describe(const struct onednn_engine *engine,
                                              const struct onednn_convolution *convolution,
                                              const_dnnl_primitive_desc_t hint,
                                              dnnl_primitive_desc_t *out);
dnnl_status_t onednn_product_describe(const struct onednn_engine *engine,
                                      const struct onednn_tensor *a, const struct onednn_tensor *b,
                                      const struct onednn_tensor *c, dnnl_primitive_desc_t *out);
/* Reorders of plain to and from argument arg of packed. */
dnnl_status_t onednn_pack_describe(const struct onednn_engine *engine,
                                   const struct onednn_tensor *plain,
                                   const_dnnl_primitive_desc_t packed, int arg,
                                   dnnl_primitive_desc_t *out);
dnnl_status_t onednn_unpack_describe(const struct onednn_engine *engine,
                                     const_dnnl_primitive_desc_t packed, int arg,
                                     const struct onednn_tensor *plain, dnnl_primitive_desc_t *out);

size_t onednn_arg_bytes(const_dnnl_primitive_desc_t desc, int arg);
void onednn_arg_layout(const_dnnl_primitive_desc_t desc, int arg, struct onednn_layout *out);
dnnl_status_t onednn_arg_memory_create(const_dnnl_primitive_desc_t desc, int arg,
                                       const struct onednn_engine *engine, dnnl_memory_t *out);

#endif
