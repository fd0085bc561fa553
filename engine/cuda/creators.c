/* Which operations the cuda device has, and who makes their kernels. */
#include "engine/cuda/cuda_device.h"

#include <stdio.h>

static cuda_create_fn *const creators[OP_KINDS] = {
    [OP_CONVOLUTION] = cuda_convolution_create,
    [OP_CONVOLUTION_ADD] = cuda_convolution_create,
    [OP_CONVOLUTION_GENERAL] = cuda_convolution_create,
    [OP_CONVOLUTION_GRAD_DATA] = cuda_convolution_create,
    [OP_CONVOLUTION_GRAD_WEIGHT] = cuda_convolution_create,
    [OP_LINEAR] = cuda_convolution_create,
    [OP_LINEAR_GRAD_DATA] = cuda_convolution_create,
    [OP_LINEAR_GRAD_WEIGHT] = cuda_convolution_create,
    [OP_GROUP_NORM] = cuda_group_norm_create,
    [OP_GROUP_NORM_GRAD] = cuda_group_norm_grad_create,
    [OP_SILU] = cuda_activation_create,
    [OP_SILU_GRAD] = cuda_activation_create,
    [OP_RELU] = cuda_activation_create,
    [OP_MAX_POOL] = cuda_max_pool_create,
    [OP_MEAN_POOL] = cuda_mean_pool_create,
    [OP_AVERAGE_POOL] = cuda_average_pool_create,
    [OP_UPFIRDN] = cuda_upfirdn_create,
    [OP_CONCAT] = cuda_concat_create,
    [OP_SLICE] = cuda_slice_create,
    [OP_ATTENTION] = cuda_attention_create,
    [OP_ATTENTION_GRAD] = cuda_attention_grad_create,
    [OP_FOURIER] = cuda_embedding_create,
    [OP_POSITIONAL] = cuda_embedding_create,
    [OP_ADD] = cuda_add_create,
    [OP_AFFINE] = cuda_affine_create,
    [OP_MIX] = cuda_mix_create,
    [OP_MULTIPLY] = cuda_multiply_create,
    [OP_SEPARABLE] = cuda_separable_create,
    [OP_TOEPLITZ] = cuda_operator_create,
    [OP_MULTIPLY_TABLE] = cuda_operator_create,
    [OP_MULTIPLY_RANK] = cuda_operator_create,
    [OP_MODES] = cuda_operator_create,
    [OP_LOOKUP] = cuda_lookup_create,
    [OP_LOOKUP_GRAD] = cuda_lookup_create,
    [OP_PIXELS] = cuda_pixels_create,
    [OP_NORMAL] = cuda_random_create,
    [OP_DROPOUT_MASK] = cuda_random_create,
    [OP_HALF_SQUARE] = cuda_half_square_create,
    [OP_HALF_SQUARE_GRAD] = cuda_half_square_create,
    [OP_LOAD] = cuda_load_create,
    [OP_STORE] = cuda_store_create,
    [OP_SUM] = cuda_sum_create,
    [OP_NORM] = cuda_update_create,
    [OP_ADAM] = cuda_update_create,
    [OP_AVERAGE] = cuda_update_create,
};

cuda_create_fn *cuda_creator(enum op_kind kind)
{
    return creators[kind];
}

int cuda_check_launch(cudaError_t status, enum op_kind kind, struct error *err)
{
    char what[64];

    snprintf(what, sizeof(what), "start %s", op_name(kind));
    return cuda_check(status, what, err);
}
