/* 3x3 convolutions with fewer products, after Winograd; activations are bfloat16.
 *
 * Source: Lavin and Gray 2016 (arXiv:1509.09308), sections 4.1 and 4.2. y = A^T [(G g G^T)
 * (B^T d B)] A is linear in both d and g, which gives the gradients.
 *
 * Forward, and backward to the data: F(4x4, 3x3), a quarter of the direct products, in 16-bit
 * integers with exact 32-bit sums. (In bfloat16 its error would be seven times as large: the
 * transforms leave small differences of large numbers, which need bits more than range.) The points
 * 0, +-3/4, +-3/2, infinity halve the error of the usual 0, +-1, +-2, infinity. A result is off by
 * 0.15 to 0.25 % of the activation's size, about as much as direct products of bf16 numbers.
 * Backward to the weights: F(2x2, 3x3) in bf16, 16 products for 36; off by 0.4 %.
 *
 * Worth it only where products are the bottleneck: with AVX512-BF16, not with AMX.
 */
#ifndef ENGINE_CPU_WINOGRAD_H
#define ENGINE_CPU_WINOGRAD_H

#include "engine/cpu/convolution.h"

/* Whether the creators below can make this. They give kernels like those of convolution.h. */
bool winograd_suits(const struct convolution_shape *shape);

int winograd_forward_create(struct cpu_device *device, const struct convolution_shape *shape,
                            struct kernel **out, struct error *err);
int winograd_backward_data_create(struct cpu_device *device, const struct convolution_shape *shape,
                                  struct kernel **out, struct error *err);
int winograd_backward_weight_create(struct cpu_device *device,
                                    const struct convolution_shape *shape, struct kernel **out,
                                    struct error *err);

#endif
