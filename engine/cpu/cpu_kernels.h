/* The kernels of the cpu device: one creator per family of operations.
 *
 * A creator makes a kernel for the concrete tensors of spec. It returns 0 with *out set, -ENOTSUP
 * naming the operation and what of it is not supported, -ENOMEM, or -EIO; on failure nothing
 * is left behind. It keeps device (borrowed: kernels are destroyed before their device), not spec.
 */
#ifndef ENGINE_CPU_CPU_KERNELS_H
#define ENGINE_CPU_CPU_KERNELS_H

#include "engine/host/host_device.h"

#include <stdbool.h>

struct onednn_engine;

struct cpu_device {
    struct host_device host; /* first: engine/ reads it */
    struct onednn_engine *engine;
    bool native_bf16; /* the processor multiplies bfloat16 (AVX512-BF16, AMX) */
    bool amx;         /* with AMX's tiles */
};

typedef int cpu_create_fn(struct cpu_device *device, const struct kernel_spec *spec,
                          struct kernel **out, struct error *err);

/* Products, through oneDNN. */
cpu_create_fn cpu_convolution_create;         /* OP_CONVOLUTION, .._ADD, .._GRAD_.. */
cpu_create_fn cpu_convolution_general_create; /* OP_CONVOLUTION_GENERAL */
cpu_create_fn cpu_linear_create;              /* OP_LINEAR */
cpu_create_fn cpu_linear_grad_data_create;    /* OP_LINEAR_GRAD_DATA */
cpu_create_fn cpu_linear_grad_weight_create;  /* OP_LINEAR_GRAD_WEIGHT */
cpu_create_fn cpu_attention_create;           /* OP_ATTENTION */
cpu_create_fn cpu_attention_grad_create;      /* OP_ATTENTION_GRAD */

/* Own loops. */
cpu_create_fn cpu_group_norm_create;      /* OP_GROUP_NORM */
cpu_create_fn cpu_group_norm_grad_create; /* OP_GROUP_NORM_GRAD */
cpu_create_fn cpu_activation_create;      /* OP_SILU, OP_SILU_GRAD, OP_RELU */
cpu_create_fn cpu_max_pool_create;        /* OP_MAX_POOL */
cpu_create_fn cpu_mean_pool_create;       /* OP_MEAN_POOL */
cpu_create_fn cpu_average_pool_create;    /* OP_AVERAGE_POOL */
cpu_create_fn cpu_upfirdn_create;         /* OP_UPFIRDN */
cpu_create_fn cpu_concat_create;          /* OP_CONCAT */
cpu_create_fn cpu_slice_create;           /* OP_SLICE */
cpu_create_fn cpu_embedding_create;       /* OP_FOURIER, OP_POSITIONAL */
cpu_create_fn cpu_add_create;             /* OP_ADD */
cpu_create_fn cpu_affine_create;          /* OP_AFFINE */
cpu_create_fn cpu_mix_create;             /* OP_MIX */
cpu_create_fn cpu_multiply_create;        /* OP_MULTIPLY */
cpu_create_fn cpu_separable_create;       /* OP_SEPARABLE */
cpu_create_fn cpu_random_create;          /* OP_NORMAL, OP_DROPOUT_MASK */
cpu_create_fn cpu_half_square_create;     /* OP_HALF_SQUARE, OP_HALF_SQUARE_GRAD */
cpu_create_fn cpu_operator_create;        /* OP_TOEPLITZ, OP_MULTIPLY_TABLE, .._RANK, OP_MODES */
cpu_create_fn cpu_lookup_create;          /* OP_LOOKUP, OP_LOOKUP_GRAD */
cpu_create_fn cpu_pixels_create;          /* OP_PIXELS */
cpu_create_fn cpu_load_create;            /* OP_LOAD */
cpu_create_fn cpu_store_create;           /* OP_STORE */
cpu_create_fn cpu_sum_create;             /* OP_SUM */
cpu_create_fn cpu_update_create;          /* OP_NORM, OP_ADAM, OP_AVERAGE */

#endif
