/* Generated images as PNG files: one, or many side by side. */
#ifndef TOOLS_PICTURES_SHEET_H
#define TOOLS_PICTURES_SHEET_H

#include <stdint.h>

struct error;

/* Writes n images [n,side,side,channels], 1 or 3 channels, in rows of `columns` with 2 px of
 * black between them (a single image has no border). The file appears whole or not at all.
 * 0, -errno, -EINVAL, -ENOMEM; the text names the file. */
int sheet_write(const char *path, int n, int side, int channels, const uint8_t *pixels, int columns,
                struct error *err);

#endif
