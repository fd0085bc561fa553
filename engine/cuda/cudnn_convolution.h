/* Convolutions through cuDNN's graph API: 16-bit activations in NHWC, weights [o,k,k,i] of the same
 * type, sums in float32.
 *
 * A plan is an engine of cuDNN with its knobs, made for a number of images. Engines differ in the order of
 * their sums, so one configuration serves all numbers of images. What cuDNN would have to compile
 * at run time is not used, nor what needs cuBLASLt, sums in 16 bits or in no fixed order, transforms
 * (FFT, Winograd).
 *
 * A residual comes before the bias, since that is what cuDNN has compiled: y = scale (x * weight) +
 * scale residual + bias, with a bias that has been multiplied by scale.
 * Thread: that of the device.
 */
#ifndef ENGINE_CUDA_CUDNN_CONVOLUTION_H
#define ENGINE_CUDA_CUDNN_CONVOLUTION_H

#include "engine/cuda/product.h"

#include <stddef.h>

struct cudnn_convolution;
struct cudnn_device;
struct error;

enum { CUDNN_CONFIGURATIONS_MAX = 7 };

/* The names of the configurations for a product, whatever its n, in the order of cuDNN's preference for
 * many images; they live as long as the device. Returns how many, 0 where cuDNN has nothing for it
 * (float32, a 16-bit x with a float32 y, groups of channels, ...), or -ENOMEM, -EIO. */
int cudnn_convolution_names(struct cudnn_device *device, const struct product *product,
                            const char *names[CUDNN_CONFIGURATIONS_MAX], struct error *err);

/* Whether an image's bits are the same among however many others, as far as it is known (proof.h). */
enum cudnn_bits { CUDNN_BITS_UNKNOWN, CUDNN_BITS_KEPT, CUDNN_BITS_LOST };

/* What is known of a configuration, to be read and written; NULL where there is none of that name. */
enum cudnn_bits *cudnn_convolution_bits(struct cudnn_device *device, const struct product *product,
                                        const char *name);

/* name: one of those. 0, -EINVAL (there is no such name), -ENOTSUP (not for so many images), -ENOMEM,
 * -EIO. */
int cudnn_convolution_create(struct cudnn_device *device, const struct product *product,
                             const char *name, struct cudnn_convolution **out, struct error *err);
void cudnn_convolution_destroy(struct cudnn_convolution *c); /* NULL is fine */

/* Bytes of device memory that a run needs, 256-byte aligned; contents not kept. */
size_t cudnn_convolution_workspace(const struct cudnn_convolution *c);

/* Enqueues it. x, y: activations, or the gradients in their places; weight: or its gradient; device
 * memory. bias: 16 bits [o]; bias and residual NULL where the product has none. 0 or -EIO. */
int cudnn_convolution_run(const struct cudnn_convolution *c, void *queue, const void *x,
                          const void *weight, const void *y, const void *bias, const void *residual,
                          void *workspace, struct error *err);

#endif
