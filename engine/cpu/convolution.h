/* Convolution kernels by shape through oneDNN, for the operations that are one: OP_CONVOLUTION and,
 * as a convolution with 1x1 weights, OP_LINEAR over positions.
 *
 * Inputs and outputs of the kernels are those of the operation in the order of engine/op.h;
 * weights are packed.
 */
#ifndef ENGINE_CPU_CONVOLUTION_H
#define ENGINE_CPU_CONVOLUTION_H

#include "engine/device.h"

#include <stdbool.h>

struct cpu_device;
struct error;

struct convolution_shape {
    enum op_kind kind; /* for messages */
    int n;
    int x_h, x_w, x_c;
    int y_h, y_w, y_c;
    enum dtype x_type, y_type; /* of x or its gradient, of y or its gradient */
    int k_h, k_w;              /* the window */
    int stride;
    int pad;     /* zeros left; right and below there are as many as x and y leave */
    int pad_top; /* zeros above: less where the rows above are there */
    int groups;
    bool in_first; /* weights [i,o] instead of [o,i,k,k]; k_h and k_w are 1 */
    bool bias;     /* there is a bias, or its gradient is wanted */
    bool residual; /* forward: OP_CONVOLUTION_ADD, with its scale */
    float scale;
};

/* x, weight, bias?, residual? -> y; an image is split into bands for several threads. */
int convolution_forward_create(struct cpu_device *device, const struct convolution_shape *shape,
                               struct kernel **out, struct error *err);
/* The same with images left whole. */
int convolution_whole_create(struct cpu_device *device, const struct convolution_shape *shape,
                             struct kernel **out, struct error *err);
bool convolution_has_bands(const struct convolution_shape *shape);
/* dy, weight -> dx */
int convolution_backward_data_create(struct cpu_device *device,
                                     const struct convolution_shape *shape, struct kernel **out,
                                     struct error *err);
/* x, dy -> dweight, dbias? */
int convolution_backward_weight_create(struct cpu_device *device,
                                       const struct convolution_shape *shape, struct kernel **out,
                                       struct error *err);

#endif
