/* PNG: what goes in comes out, for every type a data set may hold; damage is an error. */
#include "api/pictures/picture.h"
#include "api/pictures/png.h"

#include "engine/base/error.h"

#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <zlib.h>
#include <cmocka.h>

static const struct png_note seed_1 = {"softdiff:params", "{\"seed\":1}", false};
static const struct png_note seed_7 = {"softdiff:params", "{\"seed\":7}", false};

static void fill(uint8_t *pixels, size_t n)
{
    uint32_t state = 1;

    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        pixels[i] = (uint8_t)(state >> 24);
    }
}

static void test_round_trip(void **state)
{
    static const int sizes[][2] = {{1, 1}, {1, 7}, {16, 16}, {33, 5}, {64, 64}};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        int w = sizes[i][0], h = sizes[i][1], w2, h2, channels;

        for (channels = 1; channels <= 3; channels += 2) {
            size_t n = (size_t)w * (size_t)h, size, size2;
            uint8_t *pixels = malloc(n * 3), *file, *again, *rgb;

            assert_non_null(pixels);
            fill(pixels, n * 3);
            assert_int_equal(png_encode(w, h, channels, pixels, &seed_1, 1, &file, &size, NULL), 0);
            assert_int_equal(png_encode(w, h, channels, pixels, &seed_1, 1, &again, &size2, NULL),
                             0);
            assert_int_equal(size, size2);
            assert_memory_equal(file, again, size);
            assert_int_equal(picture_decode(file, size, SIZE_MAX, &w2, &h2, &rgb, NULL), 0);
            assert_int_equal(w2, w);
            assert_int_equal(h2, h);
            for (size_t j = 0; j < n * 3; j++)
                assert_int_equal(rgb[j], channels == 3 ? pixels[j] : pixels[j / 3]);
            free(rgb);
            free(again);
            free(file);
            free(pixels);
        }
    }
}

static void test_text_is_stored(void **state)
{
    static const struct png_note international[] = {
        {"a", "1", false},
        {"XML:com.adobe.xmp", "<x>\xc3\xa4</x>", true},
    };
    uint8_t pixels[3] = {1, 2, 3}, *file;
    size_t size;

    assert_int_equal(png_encode(1, 1, 3, pixels, international, 2, &file, &size, NULL), 0);
    assert_non_null(memmem(file, size,
                           "tEXta\0"
                           "1",
                           7));
    assert_non_null(memmem(file, size, "iTXtXML:com.adobe.xmp\0\0\0\0\0<x>\xc3\xa4</x>", 35));
    free(file);
    assert_int_equal(png_encode(1, 1, 3, pixels, &seed_7, 1, &file, &size, NULL), 0);
    assert_non_null(memmem(file, size, "tEXtsoftdiff:params\0{\"seed\":7}", 30));
    assert_null(memmem(file, size, "tIME", 4));
    free(file);
    assert_int_equal(png_encode(1, 1, 3, pixels, NULL, 0, &file, &size, NULL), 0);
    assert_null(memmem(file, size, "tEXt", 4));
    free(file);
}

/* libpng's simplified writer makes the types that we do not write ourselves. */
static void decode_written(uint32_t format, const void *pixels, const void *colormap,
                           uint32_t entries, const uint8_t *want)
{
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = 2,
                       .height = 1,
                       .format = format,
                       .colormap_entries = entries};
    uint8_t file[4096], *rgb;
    png_alloc_size_t size = sizeof(file);
    int w, h;

    assert_true(png_image_write_to_memory(&image, file, &size, 0, pixels, 0, colormap));
    assert_int_equal(picture_decode(file, size, SIZE_MAX, &w, &h, &rgb, NULL), 0);
    assert_int_equal(w, 2);
    assert_int_equal(h, 1);
    assert_memory_equal(rgb, want, 6);
    free(rgb);
}

static void test_types(void **state)
{
    static const uint8_t grey[2] = {10, 200};
    static const uint8_t grey_rgb[6] = {10, 10, 10, 200, 200, 200};
    static const uint8_t rgba[8] = {1, 2, 3, 255, 4, 5, 6, 128};
    static const uint8_t rgba_rgb[6] = {1, 2, 3, 129, 130, 130}; /* half of it on white */
    static const uint8_t palette[2] = {1, 0};
    static const uint8_t colours[6] = {9, 8, 7, 6, 5, 4};
    static const uint8_t palette_rgb[6] = {6, 5, 4, 9, 8, 7};
    static const uint16_t deep[2] = {65535, 0};
    static const uint8_t deep_rgb[6] = {255, 255, 255, 0, 0, 0};

    decode_written(PNG_FORMAT_GRAY, grey, NULL, 0, grey_rgb);
    decode_written(PNG_FORMAT_RGBA, rgba, NULL, 0, rgba_rgb);
    decode_written(PNG_FORMAT_RGB_COLORMAP, palette, colours, 2, palette_rgb);
    decode_written(PNG_FORMAT_LINEAR_Y, deep, NULL, 0, deep_rgb);
}

/* Every prefix of a file, and every file with one byte changed before the last chunk's name, is
 * an error or decodes; never a crash, and never a truncated image. */
static void test_damage(void **state)
{
    uint8_t pixels[8 * 8 * 3], *file, *copy, *rgb;
    struct error err;
    size_t size;
    int w = -1, h = -1;

    fill(pixels, sizeof(pixels));
    assert_int_equal(png_encode(8, 8, 3, pixels, &(struct png_note){"k", "t", false}, 1, &file,
                                &size, NULL),
                     0);
    for (size_t i = 0; i < size; i++) {
        copy = malloc(i + 1); /* exact size, so that a sanitizer sees reads past the end */
        assert_non_null(copy);
        memcpy(copy, file, i);
        err.text[0] = '\0';
        assert_int_equal(picture_decode(copy, i, SIZE_MAX, &w, &h, &rgb, &err), -EINVAL);
        assert_true(err.text[0] != '\0');
        free(copy);
    }
    assert_int_equal(w, -1);
    for (size_t i = 0; i < size; i++) {
        file[i] ^= 0x55;
        if (picture_decode(file, size, SIZE_MAX, &w, &h, &rgb, NULL) == 0)
            free(rgb);
        file[i] ^= 0x55;
    }
    free(file);
}

static void test_refuses(void **state)
{
    uint8_t pixels[16] = {0}, *file, *rgb;
    size_t size;
    int w, h;

    assert_int_equal(png_encode(2, 2, 3, pixels, NULL, 0, &file, &size, NULL), 0);
    assert_int_equal(picture_decode(file, size, 3, &w, &h, &rgb, NULL), -E2BIG);
    assert_int_equal(picture_decode(file, size, 4, &w, &h, &rgb, NULL), 0);
    free(file);
    free(rgb);

    assert_int_equal(png_encode(0, 1, 3, pixels, NULL, 0, &file, &size, NULL), -EINVAL);
    assert_int_equal(png_encode(1, PNG_SIDE_MAX_PX + 1, 3, pixels, NULL, 0, &file, &size, NULL),
                     -EINVAL);
    assert_int_equal(png_encode(1, 1, 4, pixels, NULL, 0, &file, &size, NULL), -EINVAL);
    assert_int_equal(png_encode(1, 1, 3, pixels, &(struct png_note){"", "t", false}, 1, &file,
                                &size, NULL),
                     -EINVAL);
}

static long peak_kib(void)
{
    struct rusage usage;

    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_maxrss;
}

/* A chunk that says it has 2 GB, in a file of a hundred bytes. */
static void test_long_chunks(void **state)
{
    static const char kinds[][5] = {"tEXt", "zTXt", "iTXt", "iCCP", "eXIf",
                                    "sPLT", "sCAL", "pCAL", "PLTE", "abCd"};
    enum { HEADER = 33 }; /* signature and IHDR */
    uint8_t pixels[12] = {0}, *file, *rgb;
    long before = peak_kib();
    size_t size;

    assert_int_equal(png_encode(2, 2, 3, pixels, NULL, 0, &file, &size, NULL), 0);
    assert_true(size >= HEADER + 8);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        int w, h;

        memcpy(file + HEADER, "\x7e\0\0\x03", 4);
        memcpy(file + HEADER + 4, kinds[i], 4);
        assert_int_equal(picture_decode(file, size, SIZE_MAX, &w, &h, &rgb, NULL), -EINVAL);
        if (peak_kib() - before > 64 << 10)
            fail_msg("\"%s\" makes the decoder use %ld KiB", kinds[i], peak_kib() - before);
    }
    free(file);
}

static void write_number(uint8_t *out, size_t n)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(n >> (24 - 8 * i));
}

/* A picture with a chunk so many times at a place of its file; malloc'ed. */
static uint8_t *insert(size_t at, const char *kind, const uint8_t *data, size_t n, int times,
                       size_t *size)
{
    uint8_t pixels[12] = {0}, *file, *out, *end;
    size_t file_size, whole = n + 12;

    assert_int_equal(png_encode(2, 2, 3, pixels, NULL, 0, &file, &file_size, NULL), 0);
    out = malloc(file_size + whole * (size_t)times);
    assert_non_null(out);
    memcpy(out, file, at);
    end = out + at;
    for (int i = 0; i < times; i++, end += whole) {
        write_number(end, n);
        memcpy(end + 4, kind, 4);
        memcpy(end + 8, data, n);
        write_number(end + 8 + n, crc32(0, end + 4, (uInt)n + 4));
    }
    memcpy(end, file + at, file_size - at);
    free(file);
    *size = file_size + whole * (size_t)times;
    return out;
}

/* Texts that nobody wants take less time than half of what unpacking them would. */
static void test_packed_texts(void **state)
{
    enum { TEXT = 7 << 20, TIMES = 40, HEADER = 33, KEY = 3 };
    uint8_t *text = calloc(TEXT, 1), *packed = malloc(TEXT), *file, *rgb;
    uLongf n = TEXT - KEY, unpacked_n;
    clock_t begun, unpacked, decoded;
    size_t size;
    int w, h;

    assert_non_null(text);
    assert_non_null(packed);
    memcpy(packed, "a\0\0", KEY);
    assert_int_equal(compress(packed + KEY, &n, text, TEXT), Z_OK);
    file = insert(HEADER, "zTXt", packed, n + KEY, TIMES, &size);
    begun = clock();
    for (int i = 0; i < TIMES; i++) {
        unpacked_n = TEXT;
        assert_int_equal(uncompress(text, &unpacked_n, packed + KEY, n), Z_OK);
    }
    unpacked = clock() - begun;
    begun = clock();
    assert_int_equal(picture_decode(file, size, SIZE_MAX, &w, &h, &rgb, NULL), 0);
    decoded = clock() - begun;
    assert_true(decoded < unpacked / 2);
    free(rgb);
    free(file);
    free(packed);
    free(text);
}

/* Of packed pixels there is a little more than pixels in some files; of much more nobody knows how much that is. */
static void test_surplus_of_pixels(void **state)
{
    static uint8_t more[100000];
    struct error error;
    uint8_t *file, *rgb;
    size_t size;
    int w, h;

    file = insert(0, "", more, 0, 0, &size);
    size -= 12; /* before IEND */
    free(file);
    for (size_t n = 1000; n <= sizeof(more); n *= 100) {
        size_t whole;

        file = insert(size, "IDAT", more, n, 1, &whole);
        if (n > 64 << 10) {
            assert_int_equal(picture_decode(file, whole, SIZE_MAX, &w, &h, &rgb, &error), -EINVAL);
            assert_non_null(strstr(error.text, "more in it than its pixels"));
        } else {
            assert_int_equal(picture_decode(file, whole, SIZE_MAX, &w, &h, &rgb, NULL), 0);
            free(rgb);
        }
        free(file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_text_is_stored),
        cmocka_unit_test(test_types),        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_refuses),      cmocka_unit_test(test_long_chunks),
        cmocka_unit_test(test_packed_texts), cmocka_unit_test(test_surplus_of_pixels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
