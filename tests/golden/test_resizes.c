/* Pictures on their way to a feature network against what Pillow makes of them, and against the formula
 * of TensorFlow 1. */
#include "engine/base/error.h"
#include "model/safetensors.h"
#include "tests/golden/golden.h"
#include "tools/eval/feature_resize.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const int sizes[][2] = {{7, 11}, {11, 7}, {32, 41}, {40, 9}, {5, 5}, {1, 4}};

enum { N_SIZES = sizeof(sizes) / sizeof(sizes[0]), NAME_SIZE = 64 };

/* Holds all sizes to the vectors of that name. */
static void check(enum feature_resize r, double allowed)
{
    const struct place here = {"cpu", PRECISION_FP32, NULL};
    struct safetensors *file = golden_open("resize");

    for (int i = 0; i < N_SIZES; i++) {
        const int from = sizes[i][0], to = sizes[i][1];
        const size_t count = 3 * (size_t)to * (size_t)to;
        float *got = calloc(count, sizeof(*got)), *expected;
        const struct safetensors_tensor *x;
        char name[NAME_SIZE];

        assert_non_null(got);
        snprintf(name, sizeof(name), "%d.%d.x", from, to);
        x = safetensors_find(file, name);
        assert_non_null(x);
        snprintf(name, sizeof(name), "%d.%d.%s", from, to, feature_resize_name(r));
        expected = golden_read_raw(file, name);
        assert_int_equal(golden_count(file, name), count);
        assert_int_equal(feature_resize_run(r, x->data, from, to, got, NULL), 0);
        golden_close_to(name, &here, got, expected, count, allowed);
        if (from == to)
            for (size_t k = 0; k < count; k++)
                assert_true(got[k] == (float)((const uint8_t *)x->data)[k]);
        free(expected);
        free(got);
    }
    safetensors_close(file);
}

/* Pillow's own numbers, but for how sums in double are rounded to float32. */
static void bicubic_is_that_of_pillow(void **state)
{
    check(FEATURE_RESIZE_BICUBIC, 2e-5);
}

/* Pillow's antialiased bilinear filter, but rounded. */
static void bytes_are_those_of_pillow(void **state)
{
    check(FEATURE_RESIZE_BYTES, 0.5 + 1e-4);
}

/* Places are numbers of float32. */
static void tensorflow_is_by_its_formula(void **state)
{
    check(FEATURE_RESIZE_TENSORFLOW, 1e-3);
}

static void names_are_known(void **state)
{
    static const char *const names[] = {"bytes", "bilinear", "tensorflow", "bicubic"};
    enum feature_resize r;
    struct error err;

    for (int i = 0; i < 4; i++) {
        assert_int_equal(feature_resize_parse(names[i], &r, &err), 0);
        assert_string_equal(feature_resize_name(r), names[i]);
        assert_int_equal(feature_resize_is_of_fid(names[i]), i == 1 || i == 2);
        assert_int_equal(feature_resize_is_of_clean_fid(names[i]), i == 3);
    }
    assert_int_equal(feature_resize_parse("lanczos", &r, &err), -EINVAL);
    assert_string_equal(err.text, "pictures cannot be resized by \"lanczos\", but by bytes, "
                                  "bilinear, tensorflow and bicubic");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bicubic_is_that_of_pillow),
        cmocka_unit_test(bytes_are_those_of_pillow),
        cmocka_unit_test(tensorflow_is_by_its_formula),
        cmocka_unit_test(names_are_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
