/* Texts of PNG files that may be packed (zTXt, iTXt). libpng would unpack every one, and 12 MB can hold as many GB;
 * here one is unpacked where somebody wants it. Thread: any.
 */
#ifndef API_PICTURES_PNG_TEXT_H
#define API_PICTURES_PNG_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* The text of a chunk's `size` bytes of data, if the chunk has this name and its text this key. *text: malloc'ed, with no
 * NUL behind it, of *n bytes. 0; -ENOENT: another chunk; -EINVAL: damaged, or longer than max; -ENOMEM. */
int png_text_read(const char *name, const uint8_t *data, size_t size, const char *key, size_t max,
                  char **text, size_t *n);

#endif
