/* The algorithms of the cpu device for operations that it can compute in several ways: convolutions
 * of images and their gradients.
 *
 *     winograd         fewer products, in 16 bits (winograd.h); bf16, channels a multiple of 32
 *     direct           oneDNN; forward, an image is split into bands for several threads
 *     whole            oneDNN, forward, with images left whole
 *     winograd-padded  the first, for other numbers of channels (padded.h)
 *
 * Each computes an image the same way whatever stands beside it in the batch.
 */
#ifndef ENGINE_CPU_ALGORITHMS_H
#define ENGINE_CPU_ALGORITHMS_H

#include "engine/device.h"

/* Entry of struct device_ops. */
int cpu_algorithms(struct device *device, const struct kernel_spec *spec,
                   const char *names[DEVICE_ALGORITHMS_MAX]);

#endif
