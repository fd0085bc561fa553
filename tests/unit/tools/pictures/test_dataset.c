/* Data sets: PNG and JPEG in, squares of one size out; what cannot be read is named. */
#include "tools/pictures/dataset.h"
#include "api/pictures/picture.h"
#include "api/pictures/png.h"
#include "engine/base/error.h"
#include "engine/base/log.h"
#include "engine/base/pool.h"
#include "engine/base/watch.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jpeglib.h>

enum { SIDE = 8 };

/* A folder of its own per test, with the pool that reads it. */
struct fixture {
    char folder[64];
    struct pool *pool;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f)
        return -1;
    strcpy(f->folder, "/tmp/softdiff-dataset-XXXXXX");
    *state = f;
    return mkdtemp(f->folder) && pool_create(2, &f->pool, NULL) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[96];

    pool_destroy(f->pool);
    snprintf(command, sizeof(command), "rm -rf '%s'", f->folder);
    free(f);
    return system(command);
}

static void write_file(const struct fixture *f, const char *name, const void *bytes, size_t n)
{
    char path[160];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", f->folder, name);
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    fclose(file);
}

static void unlink_file(const struct fixture *f, const char *name)
{
    char path[160];

    snprintf(path, sizeof(path), "%s/%s", f->folder, name);
    assert_int_equal(unlink(path), 0);
}

/* One colour, so that neither JPEG nor resizing changes much. */
static uint8_t *flat(int w, int h, const uint8_t colour[3])
{
    uint8_t *pixels = malloc((size_t)(w * h * 3));

    assert_non_null(pixels);
    for (int i = 0; i < w * h * 3; i++)
        pixels[i] = colour[i % 3];
    return pixels;
}

static void write_png(const struct fixture *f, const char *name, int w, int h,
                      const uint8_t colour[3])
{
    uint8_t *pixels = flat(w, h, colour), *bytes;
    size_t n;

    assert_int_equal(png_encode(w, h, 3, pixels, NULL, 0, &bytes, &n, NULL), 0);
    write_file(f, name, bytes, n);
    free(bytes);
    free(pixels);
}

/* channels 1, 3 or 4, the latter as YCCK of inverted inks; returns the file's size. */
static unsigned long make_jpeg(int w, int h, int channels, const uint8_t *pixels,
                               unsigned char **bytes)
{
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr errors;
    unsigned long n = 0;

    *bytes = NULL;
    info.err = jpeg_std_error(&errors);
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, bytes, &n);
    info.image_width = (JDIMENSION)w;
    info.image_height = (JDIMENSION)h;
    info.input_components = channels;
    info.in_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(&info);
    if (channels == 4)
        jpeg_set_colorspace(&info, JCS_YCCK);
    jpeg_set_quality(&info, 100, TRUE);
    jpeg_start_compress(&info, TRUE);
    while (info.next_scanline < info.image_height) {
        uint8_t row[512 * 4];
        JSAMPROW rows = row;

        memcpy(row, pixels + (size_t)(info.next_scanline * (JDIMENSION)(w * channels)),
               (size_t)(w * channels));
        jpeg_write_scanlines(&info, &rows, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    return n;
}

static void write_jpeg(const struct fixture *f, const char *name, int w, int h,
                       const uint8_t colour[3])
{
    uint8_t *pixels = flat(w, h, colour);
    unsigned char *bytes;
    unsigned long n = make_jpeg(w, h, 3, pixels, &bytes);

    write_file(f, name, bytes, n);
    free(bytes);
    free(pixels);
}

static const uint8_t red[3] = {200, 10, 10}, green[3] = {10, 200, 10}, blue[3] = {10, 10, 200};

static int open_folder(const struct fixture *f, bool skip_bad, struct dataset **out,
                       struct error *err)
{
    return dataset_open(f->folder, &(struct dataset_options){.side = SIDE, .skip_bad = skip_bad},
                        f->pool, out, err);
}

static void test_folder(void **state)
{
    struct fixture *f = *state;
    struct dataset *d;
    struct error err;
    float image[SIDE * SIDE * 3];
    char inner[80];

    snprintf(inner, sizeof(inner), "%s/b", f->folder);
    assert_int_equal(mkdir(inner, 0777), 0);
    write_png(f, "c.PNG", 31, 17, blue);
    write_jpeg(f, "b/x.jpeg", 9, 40, green);
    write_jpeg(f, "a.JPG", SIDE, SIDE, red);
    write_file(f, "notes.txt", "not a picture", 13);
    assert_int_equal(open_folder(f, false, &d, &err), 0);
    assert_int_equal(d->n, 3);
    assert_int_equal(d->n_skipped, 0);
    assert_string_equal(d->name, f->folder + 5);
    for (int i = 0; i < 3; i++) { /* in the order of the paths: a, b/x, c */
        assert_int_equal(dataset_image(d, i, false, image, NULL), 0);
        for (int c = 0; c < 3; c++)
            assert_float_equal(image[c], (c == i ? 200 : 10) / 255.0, 3 / 255.0);
    }
    dataset_close(d);
}

static void test_digest_tells_images_apart(void **state)
{
    struct fixture *f = *state;
    struct dataset *d;
    uint64_t digest;

    write_png(f, "a.png", SIDE, SIDE, red);
    assert_int_equal(open_folder(f, false, &d, NULL), 0);
    digest = d->digest;
    dataset_close(d);
    write_png(f, "a.png", SIDE, SIDE, blue);
    assert_int_equal(open_folder(f, false, &d, NULL), 0);
    assert_true(d->digest != digest);
    dataset_close(d);
}

static void test_bad_pictures(void **state)
{
    struct fixture *f = *state;
    uint8_t *pixels = flat(64, 64, red);
    unsigned char *jpeg;
    unsigned long n = make_jpeg(64, 64, 3, pixels, &jpeg);
    uint8_t *png;
    size_t n_png;
    struct dataset *d = NULL;
    struct error err;

    log_set_level(LOG_ERROR);
    assert_int_equal(png_encode(64, 64, 3, pixels, NULL, 0, &png, &n_png, NULL), 0);
    write_png(f, "a.png", 5, 5, green);

    /* A viewer would show these with a grey part. */
    write_file(f, "half.jpg", jpeg, n / 2);
    assert_int_equal(open_folder(f, false, &d, &err), -EINVAL);
    assert_non_null(strstr(err.text, "half.jpg"));
    write_file(f, "half.jpg", jpeg, n - 2); /* only the end marker is gone */
    assert_int_equal(open_folder(f, false, &d, &err), -EINVAL);
    write_file(f, "half.jpg", jpeg, n);
    write_file(f, "half.png", png, n_png / 2);
    assert_int_equal(open_folder(f, false, &d, &err), -EINVAL);
    assert_non_null(strstr(err.text, "half.png"));
    write_file(f, "half.png", "", 0);
    assert_int_equal(open_folder(f, false, &d, &err), -EINVAL);
    assert_non_null(strstr(err.text, "half.png"));
    assert_null(d);

    assert_int_equal(open_folder(f, true, &d, &err), 0);
    assert_int_equal(d->n, 2);
    assert_int_equal(d->n_skipped, 1);
    dataset_close(d);

    /* A marker amid the data, which libjpeg only warns of. */
    jpeg[n - 22] = 0xFF;
    jpeg[n - 21] = 0xD5;
    write_file(f, "half.jpg", jpeg, n);
    unlink_file(f, "half.png");
    assert_int_equal(open_folder(f, false, &d, &err), -EINVAL);
    assert_non_null(strstr(err.text, "half.jpg"));
    free(pixels);
    free(png);
    free(jpeg);
}

static void test_nothing_there(void **state)
{
    struct fixture *f = *state;
    struct dataset *d;
    struct error err;

    assert_int_equal(open_folder(f, false, &d, &err), -EINVAL);
    assert_non_null(strstr(err.text, f->folder));
    assert_int_equal(dataset_open("/nowhere", &(struct dataset_options){.side = SIDE}, f->pool, &d,
                                  &err),
                     -ENOENT);
    log_set_level(LOG_ERROR);
    write_file(f, "only.png", "x", 1); /* all of them skipped is nothing too */
    assert_int_equal(open_folder(f, true, &d, &err), -EINVAL);
}

static void link_to(const struct fixture *f, const char *name, const char *target)
{
    char path[160];

    snprintf(path, sizeof(path), "%s/%s", f->folder, name);
    assert_int_equal(symlink(target, path), 0);
}

static void test_content_tells_the_format(void **state)
{
    static const char webp[] = "RIFF\x1a\0\0\0WEBPVP8L", gif[] = "GIF89a\1\0\1\0\0\0\0";
    static const char bmp[] = "BM\x46\0\0\0\0\0\0\0\x36\0\0\0";
    struct fixture *f = *state;
    struct dataset *d;
    struct error err;

    log_set_level(LOG_ERROR);
    write_file(f, "a.jpg", webp, sizeof(webp));
    write_file(f, "b.webp", webp, sizeof(webp));
    write_file(f, "c.png", gif, sizeof(gif));
    write_file(f, "d.bmp", bmp, sizeof(bmp));
    assert_int_equal(open_folder(f, false, &d, &err), -EINVAL);
    assert_non_null(strstr(err.text, "only 1 GIF, 1 BMP, 2 WebP, which cannot be read"));

    write_png(f, "e.jpeg", 5, 5, blue);
    write_jpeg(f, "f.png", 5, 5, red);
    write_jpeg(f, "g", 5, 5, green);
    write_file(f, "notes", "not a picture", 13);
    assert_int_equal(open_folder(f, false, &d, &err), 0);
    assert_int_equal(d->n, 3);
    assert_int_equal(d->n_skipped, 0);
    assert_int_equal(d->pixels[2], 200); /* the blue of e.jpeg */
    dataset_close(d);

    write_file(f, "h.png", "not a picture", 13);
    assert_int_equal(open_folder(f, false, &d, &err), -EINVAL);
    assert_non_null(strstr(err.text, "h.png\": neither PNG nor JPEG"));
}

static void test_bad_links(void **state)
{
    static const struct {
        const char *name, *target;
        int code;
    } rows[] = {
        {"broken.png", "nowhere", -ENOENT},
        {"itself", "itself", -ELOOP},
        {"back", ".", -ELOOP},
        {"inner/up", "..", -ELOOP},
    };
    struct fixture *f = *state;
    char path[160];
    struct dataset *d;
    struct error err;

    log_set_level(LOG_ERROR);
    snprintf(path, sizeof(path), "%s/inner", f->folder);
    assert_int_equal(mkdir(path, 0777), 0);
    write_png(f, "inner/a.png", 5, 5, green);
    link_to(f, "same", "inner"); /* what is seen twice is no loop */
    assert_int_equal(open_folder(f, false, &d, &err), 0);
    assert_int_equal(d->n, 2);
    dataset_close(d);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        link_to(f, rows[i].name, rows[i].target);
        assert_int_equal(open_folder(f, false, &d, &err), rows[i].code);
        assert_non_null(strstr(err.text, strrchr(rows[i].name, '/') ? "/up" : rows[i].name));
        assert_int_equal(open_folder(f, true, &d, &err), 0);
        assert_int_equal(d->n, 2);
        assert_int_equal(d->n_skipped, i < 3 ? 1 : 2); /* the last is seen in two places */
        dataset_close(d);
        unlink_file(f, rows[i].name);
    }
}

static void test_stop(void **state)
{
    static volatile sig_atomic_t stop = 1;
    struct fixture *f = *state;
    const struct watch watch = {.stop = &stop};
    const struct dataset_options options = {.side = SIDE, .watch = &watch};
    struct dataset *d;
    struct error err;

    write_png(f, "a.png", 5, 5, green);
    assert_int_equal(dataset_open(f->folder, &options, f->pool, &d, &err), -ECANCELED);
}

static void test_mirror(void **state)
{
    uint8_t pixels[2 * 2 * 3] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    struct dataset d = {.n = 1, .side = 2, .pixels = pixels};
    float image[12];

    assert_int_equal(dataset_image(&d, 0, true, image, NULL), 0);
    assert_float_equal(image[0] * 255, 3, 1e-5);
    assert_float_equal(image[5] * 255, 2, 1e-5);
    assert_float_equal(image[6] * 255, 9, 1e-5);
}

static void test_grey_jpeg(void **state)
{
    uint8_t pixels[16 * 16], *rgb;
    unsigned char *bytes;
    unsigned long n;
    int w, h;

    memset(pixels, 77, sizeof(pixels));
    n = make_jpeg(16, 16, 1, pixels, &bytes);
    assert_int_equal(picture_decode(bytes, n, SIZE_MAX, &w, &h, &rgb, NULL), 0);
    assert_int_equal(w, 16);
    for (int i = 0; i < 16 * 16 * 3; i++)
        assert_int_equal(rgb[i], 77);
    free(rgb);
    free(bytes);
}

static void test_ycck_jpeg(void **state)
{
    static const int wanted[3] = {196, 78, 39};
    uint8_t pixels[16 * 16 * 4], *rgb;
    unsigned char *bytes;
    unsigned long n;
    int w, h;

    for (int i = 0; i < 16 * 16 * 4; i++)
        pixels[i] = (uint8_t[]){250, 100, 50, 200}[i % 4];
    n = make_jpeg(16, 16, 4, pixels, &bytes);
    assert_int_equal(picture_decode(bytes, n, SIZE_MAX, &w, &h, &rgb, NULL), 0);
    for (int i = 0; i < 16 * 16 * 3; i++) /* (1 - ink) (1 - black) */
        assert_true(abs(rgb[i] - wanted[i % 3]) <= 2);
    free(rgb);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_digest_tells_images_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_pictures, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_content_tells_the_format, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_links, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
        cmocka_unit_test(test_mirror),
        cmocka_unit_test(test_grey_jpeg),
        cmocka_unit_test(test_ycck_jpeg),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
