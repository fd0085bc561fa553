#include "engine/op.h"

const char *op_name(enum op_kind kind)
{
    static const char *const names[OP_KINDS] = {
        [OP_CONVOLUTION] = "convolution",
        [OP_CONVOLUTION_ADD] = "convolution_add",
        [OP_CONVOLUTION_GRAD_DATA] = "convolution_grad_data",
        [OP_CONVOLUTION_GRAD_WEIGHT] = "convolution_grad_weight",
        [OP_LINEAR] = "linear",
        [OP_LINEAR_GRAD_DATA] = "linear_grad_data",
        [OP_LINEAR_GRAD_WEIGHT] = "linear_grad_weight",
        [OP_GROUP_NORM] = "group_norm",
        [OP_GROUP_NORM_GRAD] = "group_norm_grad",
        [OP_SILU] = "silu",
        [OP_SILU_GRAD] = "silu_grad",
        [OP_RELU] = "relu",
        [OP_MAX_POOL] = "max_pool",
        [OP_MEAN_POOL] = "mean_pool",
        [OP_UPFIRDN] = "upfirdn",
        [OP_CONCAT] = "concat",
        [OP_SLICE] = "slice",
        [OP_ATTENTION] = "attention",
        [OP_ATTENTION_GRAD] = "attention_grad",
        [OP_FOURIER] = "fourier",
        [OP_POSITIONAL] = "positional",
        [OP_ADD] = "add",
        [OP_AFFINE] = "affine",
        [OP_MIX] = "mix",
        [OP_MULTIPLY] = "multiply",
        [OP_SEPARABLE] = "separable",
        [OP_NORMAL] = "normal",
        [OP_DROPOUT_MASK] = "dropout_mask",
        [OP_HALF_SQUARE] = "half_square",
        [OP_HALF_SQUARE_GRAD] = "half_square_grad",
    };

    return names[kind];
}
