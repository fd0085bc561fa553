/* The linear estimate: its tables against their definition, computed image by image with mirror
 * images and all, for one corruption of each kind.
 */
#include "model/fit/wiener_fit.h"
#include "engine/base/error.h"
#include "engine/base/f16.h"
#include "model/corruption.h"
#include "model/schedule.h"
#include "model/wiener.h"
#include "tests/unit/model/pictures.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SIDE = 8, CHANNELS = 2, IMAGES = 60, PIXELS = SIDE * SIDE, SIZE = PIXELS * CHANNELS };

struct fixture {
    float *images; /* [2 IMAGES]: every image is followed by its mirror image */
    float *even;   /* [IMAGES]: the images alone, what is fitted to */
    float dct[PIXELS];
    double mean[SIZE];
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->even = pictures(IMAGES, SIDE, CHANNELS);
    f->images = malloc((size_t)2 * IMAGES * SIZE * sizeof(*f->images));
    for (int i = 0; i < 2 * IMAGES; i++) {
        for (int e = 0; e < SIZE; e++) {
            int ch = e % CHANNELS, x = e / CHANNELS % SIDE, y = e / CHANNELS / SIDE;
            float pixel =
                f->even[i / 2 * SIZE + (y * SIDE + (i % 2 ? SIDE - 1 - x : x)) * CHANNELS + ch];

            f->images[i * SIZE + e] = pixel;
            f->mean[e] += (double)pixel / (2 * IMAGES);
        }
    }
    wiener_dct_matrix(SIDE, f->dct);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    free(f->even);
    free(f->images);
    free(f);
    return 0;
}

static const struct wiener_case {
    const char *corruption;
    double mild, strong; /* levels */
} cases[] = {
    {"{\"name\": \"blur\", \"half_size\": 4}", 0.01, 5},
    {"{\"name\": \"mask\", \"order\": \"rows\"}", PIXELS, 0},
    {"{\"name\": \"mask\", \"order\": \"random\", \"seed\": 4}", PIXELS, 0},
    {"{\"name\": \"vp\"}", 1, 0.05},
    {"{\"name\": \"fade\"}", 1, 0},
    {"{\"name\": \"blur-dct\"}", 0.01, 5},
    {"{\"name\": \"pixelate\"}", 0, 3},
};

enum { CASES = sizeof(cases) / sizeof(cases[0]) };

static void fit(const struct fixture *f, const struct wiener_case *test, struct corruption **c,
                struct schedule *s, struct wiener *w)
{
    struct error err;

    *c = pictures_corruption(test->corruption, SIDE);
    assert_int_equal(schedule_noise_then_levels(0.01, 0.1, 0.2, 2,
                                                (double[]){test->mild, test->strong}, s, NULL),
                     0);
    if (wiener_fit(*c, s, SIDE, CHANNELS, IMAGES, f->even, NULL, w, &err) < 0)
        fail_msg("%s", err.text);
}

/* out [channels,side,side] = D R(X) D^T per direction of colour. */
static void transform(const struct fixture *f, const struct wiener *w, const float *x, double *out)
{
    for (int i = 0; i < SIZE; i++) {
        int direction = i / PIXELS, row = i / SIDE % SIDE, column = i % SIDE;

        out[i] = 0;
        for (int p = 0; p < PIXELS; p++) {
            double color = 0;

            for (int ch = 0; ch < CHANNELS; ch++)
                color += (double)(w->colors[direction * CHANNELS + ch] * x[p * CHANNELS + ch]);
            out[i] += (double)f->dct[row * SIDE + p / SIDE] *
                      (double)f->dct[column * SIDE + p % SIDE] * color;
        }
    }
}

struct moments {
    double energy[SIZE], cross[SIZE], square[SIZE]; /* [channels,side,side] */
};

static void measure(const struct fixture *f, const struct wiener *w, const struct corruption *c,
                    double level, struct moments *m)
{
    *m = (struct moments){{0}, {0}, {0}};
    for (int i = 0; i < 2 * IMAGES; i++) {
        float residual[SIZE], corrupted[SIZE];
        double c0[SIZE], ct[SIZE];

        for (int e = 0; e < SIZE; e++)
            residual[e] = (float)((double)f->images[i * SIZE + e] - f->mean[e]);
        assert_int_equal(corruption_apply_host(c, level, CHANNELS, residual, corrupted, NULL), 0);
        transform(f, w, residual, c0);
        transform(f, w, corrupted, ct);
        for (int e = 0; e < SIZE; e++) {
            m->energy[e] += c0[e] * c0[e] / (2 * IMAGES);
            m->cross[e] += c0[e] * ct[e] / (2 * IMAGES);
            m->square[e] += ct[e] * ct[e] / (2 * IMAGES);
        }
    }
}

static void near(double got, double want, double tolerance, const char *what, int row, int i)
{
    if (!(fabs(got - want) <= tolerance * fmax(1, fabs(want))))
        fail_msg("case %d, time %d: %s is %.9g instead of %.9g", row, i, what, got, want);
}

static const double half_ulp = 0x1p-11; /* what rounding to half precision may change, of 1 */

static void tables_are_what_they_are_defined_to_be(void **state)
{
    const struct fixture *f = *state;

    for (int row = 0; row < CASES; row++) {
        struct corruption *c;
        struct schedule s;
        struct wiener w;

        fit(f, &cases[row], &c, &s, &w);
        for (int e = 0; e < SIZE; e++)
            near((double)w.mean[e], f->mean[e], 1e-6, "mean", row, 0);
        for (int i = 0; i < WIENER_TIMES; i += 16) {
            double t = (double)i / (WIENER_TIMES - 1), sigma = schedule_sigma(&s, t);
            double power = 0, error = 0;
            struct moments m;

            measure(f, &w, c, schedule_level(&s, t), &m);
            for (int p = 0; p < SIZE; p++) {
                double gain = m.cross[p] / (m.square[p] + sigma * sigma);
                int at = i * SIZE + p % PIXELS * CHANNELS + p / PIXELS;

                near((double)w.gain[at], gain, 1e-5 + half_ulp, "gain", row, i);
                assert_true(f16_to_float(f16_from_float(w.gain[at])) == w.gain[at]);
                power += (m.square[p] + sigma * sigma) / SIZE;
                error += (m.energy[p] - 2 * gain * m.cross[p] + gain * gain * m.square[p] +
                          sigma * sigma * gain * gain) /
                         SIZE;
            }
            near((double)w.scale[2 * i], 1 / sqrt(power), 1e-5, "c_in", row, i);
            near((double)w.scale[2 * i + 1], sqrt(error), 1e-5, "c_out", row, i);
        }
        wiener_fini(&w);
        schedule_fini(&s);
        corruption_destroy(c);
    }
}

/* What it is for: the rest that the network has to learn is smaller than x_0 - x_t. */
static void the_rest_is_smaller_than_the_paper_s_residual(void **state)
{
    const struct fixture *f = *state;

    for (int row = 0; row < CASES; row++) {
        struct corruption *c;
        struct schedule s;
        struct wiener w;

        fit(f, &cases[row], &c, &s, &w);
        for (int i = 0; i < WIENER_TIMES; i += 16) {
            double t = (double)i / (WIENER_TIMES - 1), sigma = schedule_sigma(&s, t), rest = 0;

            for (int k = 0; k < 2 * IMAGES; k++) {
                const float *x = f->images + k * SIZE;
                float y[SIZE];

                assert_int_equal(corruption_apply_host(c, schedule_level(&s, t), CHANNELS, x, y,
                                                       NULL),
                                 0);
                for (int e = 0; e < SIZE; e++)
                    rest += (double)((x[e] - y[e]) * (x[e] - y[e])) / (2 * IMAGES * SIZE);
            }
            assert_true((double)w.scale[2 * i + 1] < sqrt(rest + sigma * sigma));
        }
        wiener_fini(&w);
        schedule_fini(&s);
        corruption_destroy(c);
    }
}

/* R is a rotation after which the colours have nothing to do with each other, the strongest first. */
static void the_directions_of_colours_are_principal(void **state)
{
    const struct fixture *f = *state;
    double product[CHANNELS][CHANNELS] = {{0}}, covariance[CHANNELS][CHANNELS] = {{0}};
    struct corruption *c;
    struct schedule s;
    struct wiener w;

    fit(f, &cases[0], &c, &s, &w);
    for (int i = 0; i < 2 * IMAGES * PIXELS; i++) {
        double color[CHANNELS] = {0};

        for (int d = 0; d < CHANNELS; d++) {
            for (int ch = 0; ch < CHANNELS; ch++)
                color[d] +=
                    (double)w.colors[d * CHANNELS + ch] *
                    ((double)f->images[i * CHANNELS + ch] - f->mean[i % PIXELS * CHANNELS + ch]);
        }
        for (int j = 0; j < CHANNELS * CHANNELS; j++)
            covariance[j / CHANNELS][j % CHANNELS] += color[j / CHANNELS] * color[j % CHANNELS];
    }
    for (int i = 0; i < CHANNELS; i++) {
        for (int j = 0; j < CHANNELS; j++) {
            for (int k = 0; k < CHANNELS; k++)
                product[i][j] += (double)(w.colors[i * CHANNELS + k] * w.colors[j * CHANNELS + k]);
            assert_true(fabs(product[i][j] - (i == j)) <= 1e-6);
            if (i != j)
                assert_true(fabs(covariance[i][j]) <= 1e-5 * covariance[0][0]);
            if (i < j)
                assert_true(covariance[i][i] >= covariance[j][j]);
        }
    }
    wiener_fini(&w);
    schedule_fini(&s);
    corruption_destroy(c);
}

static void tables_are_interpolated(void **state)
{
    const struct fixture *f = *state;
    float gain[SIZE], c_in, c_out;
    struct corruption *c;
    struct schedule s;
    struct wiener w;

    fit(f, &cases[0], &c, &s, &w);
    for (int i = 0; i < WIENER_TIMES; i++) {
        wiener_at(&w, (double)i / (WIENER_TIMES - 1), gain, &c_in, &c_out);
        assert_memory_equal(gain, w.gain + i * SIZE, sizeof(gain));
        assert_true(c_in == w.scale[2 * i] && c_out == w.scale[2 * i + 1]);
    }
    wiener_at(&w, 40.25 / (WIENER_TIMES - 1), gain, &c_in, &c_out);
    for (int p = 0; p < SIZE; p++)
        assert_true(fabsf(gain[p] - (0.75f * w.gain[40 * SIZE + p] +
                                     0.25f * w.gain[41 * SIZE + p])) <= 1e-6f);
    assert_true(fabsf(c_in - (0.75f * w.scale[80] + 0.25f * w.scale[82])) <= 1e-6f);
    assert_true(fabsf(c_out - (0.75f * w.scale[81] + 0.25f * w.scale[83])) <= 1e-6f);
    wiener_at(&w, -1, gain, &c_in, &c_out); /* outside: the ends */
    assert_true(c_in == w.scale[0]);
    wiener_at(&w, 2, gain, &c_in, &c_out);
    assert_true(c_in == w.scale[2 * WIENER_TIMES - 2]);
    wiener_fini(&w);
    schedule_fini(&s);
    corruption_destroy(c);
}

static void the_dct_is_orthonormal(void **state)
{
    const struct fixture *f = *state;

    for (int i = 0; i < SIDE; i++) {
        for (int j = 0; j < SIDE; j++) {
            double product = 0;

            for (int k = 0; k < SIDE; k++)
                product += (double)f->dct[i * SIDE + k] * (double)f->dct[j * SIDE + k];
            assert_true(fabs(product - (i == j)) <= 1e-6);
        }
    }
}

static void one_image_is_refused(void **state)
{
    const struct fixture *f = *state;
    struct error err = {""};
    struct corruption *c;
    struct schedule s;
    struct wiener w, again;

    fit(f, &cases[0], &c, &s, &w);
    assert_int_equal(wiener_fit(c, &s, SIDE, CHANNELS, 1, f->even, NULL, &again, &err), -EINVAL);
    assert_true(err.text[0]);
    wiener_fini(&w);
    schedule_fini(&s);
    corruption_destroy(c);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_dct_is_orthonormal),
        cmocka_unit_test(tables_are_what_they_are_defined_to_be),
        cmocka_unit_test(the_rest_is_smaller_than_the_paper_s_residual),
        cmocka_unit_test(the_directions_of_colours_are_principal),
        cmocka_unit_test(tables_are_interpolated),
        cmocka_unit_test(one_image_is_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
