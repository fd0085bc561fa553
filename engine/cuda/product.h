/* A product of activations and weights, as both of its ways see it: through cuDNN (cudnn_convolution.h)
 * and through own kernels (direct_launch.h). Convolutions, and with a window of 1x1 linear operations,
 * whose positions are then those of an image.
 */
#ifndef ENGINE_CUDA_PRODUCT_H
#define ENGINE_CUDA_PRODUCT_H

#include "engine/tensor.h"

#include <stdbool.h>

struct kernel_spec;

enum product_kind {
    PRODUCT_FORWARD,     /* x, weight -> y */
    PRODUCT_GRAD_DATA,   /* dy, weight -> dx */
    PRODUCT_GRAD_WEIGHT, /* x, dy -> dweight */
    PRODUCT_KINDS
};

struct product {
    enum product_kind kind;
    int n;             /* images */
    int x_h, x_w, x_c; /* of an image of x or dx */
    int y_h, y_w, y_c; /* of y or dy */
    int window_h, window_w, stride;
    int pad[4]; /* zeros above, below, left and right of x */
    int groups; /* of channels: an output has x_c / groups inputs. More than 1 only PRODUCT_FORWARD */
    enum dtype x_type, y_type; /* of x or dx, of y or dy */
    bool bias;                 /* forward: there is one; gradient of the weight: its gradient too */
    bool residual;             /* forward: y = (x * weight + bias + residual) scale */
    float scale;               /* 1 without a residual */
};

/* The product that an operation is: OP_CONVOLUTION, OP_LINEAR and their relatives; false: none. */
bool product_of(const struct kernel_spec *spec, struct product *out);

#endif
