/* 3x3 convolutions with fewer products: Winograd's F(2x2, 3x3), bfloat16.
 *
 * Source: Lavin and Gray 2016 (arXiv:1509.09308), sections 4.1 and 4.2; the transforms B, G, A are
 * their equation 8, and the gradients follow from y = A^T [(G g G^T) (B^T d B)] A being linear in
 * both d and g.
 *
 * 16 products give what 36 do directly. The transformed inputs and weights are rounded to
 * bfloat16 once more: results are off by 0.4 % of their size, against 0.2 % for the direct way.
 * Worth it only where products are the bottleneck: with AVX512-BF16, not with AMX.
 */
#ifndef ENGINE_CPU_WINOGRAD_H
#define ENGINE_CPU_WINOGRAD_H

#include "engine/cpu/convolution.h"

/* Whether the creators below should be used. They give kernels like those of convolution.h. */
bool winograd_suits(const struct cpu_device *device, const struct convolution_shape *shape);

int winograd_forward_create(const struct convolution_shape *shape, struct kernel **out,
                            struct error *err);
int winograd_backward_data_create(const struct convolution_shape *shape, struct kernel **out,
                                  struct error *err);
int winograd_backward_weight_create(const struct convolution_shape *shape, struct kernel **out,
                                    struct error *err);

#endif
