/* Pixels to PNG files in memory.
 *
 * Encoding is deterministic: the same pixels and text give the same bytes with one build of
 * libpng and zlib (level 3, the Sub filter on every row, no time stamp, no gamma).
 * Thread: any; there is no state.
 */
#ifndef API_PICTURES_PNG_H
#define API_PICTURES_PNG_H

#include <stddef.h>
#include <stdint.h>

struct error;

enum { PNG_SIDE_MAX_PX = 16384 };

/* Encodes w x h pixels of 1 (grey) or 3 (RGB) channels with 8 bits, row by row without padding.
 *
 * text_key, text  one tEXt chunk, Latin-1; key 1 .. 79 characters; both NULL: none
 * out, size       malloc'ed file, owned by the caller
 *
 * 0, -EINVAL (size, channels or key), -ENOMEM.
 */
int png_encode(int w, int h, int channels, const uint8_t *pixels, const char *text_key,
               const char *text, uint8_t **out, size_t *size, struct error *err);

#endif
