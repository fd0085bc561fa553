/* JPEG files to RGB pixels, with libjpeg.
 *
 * Stricter than most viewers: a file that ends early or has broken data is an error and not a
 * picture with a grey part.
 */
#ifndef API_PICTURES_JPEG_H
#define API_PICTURES_JPEG_H

#include <stddef.h>
#include <stdint.h>

struct error;

/* bytes: the whole file. rgb [h,w,3], owned by the caller (free). Grey pictures become RGB.
 * 0, -EINVAL (not a JPEG we can read; larger than 16384 px), -ENOMEM. Thread: any. */
int jpeg_decode(const uint8_t *bytes, size_t n_bytes, int *w, int *h, uint8_t **rgb,
                struct error *err);

#endif
