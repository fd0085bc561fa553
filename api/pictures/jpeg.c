#include "api/pictures/jpeg.h"
#include "engine/base/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

enum { SIDE_MAX = 16384 };

struct handler {
    struct jpeg_error_mgr base; /* first: libjpeg hands back a pointer to it */
    jmp_buf jump;
    char text[JMSG_LENGTH_MAX];
};

static void fail(j_common_ptr info)
{
    struct handler *handler = (struct handler *)info->err;

    handler->base.format_message(info, handler->text);
    longjmp(handler->jump, 1);
}

/* Level -1 is a warning: the data are corrupt and libjpeg would go on with a guess. */
static void message(j_common_ptr info, int level)
{
    if (level < 0)
        fail(info);
}

int jpeg_decode(const uint8_t *bytes, size_t n_bytes, int *w, int *h, uint8_t **rgb,
                struct error *err)
{
    struct jpeg_decompress_struct info;
    struct handler handler;
    uint8_t *volatile out = NULL; /* volatile: read after longjmp() */
    size_t row_bytes;

    info.err = jpeg_std_error(&handler.base);
    handler.base.error_exit = fail;
    handler.base.emit_message = message;
    if (setjmp(handler.jump)) {
        free(out);
        jpeg_destroy_decompress(&info);
        return error_set(err, -EINVAL, "broken JPEG: %s", handler.text);
    }
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, bytes, (unsigned long)n_bytes);
    jpeg_read_header(&info, TRUE);
    if (info.image_width > SIDE_MAX || info.image_height > SIDE_MAX) {
        jpeg_destroy_decompress(&info);
        return error_set(err, -EINVAL, "JPEG is larger than %d px", SIDE_MAX);
    }
    info.out_color_space = JCS_RGB;
    jpeg_start_decompress(&info);
    row_bytes = (size_t)info.output_width * 3;
    out = malloc(row_bytes * info.output_height);
    if (!out) {
        jpeg_destroy_decompress(&info);
        return error_set(err, -ENOMEM, "out of memory for a JPEG of %ux%u", info.output_width,
                         info.output_height);
    }
    while (info.output_scanline < info.output_height) {
        JSAMPROW row = out + row_bytes * info.output_scanline;

        jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_finish_decompress(&info);
    *w = (int)info.output_width;
    *h = (int)info.output_height;
    *rgb = out;
    jpeg_destroy_decompress(&info);
    return 0;
}
