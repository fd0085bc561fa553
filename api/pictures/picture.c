#include "api/pictures/picture.h"
#include "api/pictures/exif.h"
#include "api/pictures/jpeg_read.h"
#include "api/pictures/png_read.h"
#include "api/pictures/raster.h"
#include "api/pictures/srgb.h"
#include "engine/base/error.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[PICTURE_FORMATS] = {
    "unknown", "PNG", "JPEG", "GIF", "BMP", "WebP", "TIFF", "AVIF", "HEIC", "JPEG XL", "JPEG 2000",
};

/* How files begin. `size` bytes at `offset`; ISO media files have their kind at 4. */
static const struct signature {
    enum picture_format format;
    size_t offset, size;
    const char *bytes;
} signatures[] = {
    {PICTURE_PNG, 0, 8, "\x89PNG\r\n\x1a\n"},
    {PICTURE_JPEG, 0, 3, "\xff\xd8\xff"},
    {PICTURE_GIF, 0, 4, "GIF8"},
    {PICTURE_BMP, 6, 4, "\0\0\0\0"}, /* and "BM", below */
    {PICTURE_WEBP, 8, 4, "WEBP"},
    {PICTURE_TIFF, 0, 4, "II*\0"},
    {PICTURE_TIFF, 0, 4, "MM\0*"},
    {PICTURE_AVIF, 4, 8, "ftypavif"},
    {PICTURE_AVIF, 4, 8, "ftypavis"},
    {PICTURE_HEIC, 4, 8, "ftypheic"},
    {PICTURE_HEIC, 4, 8, "ftypheix"},
    {PICTURE_HEIC, 4, 8, "ftypmif1"},
    {PICTURE_JPEG_XL, 0, 2, "\xff\x0a"},
    {PICTURE_JPEG_XL, 0, 12, "\0\0\0\x0cJXL \r\n\x87\n"},
    {PICTURE_JPEG_2000, 0, 12, "\0\0\0\x0cjP  \r\n\x87\n"},
    {PICTURE_JPEG_2000, 0, 4, "\xff\x4f\xff\x51"},
};

const char *picture_format_name(enum picture_format f)
{
    return names[f];
}

enum picture_format picture_format_of(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < sizeof(signatures) / sizeof(signatures[0]); i++) {
        const struct signature *s = &signatures[i];

        if (n < s->offset + s->size || memcmp(bytes + s->offset, s->bytes, s->size) != 0)
            continue;
        if (s->format == PICTURE_BMP && memcmp(bytes, "BM", 2) != 0)
            continue;
        if (s->format == PICTURE_WEBP && memcmp(bytes, "RIFF", 4) != 0)
            continue;
        return s->format;
    }
    return PICTURE_NONE;
}

/* On white; takes the samples of r. */
static int flatten(struct raster *r, uint8_t **out, struct error *err)
{
    size_t n = (size_t)r->w * (size_t)r->h, channels = (size_t)raster_channels(r);
    bool grey = r->model == RASTER_GREY;
    uint8_t *rgb;

    if (!grey && !r->alpha) {
        *out = r->samples;
        r->samples = NULL;
        return 0;
    }
    rgb = malloc(n * 3);
    if (!rgb)
        return error_set(err, -ENOMEM, "out of memory for a picture of %dx%d", r->w, r->h);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *sample = r->samples + i * channels;
        unsigned int alpha = r->alpha ? sample[channels - 1] : 255;

        for (size_t c = 0; c < 3; c++) {
            unsigned int color = sample[grey ? 0 : c];

            rgb[3 * i + c] = (uint8_t)((color * alpha + 255 * (255 - alpha) + 127) / 255);
        }
    }
    *out = rgb;
    return 0;
}

int picture_decode(const uint8_t *bytes, size_t n, size_t pixels_max, int *w, int *h, uint8_t **rgb,
                   struct error *err)
{
    enum picture_format format = picture_format_of(bytes, n);
    struct raster r = {0};
    uint8_t *flat = NULL, *turned;
    int rc;

    if (format == PICTURE_PNG)
        rc = png_read(bytes, n, pixels_max, &r, err);
    else if (format == PICTURE_JPEG)
        rc = jpeg_read(bytes, n, pixels_max, &r, err);
    else if (format == PICTURE_NONE)
        rc = error_set(err, -EINVAL, "neither PNG nor JPEG");
    else
        rc = error_set(err, -EINVAL, "it is %s, not PNG or JPEG", names[format]);
    if (rc == 0)
        rc = srgb_convert(&r, err);
    if (rc == 0)
        rc = flatten(&r, &flat, err);
    if (rc < 0)
        goto out;
    turned = exif_turn(r.orientation, flat, &r.w, &r.h);
    if (!turned) {
        rc = error_set(err, -ENOMEM, "out of memory turning a picture of %dx%d", r.w, r.h);
        goto out;
    }
    *w = r.w;
    *h = r.h;
    *rgb = turned;
    flat = NULL;

out:
    free(flat);
    raster_fini(&r);
    return rc;
}
