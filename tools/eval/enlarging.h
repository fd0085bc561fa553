/* Pictures of bytes to the size that a network wants, not rounded to bytes again. */
#ifndef TOOLS_EVAL_ENLARGING_H
#define TOOLS_EVAL_ENLARGING_H

#include <stdint.h>

struct error;

/* Bilinear between the centres of the four nearest pixels, also where the picture gets smaller: what
 * PyTorch's interpolate() does without align_corners and antialias, in its arithmetic of float32.
 * src [from,from,3] -> dst [to,to,3], numbers of 0 .. 255. 0 or -ENOMEM. Thread: any. */
int enlarging_bilinear(const uint8_t *src, int from, int to, float *dst, struct error *err);

#endif
