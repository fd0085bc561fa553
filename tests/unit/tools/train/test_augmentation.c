/* Augmentations: what is drawn of each, that nothing is done unless it is told, and where pixels come from. */
#include "tools/train/augmentation.h"
#include "engine/base/philox.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 8, CHANNELS = 3, SIZE = SIDE * SIDE * CHANNELS, N = 4000 };

static void fill(float *image)
{
    struct philox_key key = philox_key(9, 0, 0);

    philox_uniforms(&key, PHILOX_STREAM_DATA, SIZE, image);
}

static void test_none(void **state)
{
    float image[SIZE], out[SIZE];
    struct augmentation a;

    fill(image);
    for (uint32_t i = 0; i < 100; i++) {
        struct philox_key key = philox_key(1, i, 0);

        augmentation_draw(0, &key, SIDE, &a);
        assert_false(a.any);
        for (int k = 0; k < AUGMENTATION_NUMBERS; k++)
            assert_true(a.told[k] == 0);
        augmentation_apply(&a, SIDE, CHANNELS, image, out);
        assert_memory_equal(image, out, sizeof(image));
    }
}

/* Each as often as it should be, by itself, and by the amounts that are told. */
static void test_law(void **state)
{
    int made[AUGMENTATION_NUMBERS] = {0}, none = 0;
    double scale = 0, scale_square = 0;

    for (uint32_t i = 0; i < N; i++) {
        struct philox_key key = philox_key(2, i, 0);
        struct augmentation a;
        double area;

        augmentation_draw(0.25, &key, SIDE, &a);
        none += !a.any;
        for (int k = 0; k < AUGMENTATION_NUMBERS; k++)
            made[k] += a.told[k] != 0;
        scale += (double)a.told[1] / N;
        scale_square += (double)a.told[1] * (double)a.told[1] / N;
        /* All but the scale keep the area; upside down changes its sign. */
        area = a.m[0] * a.m[4] - a.m[1] * a.m[3];
        assert_true(fabs(area * exp2(0.4 * (double)a.told[1]) * (a.told[0] != 0 ? -1 : 1) - 1) <
                    1e-5);
    }
    assert_in_range(none, N * 0.875 * 0.316 - 200, N * 0.875 * 0.316 + 200); /* .875 .75^4 */
    for (int k = 0; k < AUGMENTATION_NUMBERS; k++) {
        /* Half of the turns are none; half of the stretches lie along an axis. */
        int expected = k == 0 || k == 5 ? N / 8 : N / 4;

        assert_in_range(made[k], expected - 170, expected + 170);
    }
    assert_true(fabs(scale) < 0.05 && fabs(scale_square - 0.25) < 0.05);
}

/* Whole pixels are copied: a shift, a turn, and a rotation by a right angle; the border is a mirror. */
static void test_pixels(void **state)
{
    static const struct {
        double m[6];
        int from[6]; /* the same, in whole px from the corner */
    } rows[] = {
        {{1, 0, -2, 0, 1, 1}, {1, 0, -2, 0, 1, 1}},
        {{1, 0, 0, 0, -1, 0}, {1, 0, 0, 0, -1, SIDE - 1}},
        {{0, -1, 0, 1, 0, 0}, {0, -1, SIDE - 1, 1, 0, 0}},
    };
    float image[SIZE], out[SIZE];

    fill(image);
    for (int i = 0; i < 3; i++) {
        struct augmentation a = {.any = true};
        const int *f = rows[i].from;

        memcpy(a.m, rows[i].m, sizeof(a.m));
        augmentation_apply(&a, SIDE, CHANNELS, image, out);
        for (int e = 0; e < SIZE; e++) {
            int c = e % CHANNELS, x = e / CHANNELS % SIDE, y = e / CHANNELS / SIDE;
            int u = f[0] * x + f[1] * y + f[2], v = f[3] * x + f[4] * y + f[5];

            u = u < 0 ? -1 - u : u >= SIDE ? 2 * SIDE - 1 - u : u;
            v = v < 0 ? -1 - v : v >= SIDE ? 2 * SIDE - 1 - v : v;
            assert_true(fabsf(out[e] - image[(v * SIDE + u) * CHANNELS + c]) < 1e-6f);
        }
    }
}

/* Between pixels a ramp stays a ramp, away from the border, and white stays white everywhere. */
static void test_between_pixels(void **state)
{
    const struct augmentation a = {.any = true, .m = {0.9, 0.1, 0.3, -0.1, 0.9, -0.2}};
    float image[SIZE], out[SIZE];
    double centre = (SIDE - 1) / 2.0;

    for (int e = 0; e < SIZE; e++)
        image[e] = e % CHANNELS == 2 ? 1 : (float)(e / CHANNELS % SIDE) / SIDE;
    augmentation_apply(&a, SIDE, CHANNELS, image, out);
    for (int y = 2; y < SIDE - 2; y++) {
        for (int x = 2; x < SIDE - 2; x++) {
            double from = 0.9 * (x - centre) + 0.1 * (y - centre) + 0.3 + centre;

            assert_true(fabs((double)out[(y * SIDE + x) * CHANNELS] - from / SIDE) < 1e-6);
        }
    }
    for (int e = 2; e < SIZE; e += CHANNELS)
        assert_true(fabsf(out[e] - 1) < 1e-6f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_law),
        cmocka_unit_test(test_pixels),
        cmocka_unit_test(test_between_pixels),
    };

    return cmocka_run_group_tests_name("augmentation", tests, NULL, NULL);
}
