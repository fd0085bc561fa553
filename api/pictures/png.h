/* Pixels to PNG files in memory.
 *
 * Encoding is deterministic: the same pixels and text give the same bytes with one build of
 * libpng and zlib (level 3, the Sub filter on every row, no time stamp, no gamma).
 * Thread: any; there is no state.
 */
#ifndef API_PICTURES_PNG_H
#define API_PICTURES_PNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

enum { PNG_SIDE_MAX_PX = 16384, PNG_NOTES_MAX = 8 };

/* A text chunk: tEXt, whose text is Latin-1, or iTXt, whose text is UTF-8. */
struct png_note {
    const char *key; /* 1 .. 79 characters */
    const char *text;
    bool international; /* iTXt */
};

/* Encodes w x h pixels of 1 (grey) or 3 (RGB) channels with 8 bits, row by row without padding.
 *
 * notes      [n_notes], at most PNG_NOTES_MAX; before the pixels
 * out, size  malloc'ed file, owned by the caller
 *
 * 0, -EINVAL (size, channels or a text's key), -ENOMEM.
 */
int png_encode(int w, int h, int channels, const uint8_t *pixels, const struct png_note *notes,
               int n_notes, uint8_t **out, size_t *size, struct error *err);

#endif
