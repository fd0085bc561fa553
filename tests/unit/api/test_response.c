/* Answers: the JSON, its PNGs, and that an image is the same bytes wherever it stands. */
#include "api/response.h"

#include "api/pictures/picture.h"
#include "api/pictures/png.h"

#include <jansson.h>
#include <nettle/base64.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SIDE = 4, IMAGE_BYTES = SIDE * SIDE * 3 };

static struct samples_response response(uint64_t seed, int n, const uint8_t *pixels)
{
    return (struct samples_response){
        .model = "faces",
        .checkpoint = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        .precision = "fp32",
        .corruption = "blur",
        .sampler = "pf-2m",
        .nfe = 20,
        .determinism = "0011223344556677",
        .seed = seed,
        .n = n,
        .side_px = SIDE,
        .channels = 3,
        .pixels = pixels,
    };
}

static void test_json(void **state)
{
    uint8_t pixels[2 * IMAGE_BYTES], *out, *alone, decoded[4096], *rgb;
    struct samples_response two, one;
    struct base64_decode_ctx base64;
    size_t size, alone_size, n = sizeof(decoded);
    const char *text;
    json_t *root, *image;
    int w, h;

    memset(pixels, 10, IMAGE_BYTES);
    memset(pixels + IMAGE_BYTES, 20, IMAGE_BYTES);
    two = response(UINT64_MAX, 2, pixels); /* the second seed wraps to 0 */
    assert_int_equal(samples_response_encode(&two, false, &out, &size, NULL), 0);
    root = json_loadb((char *)out, size, 0, NULL);
    assert_non_null(root);
    assert_string_equal(json_string_value(json_object_get(root, "checkpoint")), "0123456789ab");
    assert_string_equal(json_string_value(json_object_get(root, "seed")), "18446744073709551615");
    assert_int_equal(json_array_size(json_object_get(root, "images")), 2);
    image = json_array_get(json_object_get(root, "images"), 1);
    assert_int_equal(json_integer_value(json_object_get(image, "seed")), 0);

    text = json_string_value(json_object_get(image, "png"));
    base64_decode_init(&base64);
    assert_true(base64_decode_update(&base64, &n, decoded, strlen(text), text));
    assert_true(base64_decode_final(&base64));
    one = response(0, 1, pixels + IMAGE_BYTES);
    assert_int_equal(samples_response_encode(&one, true, &alone, &alone_size, NULL), 0);
    assert_int_equal(n, alone_size);
    assert_memory_equal(decoded, alone, n);
    assert_non_null(memmem(alone, alone_size, "softdiff:params", 15));
    assert_non_null(memmem(alone, alone_size, "\"seed\":0", 8));
    assert_int_equal(picture_decode(alone, alone_size, SIZE_MAX, &w, &h, &rgb, NULL), 0);
    assert_memory_equal(rgb, pixels + IMAGE_BYTES, IMAGE_BYTES);
    free(rgb);
    free(alone);
    free(out);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
