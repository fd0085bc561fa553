/* Resizing: squares of one size, by hand-computed rows. */
#include "api/pictures/resize.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void equal_sizes_are_copied(void **state)
{
    uint8_t src[5 * 7 * 3], dst[5 * 5 * 3];

    for (size_t i = 0; i < sizeof(src); i++)
        src[i] = (uint8_t)(i * 37);
    /* 5 wide, 7 high: rows 1 .. 5. */
    assert_int_equal(resize_square(src, 5, 7, 3, 0, 5, dst, NULL), 0);
    assert_memory_equal(dst, src + 15, sizeof(dst));
    /* 7 wide, 5 high, cut to the 3x3 in the middle. */
    assert_int_equal(resize_square(src, 7, 5, 3, 3, 3, dst, NULL), 0);
    for (int y = 0; y < 3; y++)
        assert_memory_equal(dst + y * 9, src + ((y + 1) * 7 + 2) * 3, 9);
}

/* Halving: output i is centred between inputs 2i and 2i + 1, so that a triangle of half width 2
 * weighs 2i - 1 .. 2i + 2 with 1, 3, 3, 1 eighths; at the border without the outermost. */
static void halves_are_weighed(void **state)
{
    static const uint8_t src[8] = {0, 0, 0, 80, 0, 0, 0, 240};
    uint8_t image[8 * 8], dst[16];

    for (int y = 0; y < 8; y++)
        memcpy(image + y * 8, src, 8);
    assert_int_equal(resize_square(image, 8, 8, 1, 0, 4, dst, NULL), 0);
    assert_int_equal(dst[0], 0);
    assert_int_equal(dst[1], 30);  /* 3/8 of 80 */
    assert_int_equal(dst[2], 10);  /* 1/8 of 80 */
    assert_int_equal(dst[3], 103); /* 3/7 of 240 = 102.86 */
    assert_memory_equal(dst, dst + 12, 4);
}

static void enlarging_interpolates(void **state)
{
    static const uint8_t src[4] = {0, 100, 0, 100};
    uint8_t dst[16];

    assert_int_equal(resize_square(src, 2, 2, 1, 0, 4, dst, NULL), 0);
    assert_int_equal(dst[0], 0);
    assert_int_equal(dst[1], 25);
    assert_int_equal(dst[2], 75);
    assert_int_equal(dst[3], 100);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_sizes_are_copied),
        cmocka_unit_test(halves_are_weighed),
        cmocka_unit_test(enlarging_interpolates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
