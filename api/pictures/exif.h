/* How a camera was held: the orientation in a picture's Exif data, which viewers turn it by, or where
 * there is none in its XMP data.
 */
#ifndef API_PICTURES_EXIF_H
#define API_PICTURES_EXIF_H

#include <stddef.h>
#include <stdint.h>

/* exif: a TIFF file without pictures, as JPEG and PNG have it. 1 .. 8, 1 is as it is; 0: there is none,
 * or it cannot be read. */
int exif_orientation(const uint8_t *exif, size_t n);

/* The same of XMP, which is XML in UTF-8: its tiff:Orientation, an attribute or an element. */
int exif_orientation_of_xmp(const char *xmp, size_t n);

/* The same of Exif data as ImageMagick and others write them into text of a PNG: a name, the number
 * of bytes, and these in hexadecimal. */
int exif_orientation_of_hex(const char *text, size_t n);

/* Turns rgb, malloc'ed [h,w,3], and gives it back with its new size. NULL without memory: rgb is
 * then as it was. */
uint8_t *exif_turn(int orientation, uint8_t *rgb, int *w, int *h);

#endif
