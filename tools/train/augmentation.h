/* Augmented training images, and what the network is told of them (model/augmentation.h).
 *
 * Source: Karras et al. 2022 (arXiv:2206.00364), appendix F.2, and training/augment.py of NVlabs/edm. Each
 * of the changes below is made with the same probability, by their amounts for CIFAR-10: turned upside
 * down; scaled by 2^(0.2 n); rotated by any angle; stretched by 2^(0.2 n) along one axis and shrunk across it,
 * an axis of the image or, every other time, any; shifted by n / 8 of the side in either direction; n are
 * normal.
 * Differs: pixels between pixels are cubic (Catmull and Rom 1974), where they have a wavelet's filter.
 * Beyond the border the image is mirrored. Horizontal mirrors are the recipe's data.flip.
 * Thread: any; there is no state.
 */
#ifndef TOOLS_TRAIN_AUGMENTATION_H
#define TOOLS_TRAIN_AUGMENTATION_H

#include "model/augmentation.h"

#include <stdbool.h>

struct philox_key;

struct augmentation {
    bool any; /* false: the image stays as it is */
    /* Where a pixel comes from: its place in the source, from the centre in px, is
     * (m[0] x + m[1] y + m[2], m[3] x + m[4] y + m[5]) for that at (x, y) of the result. */
    double m[6];
    float told[AUGMENTATION_NUMBERS]; /* 0 where not any */
};

/* How the example of this key is augmented, with a probability for each change. */
void augmentation_draw(double probability, const struct philox_key *key, int side,
                       struct augmentation *out);

/* src [side,side,channels] -> dst, in [0,1]. */
void augmentation_apply(const struct augmentation *a, int side, int channels, const float *src,
                        float *dst);

#endif
