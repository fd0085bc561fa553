/* The kernels of the cuda device: one creator per family of operations.
 *
 * A creator makes a kernel for the concrete tensors of spec. It returns 0 with *out set, -ENOTSUP
 * naming the operation and what of it is not supported, -ENOMEM, or -EIO; on failure nothing
 * is left behind. It keeps device (borrowed: kernels are destroyed before their device), not spec.
 *
 * A kernel has one stage of one part, and no shared_bytes. run() enqueues on (cudaStream_t)args->queue and returns: it
 * allocates nothing, waits for nothing, and may be captured into a graph. All memory it is given is the
 * device's; an executor has one scratch for all kernels of a cut, cuDNN's workspaces included. pack()
 * is given the float32 parameter on the device and enqueues on device->stream.
 *
 * Image i has the same bits in any batch: the shape of a launch and the order of a sum depend on
 * the shape of one image only. Sums have a fixed order; no atomic adds of floating numbers.
 */
#ifndef ENGINE_CUDA_CUDA_KERNELS_H
#define ENGINE_CUDA_CUDA_KERNELS_H

#include "engine/device.h"

#include <cuda_runtime_api.h>

struct cudnn_device;
struct nccl;

/* Images of the largest cut, a power of 2. */
enum { CUDA_SIZE_MAX = 256 };

struct cuda_device {
    struct device_base base; /* first: engine/ reads it */
    int ordinal;
    int sm; /* compute capability: 90 is 9.0 */
    int n_multiprocessors;
    size_t shared_max;   /* bytes of shared memory that a block can have if it asks for them */
    cudaStream_t stream; /* all that computes; packing and copies outside runs too */
    struct cudnn_device *cudnn; /* owned */
    struct nccl *nccl;          /* owned; NULL until several ranks sum */
    char name[64];              /* of the GPU, e.g. "NVIDIA H200" */
};

typedef int cuda_create_fn(struct cuda_device *device, const struct kernel_spec *spec,
                           struct kernel **out, struct error *err);

/* Products, through cuDNN or own kernels. */
cuda_create_fn cuda_convolution_create;    /* OP_CONVOLUTION.., OP_LINEAR.. */
cuda_create_fn cuda_attention_create;      /* OP_ATTENTION */
cuda_create_fn cuda_attention_grad_create; /* OP_ATTENTION_GRAD */

/* Own kernels. */
cuda_create_fn cuda_group_norm_create;      /* OP_GROUP_NORM */
cuda_create_fn cuda_group_norm_grad_create; /* OP_GROUP_NORM_GRAD */
cuda_create_fn cuda_activation_create;      /* OP_SILU, OP_SILU_GRAD, OP_RELU */
cuda_create_fn cuda_max_pool_create;        /* OP_MAX_POOL */
cuda_create_fn cuda_mean_pool_create;       /* OP_MEAN_POOL */
cuda_create_fn cuda_average_pool_create;    /* OP_AVERAGE_POOL */
cuda_create_fn cuda_upfirdn_create;         /* OP_UPFIRDN */
cuda_create_fn cuda_concat_create;          /* OP_CONCAT */
cuda_create_fn cuda_slice_create;           /* OP_SLICE */
cuda_create_fn cuda_embedding_create;       /* OP_FOURIER, OP_POSITIONAL */
cuda_create_fn cuda_add_create;             /* OP_ADD */
cuda_create_fn cuda_affine_create;          /* OP_AFFINE */
cuda_create_fn cuda_mix_create;             /* OP_MIX */
cuda_create_fn cuda_multiply_create;        /* OP_MULTIPLY */
cuda_create_fn cuda_separable_create;       /* OP_SEPARABLE */
cuda_create_fn cuda_random_create;          /* OP_NORMAL, OP_DROPOUT_MASK */
cuda_create_fn cuda_half_square_create;     /* OP_HALF_SQUARE, OP_HALF_SQUARE_GRAD */
cuda_create_fn cuda_operator_create;        /* OP_TOEPLITZ, OP_MULTIPLY_TABLE, .._RANK, OP_MODES */
cuda_create_fn cuda_lookup_create;          /* OP_LOOKUP, OP_LOOKUP_GRAD */
cuda_create_fn cuda_pixels_create;          /* OP_PIXELS */
cuda_create_fn cuda_load_create;            /* OP_LOAD */
cuda_create_fn cuda_store_create;           /* OP_STORE */
cuda_create_fn cuda_sum_create;             /* OP_SUM */
cuda_create_fn cuda_update_create;          /* OP_NORM, OP_ADAM, OP_AVERAGE */

/* The creator of an operation; NULL: the device has none of it. */
cuda_create_fn *cuda_creator(enum op_kind kind);

/* For run(): 0, or -EIO or -ENODEV naming the operation where a launch was refused. */
int cuda_check_launch(cudaError_t status, enum op_kind kind, struct error *err);

#endif
