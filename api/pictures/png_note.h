/* Texts of PNG files, without decoding them.
 *
 * Thread: any.
 */
#ifndef API_PICTURES_PNG_NOTE_H
#define API_PICTURES_PNG_NOTE_H

#include <stddef.h>
#include <stdint.h>

/* The text of the first tEXt chunk with this key, NUL terminated. Checksums are not looked at.
 * 0, -EINVAL (not a PNG, or cut off before the chunk), -ENOENT (none, or one of out_size bytes and
 * more). */
int png_note_read(const uint8_t *bytes, size_t size, const char *key, char *out, size_t out_size);

#endif
