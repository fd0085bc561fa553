/* libpng reports errors by longjmp. Encoding therefore runs inside one function that keeps
 * everything it changes behind a pointer, so that nothing is lost with the registers.
 */
#include "api/pictures/png.h"

#include "engine/base/error.h"

#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { COMPRESSION_LEVEL = 3 };

struct codec {
    png_structp png;
    png_infop info;
    char message[128]; /* libpng's last error */
    bool out_of_memory;
    uint8_t *out; /* malloc'ed */
    size_t size, capacity;
    int w, h;
};

static void on_error(png_structp png, png_const_charp message)
{
    struct codec *c = png_get_error_ptr(png);

    strncpy(c->message, message, sizeof(c->message) - 1);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
}

static png_voidp allocate(png_structp png, png_alloc_size_t size)
{
    struct codec *c = png_get_mem_ptr(png);
    void *p = malloc(size);

    c->out_of_memory |= !p;
    return p;
}

static void release(png_structp png, png_voidp p)
{
    free(p);
}

static void on_write(png_structp png, png_bytep bytes, png_size_t n)
{
    struct codec *c = png_get_io_ptr(png);
    size_t capacity = c->capacity ? c->capacity : 4096;
    uint8_t *grown;

    while (capacity - c->size < n)
        capacity *= 2;
    if (capacity > c->capacity) {
        grown = realloc(c->out, capacity);
        if (!grown) {
            c->out_of_memory = true;
            png_error(png, "out of memory");
        }
        c->out = grown;
        c->capacity = capacity;
    }
    memcpy(c->out + c->size, bytes, n);
    c->size += n;
}

static void on_flush(png_structp png)
{
}

static int write_all(struct codec *c, int channels, const uint8_t *pixels, png_text *chunks,
                     int n_chunks)
{
    size_t stride = (size_t)c->w * (size_t)channels;

    if (setjmp(png_jmpbuf(c->png)))
        return c->out_of_memory ? -ENOMEM : -EINVAL;
    png_set_write_fn(c->png, c, on_write, on_flush);
    png_set_IHDR(c->png, c->info, (png_uint_32)c->w, (png_uint_32)c->h, 8,
                 channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_compression_level(c->png, COMPRESSION_LEVEL);
    png_set_filter(c->png, PNG_FILTER_TYPE_BASE, PNG_FILTER_SUB);
    if (n_chunks > 0) /* libpng copies them */
        png_set_text(c->png, c->info, chunks, n_chunks);
    png_write_info(c->png, c->info);
    for (int y = 0; y < c->h; y++)
        png_write_row(c->png, pixels + (size_t)y * stride);
    png_write_end(c->png, NULL);
    return c->out_of_memory ? -ENOMEM : 0; /* it may have left something out */
}

static int set_chunks(const struct png_note *notes, int n, png_text *out, struct error *err)
{
    if (n > PNG_NOTES_MAX)
        return error_set(err, -EINVAL, "a PNG is written with at most %d notes", PNG_NOTES_MAX);
    for (int i = 0; i < n; i++) {
        if (!*notes[i].key || strlen(notes[i].key) > 79)
            return error_set(err, -EINVAL, "the key of a PNG text has 1 to 79 characters");
        out[i] = (png_text){
            .compression =
                notes[i].international ? PNG_ITXT_COMPRESSION_NONE : PNG_TEXT_COMPRESSION_NONE,
            .key = (png_charp)(uintptr_t)notes[i].key,
            .text = (png_charp)(uintptr_t)notes[i].text,
        };
        if (notes[i].international)
            out[i].itxt_length = strlen(notes[i].text);
        else
            out[i].text_length = strlen(notes[i].text);
    }
    return 0;
}

int png_encode(int w, int h, int channels, const uint8_t *pixels, const struct png_note *notes,
               int n_notes, uint8_t **out, size_t *size, struct error *err)
{
    struct codec c = {.w = w, .h = h};
    png_text chunks[PNG_NOTES_MAX];
    int rc;

    if (w < 1 || w > PNG_SIDE_MAX_PX || h < 1 || h > PNG_SIDE_MAX_PX ||
        (channels != 1 && channels != 3))
        return error_set(err, -EINVAL, "cannot encode a PNG of %d x %d px with %d channels", w, h,
                         channels);
    rc = set_chunks(notes, n_notes, chunks, err);
    if (rc < 0)
        return rc;

    c.png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, &c, on_error, on_warning, &c, allocate,
                                      release);
    c.info = c.png ? png_create_info_struct(c.png) : NULL;
    if (!c.info) {
        rc = error_set(err, -ENOMEM, "out of memory encoding a PNG");
        goto out;
    }
    rc = write_all(&c, channels, pixels, chunks, n_notes);
    if (rc < 0) {
        error_set(err, rc, "could not encode a PNG: %s",
                  c.out_of_memory ? "out of memory" : c.message);
        goto out;
    }
    *out = c.out;
    *size = c.size;
    c.out = NULL;
out:
    png_destroy_write_struct(&c.png, &c.info);
    free(c.out);
    return rc;
}
