/* The proof that a configuration of cuDNN gives an image the same bits in whatever company: it is run for
 * 1, 2, 4, ... images on the same random ones, and the results are compared; and that it can be had for
 * as many images as a cut may have.
 *
 * Only forward products are put to it: gradients are summed over the images anyway.
 */
#ifndef ENGINE_CUDA_PROOF_H
#define ENGINE_CUDA_PROOF_H

#include "engine/cuda/product.h"

struct cuda_device;
struct error;

/* name: one of cudnn_convolution_names(). Waits; its memory is freed again. What it finds is kept with the
 * device. 0 with *kept set; -ENOMEM, -EIO. */
int proof_run(struct cuda_device *device, const struct product *product, const char *name,
              bool *kept, struct error *err);

#endif
