#include "api/pictures/jpeg_read.h"
#include "api/pictures/exif.h"
#include "api/pictures/raster.h"
#include "engine/base/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

enum {
    MARKER_EXIF = JPEG_APP0 + 1,
    /* and XMP */ MARKER_ICC = JPEG_APP0 + 2,
    MARKER_BYTES = 0xFFFF
};

/* All that is changed between setjmp() and longjmp() lies behind a pointer. */
struct reader {
    struct jpeg_error_mgr errors; /* first: libjpeg hands back a pointer to it */
    jmp_buf jump;
    bool out_of_memory;
    bool lenient; /* what is warned of does not concern the pixels */
    char text[JMSG_LENGTH_MAX];
    struct jpeg_decompress_struct info;
    struct raster raster;
};

static void fail(j_common_ptr info)
{
    struct reader *r = (struct reader *)info->err;

    r->errors.format_message(info, r->text);
    r->out_of_memory = r->errors.msg_code == JERR_OUT_OF_MEMORY;
    longjmp(r->jump, 1);
}

/* Level -1 is a warning: the data are corrupt and libjpeg would go on with a guess. */
static void message(j_common_ptr info, int level)
{
    if (level < 0 && !((struct reader *)info->err)->lenient)
        fail(info);
}

/* The first marker's data after what they are called; NULL: there are none. */
static const uint8_t *find_marker(const struct reader *r, const char *name, size_t name_size,
                                  size_t *size)
{
    for (jpeg_saved_marker_ptr m = r->info.marker_list; m; m = m->next) {
        if (m->marker == MARKER_EXIF && m->data_length > name_size &&
            memcmp(m->data, name, name_size) == 0) {
            *size = m->data_length - name_size;
            return m->data + name_size;
        }
    }
    return NULL;
}

static int read_orientation(const struct reader *r)
{
    static const char exif[6] = "Exif\0", xmp[] = "http://ns.adobe.com/xap/1.0/";
    int orientation = 0;
    const uint8_t *data;
    size_t size;

    data = find_marker(r, exif, sizeof(exif), &size);
    if (data)
        orientation = exif_orientation(data, size);
    data = find_marker(r, xmp, sizeof(xmp), &size);
    if (orientation == 0 && data)
        orientation = exif_orientation_of_xmp((const char *)data, size);
    return orientation ? orientation : 1;
}

/* Profile and orientation. Without memory for the profile libjpeg's error handler is called. */
static void read_markers(struct reader *r)
{
    unsigned int icc_size = 0;

    r->raster.orientation = read_orientation(r);
    r->lenient = true;
    if (jpeg_read_icc_profile(&r->info, &r->raster.icc, &icc_size))
        r->raster.icc_size = icc_size;
    r->lenient = false;
}

static void choose_model(struct reader *r)
{
    switch (r->info.jpeg_color_space) {
    case JCS_GRAYSCALE:
        r->raster.model = RASTER_GREY;
        r->info.out_color_space = JCS_GRAYSCALE;
        break;
    case JCS_CMYK:
    case JCS_YCCK:
        r->raster.model = RASTER_CMYK;
        r->info.out_color_space = JCS_CMYK;
        break;
    default:
        r->raster.model = RASTER_RGB;
        r->info.out_color_space = JCS_RGB;
    }
}

/* 0, or an error with a text. */
static int read_all(struct reader *r, const uint8_t *bytes, size_t n_bytes, size_t pixels_max)
{
    size_t row_bytes;

    if (setjmp(r->jump))
        return r->out_of_memory ? -ENOMEM : -EINVAL;
    jpeg_create_decompress(&r->info);
    jpeg_mem_src(&r->info, bytes, (unsigned long)n_bytes);
    jpeg_save_markers(&r->info, MARKER_EXIF, MARKER_BYTES);
    jpeg_save_markers(&r->info, MARKER_ICC, MARKER_BYTES);
    jpeg_read_header(&r->info, TRUE);
    if (r->info.image_width > RASTER_SIDE_MAX_PX || r->info.image_height > RASTER_SIDE_MAX_PX) {
        snprintf(r->text, sizeof(r->text), "%ux%u is larger than %d px", r->info.image_width,
                 r->info.image_height, RASTER_SIDE_MAX_PX);
        return -EINVAL;
    }
    if ((size_t)r->info.image_width * r->info.image_height > pixels_max) {
        snprintf(r->text, sizeof(r->text), "%ux%u is more than %zu pixels", r->info.image_width,
                 r->info.image_height, pixels_max);
        return -E2BIG;
    }
    read_markers(r);
    choose_model(r);
    jpeg_start_decompress(&r->info);
    r->raster.w = (int)r->info.output_width;
    r->raster.h = (int)r->info.output_height;
    r->raster.depth = 8;
    row_bytes = r->info.output_width * (size_t)raster_channels(&r->raster);
    r->raster.samples = malloc(row_bytes * r->info.output_height);
    if (!r->raster.samples) {
        snprintf(r->text, sizeof(r->text), "out of memory for %ux%u", r->info.output_width,
                 r->info.output_height);
        return -ENOMEM;
    }
    while (r->info.output_scanline < r->info.output_height) {
        JSAMPROW row = r->raster.samples + row_bytes * r->info.output_scanline;

        jpeg_read_scanlines(&r->info, &row, 1);
    }
    jpeg_finish_decompress(&r->info);
    return 0;
}

int jpeg_read(const uint8_t *bytes, size_t n_bytes, size_t pixels_max, struct raster *out,
              struct error *err)
{
    struct reader *r = calloc(1, sizeof(*r));
    int rc;

    if (!r)
        return error_set(err, -ENOMEM, "out of memory decoding a JPEG");
    r->info.err = jpeg_std_error(&r->errors);
    r->errors.error_exit = fail;
    r->errors.emit_message = message;
    rc = read_all(r, bytes, n_bytes, pixels_max);
    jpeg_destroy_decompress(&r->info);
    if (rc < 0) {
        error_set(err, rc, "could not decode a JPEG: %s", r->text);
        raster_fini(&r->raster);
    } else {
        *out = r->raster;
    }
    free(r);
    return rc;
}
