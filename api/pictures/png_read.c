/* libpng reports errors by longjmp. Reading therefore runs inside one function that keeps
 * everything it changes behind a pointer, so that nothing is lost with the registers.
 */
#include "api/pictures/png_read.h"
#include "api/pictures/cicp.h"
#include "api/pictures/exif.h"
#include "api/pictures/png_text.h"
#include "api/pictures/raster.h"
#include "engine/base/error.h"

#include <errno.h>
#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK_BYTES_MAX = 8 << 20,
    CHUNKS_MAX = 1000,
    SIGNATURE_BYTES = 8,
    CHUNK_HEAD_BYTES = 8,     /* length and name */
    SURPLUS_BYTES = 64 << 10, /* of packed pixels, when all pixels are there */
};
enum { LIBPNG_BYTES_MAX = CHUNK_BYTES_MAX + (1 << 20) }; /* also more than any row has */

/* Chromaticities of sRGB: white, red, green, blue. */
static const double srgb[8] = {0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06};

struct reader {
    png_structp png;
    png_infop info;
    char message[128]; /* libpng's last error */
    bool out_of_memory;
    const uint8_t *start, *data; /* the file, and what of it is next */
    size_t left;
    png_bytep *rows;
    struct raster raster;
};

static void on_error(png_structp png, png_const_charp message)
{
    struct reader *r = png_get_error_ptr(png);

    strncpy(r->message, message, sizeof(r->message) - 1);
    png_longjmp(png, 1);
}

/* Of chunks that concern no pixels, such as a profile: viewers pass over these, too. */
static void on_warning(png_structp png, png_const_charp message)
{
}

static void on_read(png_structp png, png_bytep bytes, png_size_t n)
{
    struct reader *r = png_get_io_ptr(png);

    if (n > r->left)
        png_error(png, "the file ends early");
    memcpy(bytes, r->data, n);
    r->data += n;
    r->left -= n;
}

static void *need(struct reader *r, size_t size)
{
    void *memory = malloc(size);

    r->out_of_memory = r->out_of_memory || !memory;
    return memory;
}

/* libpng only warns of chunks beyond png_set_chunk_malloc_max(), and clears as many bytes as one says
 * that it has, 2 GB in a file of a hundred. */
static png_voidp on_malloc(png_structp png, png_alloc_size_t size)
{
    return size <= LIBPNG_BYTES_MAX ? need(png_get_mem_ptr(png), size) : NULL;
}

static void on_free(png_structp png, png_voidp memory)
{
    free(memory);
}

static void *need_memory(struct reader *r, size_t size)
{
    void *memory = need(r, size);

    if (!memory)
        png_error(r->png, "out of memory");
    return memory;
}

/* Whether the file's gamma and chromaticities only say that it is sRGB. Many programs write
 * 1/2.2 for the gamma of sRGB, which has none. */
static bool is_srgb(double file_gamma, const double *chromaticities)
{
    if (fabs(file_gamma - 0.45455) > 0.005)
        return false;
    for (int i = 0; i < 8; i++) {
        if (fabs(chromaticities[i] - srgb[i]) > 0.002)
            return false;
    }
    return true;
}

/* What is in a chunk that this libpng may not know; NULL: there is none. */
static const png_unknown_chunk *find_chunk(struct reader *r, const char *name)
{
    png_unknown_chunkp chunks;
    int n = png_get_unknown_chunks(r->png, r->info, &chunks);

    for (int i = 0; i < n; i++) {
        if (strcmp((const char *)chunks[i].name, name) == 0)
            return &chunks[i];
    }
    return NULL;
}

/* The chunk cICP, which wins over all others. False: there is none. What has no meaning on the
 * screens of sRGB, such as the light of HDR, is an error. */
static bool read_code_points(struct reader *r)
{
    const png_unknown_chunk *chunk = find_chunk(r, "cICP");
    char text[128];

    if (!chunk)
        return false;
    if (chunk->size != 4) {
        png_error(r->png, "its colours (cICP) are damaged");
    } else if (!cicp_colors(chunk->data, &r->raster.colors)) {
        snprintf(text, sizeof(text), "its colours (cICP %d, %d, %d, %d) are not supported",
                 chunk->data[0], chunk->data[1], chunk->data[2], chunk->data[3]);
        png_error(r->png, text);
    }
    return true;
}

static void read_colors(struct reader *r)
{
    static const double srgb_curve[5] = {2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045};
    struct raster_colors *c = &r->raster.colors;
    png_charp name;
    png_bytep icc;
    png_uint_32 icc_size;
    double gamma = 0, x[8];
    int compression;
    bool has_gamma, has_primaries;

    if (read_code_points(r) || png_get_valid(r->png, r->info, PNG_INFO_sRGB))
        return;
    if (png_get_iCCP(r->png, r->info, &name, &compression, &icc, &icc_size)) {
        r->raster.icc = need_memory(r, icc_size);
        memcpy(r->raster.icc, icc, icc_size);
        r->raster.icc_size = icc_size;
        return;
    }
    memcpy(x, srgb, sizeof(x));
    has_gamma = png_get_gAMA(r->png, r->info, &gamma) && gamma > 0;
    has_primaries =
        png_get_cHRM(r->png, r->info, &x[0], &x[1], &x[2], &x[3], &x[4], &x[5], &x[6], &x[7]);
    if ((!has_gamma && !has_primaries) || is_srgb(has_gamma ? gamma : 0.45455, x))
        return;
    c->given = true;
    memcpy(c->curve, has_gamma ? (const double[5]){1 / gamma, 1, 0, 0, 0} : srgb_curve,
           sizeof(c->curve));
    memcpy(c->white, x, sizeof(c->white));
    memcpy(c->primaries, x + 2, sizeof(c->primaries));
}

/* What the first text of a key says, packed or not; 0: nothing. */
static int look_in_text(struct reader *r, const char *key, int (*look)(const char *text, size_t n))
{
    int n_texts = 0, n_chunks, orientation = 0, rc = -ENOENT;
    png_unknown_chunkp chunks;
    png_textp texts = NULL;
    char *text;
    size_t n;

    png_get_text(r->png, r->info, &texts, &n_texts);
    for (int i = 0; i < n_texts && orientation == 0; i++)
        if (strcmp(texts[i].key, key) == 0)
            orientation = look(texts[i].text, texts[i].text_length);
    n_chunks = png_get_unknown_chunks(r->png, r->info, &chunks);
    for (int i = 0; i < n_chunks && orientation == 0 && rc == -ENOENT; i++)
        rc = png_text_read((const char *)chunks[i].name, chunks[i].data, chunks[i].size, key,
                           CHUNK_BYTES_MAX, &text, &n);
    if (orientation == 0 && rc == 0) {
        orientation = look(text, n);
        free(text);
    }
    r->out_of_memory |= rc == -ENOMEM;
    return orientation;
}

/* After the pixels, since the chunks may stand there. */
static void read_orientation(struct reader *r)
{
    int orientation = 0;
    png_bytep exif;
    png_uint_32 n;

    if (png_get_eXIf_1(r->png, r->info, &n, &exif))
        orientation = exif_orientation(exif, n);
    if (orientation == 0)
        orientation = look_in_text(r, "Raw profile type exif", exif_orientation_of_hex);
    if (orientation == 0)
        orientation = look_in_text(r, "Raw profile type APP1", exif_orientation_of_hex);
    if (orientation == 0)
        orientation = look_in_text(r, "XML:com.adobe.xmp", exif_orientation_of_xmp);
    r->raster.orientation = orientation ? orientation : 1;
}

/* Packed pixels that libpng has not read. */
static size_t surplus(const struct reader *r)
{
    const uint8_t *at = r->start + SIGNATURE_BYTES, *file_end = r->data + r->left, *end;
    size_t n = 0;

    for (; (size_t)(file_end - at) >= CHUNK_HEAD_BYTES; at = end + sizeof(png_uint_32)) {
        if (png_get_uint_32(at) >= (size_t)(file_end - at) - CHUNK_HEAD_BYTES)
            break;
        end = at + CHUNK_HEAD_BYTES + png_get_uint_32(at);
        if (memcmp(at + sizeof(png_uint_32), "IDAT", 4) == 0 && end > r->data)
            n += (size_t)(end - (at > r->data ? at : r->data));
        if ((size_t)(file_end - end) < sizeof(png_uint_32))
            break;
    }
    return n;
}

static int read_all(struct reader *r, size_t pixels_max)
{
    png_byte type;
    size_t row_bytes;

    if (setjmp(png_jmpbuf(r->png)))
        return r->out_of_memory ? -ENOMEM : -EINVAL;
    png_set_read_fn(r->png, r, on_read);
    png_set_user_limits(r->png, RASTER_SIDE_MAX_PX, RASTER_SIDE_MAX_PX);
    png_set_chunk_malloc_max(r->png, CHUNK_BYTES_MAX);
    png_set_chunk_cache_max(r->png, CHUNKS_MAX);
    png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_ALWAYS,
                                (png_const_bytep) "cICP\0zTXt\0iTXt", 3);
    png_read_info(r->png, r->info);
    r->raster.w = (int)png_get_image_width(r->png, r->info);
    r->raster.h = (int)png_get_image_height(r->png, r->info);
    if ((size_t)r->raster.w * (size_t)r->raster.h > pixels_max) {
        snprintf(r->message, sizeof(r->message), "%dx%d is more than %zu pixels", r->raster.w,
                 r->raster.h, pixels_max);
        return -E2BIG;
    }
    read_colors(r);
    png_set_expand(r->png);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    png_set_swap(r->png);
#endif
    png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    type = png_get_color_type(r->png, r->info);
    r->raster.model = type & PNG_COLOR_MASK_COLOR ? RASTER_RGB : RASTER_GREY;
    r->raster.alpha = type & PNG_COLOR_MASK_ALPHA;
    r->raster.depth = png_get_bit_depth(r->png, r->info);
    row_bytes =
        (size_t)r->raster.w * (size_t)raster_channels(&r->raster) * (size_t)(r->raster.depth / 8);
    if (png_get_rowbytes(r->png, r->info) != row_bytes)
        png_error(r->png, "the rows are of another size");

    r->raster.samples = need_memory(r, row_bytes * (size_t)r->raster.h);
    r->rows = need_memory(r, (size_t)r->raster.h * sizeof(*r->rows));
    for (int y = 0; y < r->raster.h; y++)
        r->rows[y] = r->raster.samples + (size_t)y * row_bytes;
    png_read_image(r->png, r->rows);
    if (surplus(r) > SURPLUS_BYTES) /* libpng would unpack it all */
        png_error(r->png, "there is more in it than its pixels");
    png_read_end(r->png, r->info); /* notices a missing end and damaged checksums */
    read_orientation(r);
    return r->out_of_memory ? -ENOMEM : 0;
}

int png_read(const uint8_t *bytes, size_t n_bytes, size_t pixels_max, struct raster *out,
             struct error *err)
{
    struct reader r = {.start = bytes, .data = bytes, .left = n_bytes};
    int rc;

    if (n_bytes < SIGNATURE_BYTES || png_sig_cmp(bytes, 0, SIGNATURE_BYTES))
        return error_set(err, -EINVAL, "not a PNG");
    r.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning, &r, on_malloc,
                                     on_free);
    r.info = r.png ? png_create_info_struct(r.png) : NULL;
    if (!r.info) {
        rc = error_set(err, -ENOMEM, "out of memory decoding a PNG");
        goto out;
    }
    rc = read_all(&r, pixels_max);
    if (rc < 0) {
        error_set(err, rc, "could not decode a PNG: %s", r.message);
        goto out;
    }
    *out = r.raster;
    r.raster = (struct raster){0};
out:
    png_destroy_read_struct(&r.png, &r.info, NULL);
    free(r.rows);
    raster_fini(&r.raster);
    return rc;
}
