/* JPEG files to samples, with libjpeg.
 *
 * Stricter than most viewers: a file that ends early or has broken data is an error and not a
 * picture with a grey part.
 */
#ifndef API_PICTURES_JPEG_READ_H
#define API_PICTURES_JPEG_READ_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct raster;

/* bytes: the whole file. out: GREY, RGB or CMYK of 8 bits, to be freed by raster_fini().
 * 0, -EINVAL (not a JPEG we can read, or with a side above RASTER_SIDE_MAX_PX), -E2BIG (more than
 * pixels_max), -ENOMEM; out is then untouched. Thread: any. */
int jpeg_read(const uint8_t *bytes, size_t n_bytes, size_t pixels_max, struct raster *out,
              struct error *err);

#endif
