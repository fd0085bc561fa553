#include "engine/cuda/cudnn_graph.h"

/* The attributes of a convolution and of its gradients. */
static const struct {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t convolution, x, weight, y, alpha, beta;
} operations[PRODUCT_KINDS] = {
    [PRODUCT_FORWARD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    [PRODUCT_GRAD_DATA] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    [PRODUCT_GRAD_WEIGHT] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};

/* [n,c,h,w] in the order of n, h, w, c. */
static cudnnBackendDescriptor_t tensor(struct cudnn_builder *b, enum cudnn_tensor id,
                                       cudnnDataType_t type, int n, int h, int w, int c)
{
    const int64_t uid = id, alignment = 16, dims[4] = {n, c, h, w};
    const int64_t strides[4] = {(int64_t)c * h * w, 1, (int64_t)c * w, c};
    const bool in_registers = id == CUDNN_TENSOR_PRODUCT || id == CUDNN_TENSOR_SUM;
    cudnnBackendDescriptor_t d = cudnn_make(b, CUDNN_BACKEND_TENSOR_DESCRIPTOR);

    cudnn_give(b, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
    cudnn_give(b, d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    cudnn_give(b, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims);
    cudnn_give(b, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
    cudnn_give(b, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    cudnn_give(b, d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &in_registers);
    cudnn_finish(b, d);
    return d;
}

/* y, a tensor of its shape, or the bias. */
static cudnnBackendDescriptor_t like_y(struct cudnn_builder *b, const struct product *p, int n,
                                       enum cudnn_tensor id, cudnnDataType_t type)
{
    if (id == CUDNN_TENSOR_BIAS)
        return tensor(b, id, type, 1, 1, 1, p->y_c);
    return tensor(b, id, type, n, p->y_h, p->y_w, p->y_c);
}

static cudnnBackendDescriptor_t window(struct cudnn_builder *b, const struct product *p)
{
    const int64_t n_dims = 2, ones[2] = {1, 1};
    const int64_t before[2] = {p->pad[0], p->pad[2]}, after[2] = {p->pad[1], p->pad[3]};
    const int64_t strides[2] = {p->stride, p->stride};
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    cudnnBackendDescriptor_t d = cudnn_make(b, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);

    cudnn_give(b, d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &n_dims);
    cudnn_give(b, d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    cudnn_give(b, d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    cudnn_give(b, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, before);
    cudnn_give(b, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, after);
    cudnn_give(b, d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, strides);
    cudnn_give(b, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, ones);
    cudnn_finish(b, d);
    return d;
}

static cudnnBackendDescriptor_t product_operation(struct cudnn_builder *b, const struct product *p,
                                                  int n, cudnnDataType_t type,
                                                  cudnnBackendDescriptor_t y)
{
    const float one = 1, zero = 0;
    cudnnBackendDescriptor_t d = cudnn_make(b, operations[p->kind].type);

    cudnn_give_descriptor(b, d, operations[p->kind].convolution, window(b, p));
    cudnn_give_descriptor(b, d, operations[p->kind].x,
                          tensor(b, CUDNN_TENSOR_X, type, n, p->x_h, p->x_w, p->x_c));
    cudnn_give_descriptor(b, d, operations[p->kind].weight,
                          tensor(b, CUDNN_TENSOR_WEIGHT, type, p->y_c, p->window_h, p->window_w,
                                 p->x_c));
    cudnn_give_descriptor(b, d, operations[p->kind].y, y);
    cudnn_give(b, d, operations[p->kind].alpha, CUDNN_TYPE_FLOAT, 1, &one);
    cudnn_give(b, d, operations[p->kind].beta, CUDNN_TYPE_FLOAT, 1, &zero);
    cudnn_finish(b, d);
    return d;
}

/* y = scale (x + term) */
static cudnnBackendDescriptor_t add_operation(struct cudnn_builder *b, float scale,
                                              cudnnBackendDescriptor_t x,
                                              cudnnBackendDescriptor_t term,
                                              cudnnBackendDescriptor_t y)
{
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    const cudnnPointwiseMode_t mode = CUDNN_POINTWISE_ADD;
    cudnnBackendDescriptor_t add = cudnn_make(b, CUDNN_BACKEND_POINTWISE_DESCRIPTOR), d;

    cudnn_give(b, add, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    cudnn_give(b, add, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    cudnn_finish(b, add);
    d = cudnn_make(b, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    cudnn_give_descriptor(b, d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, add);
    cudnn_give_descriptor(b, d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    cudnn_give_descriptor(b, d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, term);
    cudnn_give_descriptor(b, d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    cudnn_give(b, d, CUDNN_ATTR_OPERATION_POINTWISE_ALPHA1, CUDNN_TYPE_FLOAT, 1, &scale);
    cudnn_give(b, d, CUDNN_ATTR_OPERATION_POINTWISE_ALPHA2, CUDNN_TYPE_FLOAT, 1, &scale);
    cudnn_finish(b, d);
    return d;
}

cudnnBackendDescriptor_t cudnn_graph_make(struct cudnn_builder *b, const struct product *p, int n)
{
    const cudnnDataType_t type = p->x_type == DTYPE_F16 ? CUDNN_DATA_HALF : CUDNN_DATA_BFLOAT16;
    const bool bias = p->bias && p->kind == PRODUCT_FORWARD;
    const bool alone = !bias && !p->residual;
    cudnnBackendDescriptor_t operation[3], graph;
    cudnnBackendDescriptor_t y = like_y(b, p, n, CUDNN_TENSOR_Y, type);
    cudnnBackendDescriptor_t product =
        alone ? y : like_y(b, p, n, CUDNN_TENSOR_PRODUCT, CUDNN_DATA_FLOAT);
    cudnnBackendDescriptor_t sum = product;
    int n_operations = 0;

    operation[n_operations++] = product_operation(b, p, n, type, product);
    if (p->residual) {
        sum = bias ? like_y(b, p, n, CUDNN_TENSOR_SUM, CUDNN_DATA_FLOAT) : y;
        operation[n_operations++] =
            add_operation(b, p->scale, product, like_y(b, p, n, CUDNN_TENSOR_RESIDUAL, type), sum);
    }
    if (bias)
        operation[n_operations++] =
            add_operation(b, 1, sum, like_y(b, p, n, CUDNN_TENSOR_BIAS, type), y);
    graph = cudnn_make(b, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    cudnn_give(b, graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, n_operations,
               operation);
    cudnn_finish(b, graph);
    return b->rc < 0 ? NULL : graph;
}
