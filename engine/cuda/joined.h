/* Steps of a plan that one launch does. Each costs two microseconds or more however little there is to do:
 *
 *     element by element   load, store, normal, mix, add, affine, pixels, one reading what another wrote: most
 *                          of a sampler's step
 *     concat, group norm   the norm reads both sides, and writes the concatenation for who else reads it: the
 *                          shortcut. Two convolutions, one adding to the other, would not want it, but write and
 *                          read half as many channels in between: as many bytes, and a launch more
 *     toeplitz             of images of one size: the corruptions of a sampler's step
 *     linear               of one vector: what all blocks of a network are told of the time
 *
 * Bits are those of the steps alone.
 */
#ifndef ENGINE_CUDA_JOINED_H
#define ENGINE_CUDA_JOINED_H

#include "engine/device.h"

/* A step with its operands. */
struct placed_step {
    const struct kernel *kernel;
    struct kernel_args args;
    const void *in[OP_INPUTS_MAX];
    void *out[OP_OUTPUTS_MAX];
};

/* No more steps than that are joined. */
enum { JOINED_MAX = 64 };

/* Entry of struct device_ops. */
bool cuda_joins(const struct kernel *before, const struct kernel *kernel,
                const struct step_link *link);

/* Enqueues steps that are joined, n > 1. 0, -ENODEV or -EIO. */
int joined_enqueue(const struct placed_step *steps, int n, void *queue, struct error *err);

#endif
