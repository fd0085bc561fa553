/* Pictures in files as a viewer shows them: sRGB, upright, on white.
 *
 * Files are told by what is in them. What is read (PNG, JPEG) is converted to sRGB (srgb.h), laid on
 * white where it is transparent, as a page in a browser shows it, and turned by its Exif data, or where
 * these do not say it by its XMP data.
 * Thread: any; there is no state.
 */
#ifndef API_PICTURES_PICTURE_H
#define API_PICTURES_PICTURE_H

#include <stddef.h>
#include <stdint.h>

struct error;

enum picture_format {
    PICTURE_NONE, /* no picture, or of a format that is not known */
    PICTURE_PNG,
    PICTURE_JPEG,
    PICTURE_READ = PICTURE_JPEG, /* those up to here can be decoded, the others only named */
    PICTURE_GIF,
    PICTURE_BMP,
    PICTURE_WEBP,
    PICTURE_TIFF,
    PICTURE_AVIF,
    PICTURE_HEIC,
    PICTURE_JPEG_XL,
    PICTURE_JPEG_2000,
    PICTURE_FORMATS,
};

enum { PICTURE_HEAD_BYTES = 16 };

const char *picture_format_name(enum picture_format f); /* "PNG", "JPEG 2000", ... */

/* Of a file's first bytes, PICTURE_HEAD_BYTES of them if it is so long. */
enum picture_format picture_format_of(const uint8_t *bytes, size_t n);

/* bytes: the whole file. rgb: malloc'ed [h,w,3], owned by the caller.
 * 0, -EINVAL (of another format, which the text names, damaged, truncated, or with a side above
 * 16384 px), -E2BIG (more than pixels_max), -ENOMEM; w, h and rgb are then untouched. */
int picture_decode(const uint8_t *bytes, size_t n, size_t pixels_max, int *w, int *h, uint8_t **rgb,
                   struct error *err);

#endif
