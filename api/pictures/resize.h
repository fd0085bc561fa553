/* Any picture to a square of one size: a centred square is cut out and resized.
 *
 * The filter is a triangle as wide as the pixels of the coarser grid (antialiased bilinear, as in
 * the preparation of CelebA-64), normalised at the border, computed in float and rounded once.
 */
#ifndef API_PICTURES_RESIZE_H
#define API_PICTURES_RESIZE_H

#include <stdint.h>

struct error;

/* src [h,w,channels] -> dst [side,side,channels]. crop: side_px of the square, cut down to the
 * shorter side; 0: the shorter side. An equal size is copied exactly.
 * 0 or -ENOMEM. Thread: any. */
int resize_square(const uint8_t *src, int w, int h, int channels, int crop, int side, uint8_t *dst,
                  struct error *err);

#endif
