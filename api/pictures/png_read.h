/* PNG files to samples, with libpng.
 *
 * Palettes are expanded, transparent colours become alpha, fewer bits than 8 become 8.
 */
#ifndef API_PICTURES_PNG_READ_H
#define API_PICTURES_PNG_READ_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct raster;

/* bytes: the whole file. out: GREY or RGB, to be freed by raster_fini().
 * 0, -EINVAL (not a PNG, damaged, truncated, with a side above RASTER_SIDE_MAX_PX, or of colours that
 * cicp.h does not know), -E2BIG (more than pixels_max), -ENOMEM; out is then untouched. Thread: any. */
int png_read(const uint8_t *bytes, size_t n_bytes, size_t pixels_max, struct raster *out,
             struct error *err);

#endif
