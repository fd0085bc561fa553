/* Features without a network: how bright a picture is and how strong its edges are, by place, colour,
 * scale and direction. They know nothing of what SqueezeNet has learned, and so are a second opinion.
 *
 * After Oliva and Torralba 2001, "Modeling the shape of the scene", with differences of neighbours
 * in the place of Gabor filters: for luma and both chromas, in 4 x 4 fields of the picture, the mean, and
 * of the picture and its halves and quarters the mean size of the difference to the neighbour in four
 * directions.
 */
#ifndef TOOLS_EVAL_GIST_H
#define TOOLS_EVAL_GIST_H

#include <stdint.h>

struct error;

enum {
    GIST_FIELDS = 16,
    GIST_SCALES = 3,
    GIST_DIRECTIONS = 4,
    GIST_COLOURS = 3,
    GIST_FEATURES = GIST_COLOURS * GIST_FIELDS * (1 + GIST_SCALES * GIST_DIRECTIONS),
    GIST_SIDE_MIN = 16
};

/* pixels [n,side,side,3] RGB, side >= GIST_SIDE_MIN -> out [n,GIST_FEATURES]. 0 or -ENOMEM. */
int gist_compute(int n, int side, const uint8_t *pixels, double *out, struct error *err);

/* Brings features to the mean 0 and standard deviation 1 of a reference [n,GIST_FEATURES], which is
 * brought there itself; what varies there by less than a step of a byte, 1/255, counts in such steps. */
void gist_standardise(int n, double *reference, double mean[GIST_FEATURES],
                      double deviation[GIST_FEATURES]);
void gist_scale(int n, double *features, const double mean[GIST_FEATURES],
                const double deviation[GIST_FEATURES]);

/* RGB bytes of a pixel to luma, blue and red difference in [0,1] and [-0.5,0.5] (BT.601). */
void gist_colours(const uint8_t *rgb, double out[GIST_COLOURS]);

#endif
