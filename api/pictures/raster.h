/* A picture as its file has it, before its colours are made ours: what png_read.h and jpeg_read.h
 * make and picture.h takes apart.
 */
#ifndef API_PICTURES_RASTER_H
#define API_PICTURES_RASTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RASTER_SIDE_MAX_PX = 16384 };

enum raster_model {
    RASTER_GREY,
    RASTER_RGB,
    RASTER_CMYK, /* 255 is no ink, as Adobe's programs and after them all others write it */
};

/* How numbers mean light where the file has no ICC profile. */
struct raster_colors {
    bool given;          /* false: sRGB */
    double curve[5];     /* g, a, b, c, d: light = (a sample + b)^g from d on, c sample below */
    double white[2];     /* chromaticities x, y */
    double primaries[6]; /* of red, green and blue */
};

struct raster {
    int w, h;
    enum raster_model model;
    bool alpha;       /* a channel after the colours, which are not multiplied by it */
    int depth;        /* 8, or 16 in the byte order of the machine */
    uint8_t *samples; /* owned [h,w,channels] */
    uint8_t *icc;     /* owned; NULL: none */
    size_t icc_size;
    struct raster_colors colors;
    int orientation; /* 1 .. 8, exif.h */
};

/* Colours and alpha. */
int raster_channels(const struct raster *r);

void raster_fini(struct raster *r);

#endif
