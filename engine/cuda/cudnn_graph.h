/* What a convolution computes, as a graph of cuDNN's. Used by cudnn_convolution.c only. */
#ifndef ENGINE_CUDA_CUDNN_GRAPH_H
#define ENGINE_CUDA_CUDNN_GRAPH_H

#include "engine/cuda/cudnn_call.h"
#include "engine/cuda/product.h"

/* What a variant pack calls the tensors. */
enum cudnn_tensor {
    CUDNN_TENSOR_X = 1,
    CUDNN_TENSOR_WEIGHT,
    CUDNN_TENSOR_Y,
    CUDNN_TENSOR_BIAS,
    CUDNN_TENSOR_RESIDUAL,
    CUDNN_TENSOR_PRODUCT, /* in registers: before the residual, before the bias */
    CUDNN_TENSOR_SUM,
};

/* Of n images; NULL after a failure. Types are rounded ones and equal. */
cudnnBackendDescriptor_t cudnn_graph_make(struct cudnn_builder *b, const struct product *product,
                                          int n);

#endif
