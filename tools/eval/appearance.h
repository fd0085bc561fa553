/* What a set of pictures varies by: the power of luma and chroma in bands of frequency, and how many
 * numbers are cut off. What networks see through, and people do not.
 */
#ifndef TOOLS_EVAL_APPEARANCE_H
#define TOOLS_EVAL_APPEARANCE_H

#include "model/fit/gaussian.h"

#include <stdint.h>

struct error;

struct appearance {
    int n_bands;                       /* of gaussian.h */
    double luma[GAUSSIAN_BANDS_MAX];   /* variance of the set in the band */
    double chroma[GAUSSIAN_BANDS_MAX]; /* of both differences together */
    double clipped;                    /* share of the numbers that are 0 or 255 */
};

/* pixels [n,side,side,3] RGB, n >= 2. 0 or -ENOMEM. */
int appearance_of_pixels(int n, int side, const uint8_t *pixels, struct appearance *out,
                         struct error *err);

/* How far powers are from those of a reference: the root mean square of the logarithms of their ratios
 * over all bands of luma and chroma. */
double appearance_difference(const struct appearance *a, const struct appearance *reference);

#endif
