/* Which ways the cuda device has to compute a convolution or a linear operation:
 *
 *     e41-2_0-...   a configuration of cuDNN (cudnn_convolution.h), rounded values only
 *     direct        own kernels (direct_launch.h), for everything
 */
#ifndef ENGINE_CUDA_CONVOLUTION_H
#define ENGINE_CUDA_CONVOLUTION_H

#include "engine/device.h"

/* Entry of struct device_ops. */
int cuda_algorithms(struct device *device, const struct kernel_spec *spec,
                    const char *names[DEVICE_ALGORITHMS_MAX]);

#endif
