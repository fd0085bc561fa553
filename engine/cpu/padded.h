/* Winograd's convolutions of any number of channels: on copies of the activations with channels of
 * zeros up to the next multiple of 32, which winograd.h wants. The copies cost a pass over each
 * activation.
 */
#ifndef ENGINE_CPU_PADDED_H
#define ENGINE_CPU_PADDED_H

#include "engine/cpu/convolution.h"

/* Whether the creator below can make this: what winograd_suits() would take if it were wider, where
 * zeros are less than half of it. */
bool padded_suits(const struct convolution_shape *shape);

/* Forward, or a gradient, by the kind of the shape. Kernels are like those of convolution.h. */
int padded_create(struct cpu_device *device, const struct convolution_shape *shape,
                  struct kernel **out, struct error *err);

#endif
