/* What a choice rests on: ranks, features without a network, power and clipping. */
#include "tools/eval/appearance.h"
#include "tools/eval/choose.h"
#include "tools/eval/gist.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 16, SIZE = SIDE * SIDE * 3, PICTURES = 200 };

static void ranks_decide_together(void **state)
{
    struct choose_row rows[] = {
        {.nfe = 20, .measures = {1, 5, 5, 5}}, /* the best by one alone */
        {.nfe = 20, .measures = {2, 2, 2, 2}},
        {.nfe = 10, .measures = {3, 1, 3, 3}},
        {.nfe = 10, .measures = {4, 4, 1, 1}},
    };
    struct choose_row equal[] = {
        {.nfe = 20, .measures = {1, 2, 1, 2}},
        {.nfe = 10, .measures = {2, 1, 2, 1}},
        {.nfe = 10, .measures = {2, 1, 2, 1}},
    };

    assert_int_equal(choose_rank(4, rows), 1);
    assert_int_equal(rows[0].rank, 9);
    assert_int_equal(rows[1].rank, 1 + 1 + 1 + 1);
    assert_int_equal(rows[3].rank, 3 + 2 + 0 + 0);
    assert_int_equal(choose_rank(3, equal), 1); /* fewer evaluations, then the first */
    assert_int_equal(equal[0].rank, equal[1].rank + 2);
}

static void fill(uint8_t *picture, int (*value)(int y, int x, int c))
{
    for (int i = 0; i < SIZE; i++)
        picture[i] = (uint8_t)value(i / 3 / SIDE, i / 3 % SIDE, i % 3);
}

static int flat(int y, int x, int c)
{
    return c == 1 ? 100 : 50;
}

static int columns(int y, int x, int c)
{
    return x % 2 ? 200 : 100;
}

/* The sum of a colour's features of one direction at one scale. */
static double edges(const double *gist, int colour, int scale, int direction)
{
    double sum = 0;
    int first = colour * GIST_FIELDS * (1 + GIST_SCALES * GIST_DIRECTIONS) +
                GIST_FIELDS * (1 + scale * GIST_DIRECTIONS + direction);

    for (int i = 0; i < GIST_FIELDS; i++)
        sum += gist[first + i];
    return sum;
}

static void a_gist_tells_edges_by_direction_and_scale(void **state)
{
    static double gist[GIST_FEATURES];
    static uint8_t picture[SIZE];

    fill(picture, flat);
    assert_int_equal(gist_compute(1, SIDE, picture, gist, NULL), 0);
    assert_true(fabs(gist[0] - (0.413 * 50 + 0.587 * 100) / 255) < 1e-9);
    for (int colour = 0; colour < GIST_COLOURS; colour++) {
        for (int i = 0; i < GIST_SCALES * GIST_DIRECTIONS; i++)
            assert_true(fabs(edges(gist, colour, i / GIST_DIRECTIONS, i % GIST_DIRECTIONS)) < 1e-9);
    }
    fill(picture, columns);
    assert_int_equal(gist_compute(1, SIDE, picture, gist, NULL), 0);
    assert_true(fabs(edges(gist, 0, 0, 0) - 16 * 100 / 255.0) < 1e-9);
    assert_true(edges(gist, 0, 0, 1) < 1e-9);
    assert_true(edges(gist, 0, 0, 2) > 6 && edges(gist, 0, 0, 3) > 6);
    assert_true(edges(gist, 0, 1, 0) < 1e-9); /* halved, it is grey */
    assert_true(edges(gist, 1, 0, 0) < 1e-9); /* it has no colour */
}

static void a_reference_has_mean_0_and_deviation_1(void **state)
{
    double *gist = calloc(3 * GIST_FEATURES, sizeof(*gist)), *other = gist + 2 * GIST_FEATURES;
    double mean[GIST_FEATURES], deviation[GIST_FEATURES];

    assert_non_null(gist);
    gist[0] = 1;
    gist[GIST_FEATURES] = 3;
    other[0] = 4;
    other[1] = 7 / 255.0;
    gist_standardise(2, gist, mean, deviation);
    gist_scale(1, other, mean, deviation);
    assert_true(mean[0] == 2 && deviation[0] == 1);
    assert_true(gist[0] == -1 && gist[GIST_FEATURES] == 1);
    assert_true(other[0] == 2 && fabs(other[1] - 7) < 1e-9);
    free(gist);
}

/* Real pictures that are all grey, and one that is a little red: as far as its colour can be seen. */
static void colour_beside_grey_counts_by_what_can_be_seen(void **state)
{
    static uint8_t real[2 * SIZE], other[SIZE];
    double *gist = calloc(3 * GIST_FEATURES, sizeof(*gist)), *sample = gist + 2 * GIST_FEATURES;
    double mean[GIST_FEATURES], deviation[GIST_FEATURES], most = 0;

    assert_non_null(gist);
    for (int i = 0; i < 2 * SIZE; i++)
        real[i] = (uint8_t)(7 * (i / 3 % 31) + i / SIZE);
    for (int i = 0; i < SIZE; i++)
        other[i] = (uint8_t)(real[i] + 10 * (i % 3 == 0));
    assert_int_equal(gist_compute(2, SIDE, real, gist, NULL), 0);
    assert_int_equal(gist_compute(1, SIDE, other, sample, NULL), 0);
    gist_standardise(2, gist, mean, deviation);
    gist_scale(1, sample, mean, deviation);
    for (int i = 0; i < GIST_FEATURES; i++)
        most = fmax(most, fabs(sample[i]));
    assert_true(most > 1 && most < 10);
    free(gist);
}

/* Noise of one strength in all pixels, grey or in each colour by itself. */
static uint8_t *noise(int strength, int grey)
{
    uint8_t *pixels = malloc((size_t)PICTURES * SIZE);
    uint32_t number = 1;

    assert_non_null(pixels);
    for (int i = 0; i < PICTURES * SIZE; i++) {
        if (!grey || i % 3 == 0)
            number = number * 1664525u + 1013904223u;
        pixels[i] = (uint8_t)(128 + (int)(number >> 16) % (2 * strength + 1) - strength);
    }
    return pixels;
}

static void power_is_that_of_bands_and_colours(void **state)
{
    uint8_t *weak = noise(20, 1), *strong = noise(40, 1), *coloured = noise(20, 0);
    struct appearance a, b, c;

    assert_int_equal(appearance_of_pixels(PICTURES, SIDE, weak, &a, NULL), 0);
    assert_int_equal(appearance_of_pixels(PICTURES, SIDE, strong, &b, NULL), 0);
    assert_int_equal(appearance_of_pixels(PICTURES, SIDE, coloured, &c, NULL), 0);
    assert_int_equal(a.n_bands, 5);
    for (int band = 1; band < 5; band++) {
        double n = (1 << 2 * band) - (1 << 2 * (band - 1)); /* modes: white noise has alike */

        assert_true(fabs(a.luma[band] / n / (20 * 21 / 3.0 / 255 / 255) - 1) < 0.15);
        assert_true(fabs(b.luma[band] / a.luma[band] / (40 * 41 / (20.0 * 21)) - 1) < 0.25);
        assert_true(a.chroma[band] < 1e-9 && c.chroma[band] > 0.1 * c.luma[band]);
    }
    assert_true(appearance_difference(&a, &a) == 0);
    assert_true(appearance_difference(&b, &a) > 0.5 * log(4) * sqrt(0.5));
    assert_true(appearance_difference(&b, &a) == appearance_difference(&a, &b));
    assert_true(a.clipped == 0);
    memset(weak, 255, SIZE);
    memset(weak + SIZE, 0, SIZE);
    assert_int_equal(appearance_of_pixels(PICTURES, SIDE, weak, &a, NULL), 0);
    assert_true(fabs(a.clipped - 2.0 / PICTURES) < 1e-12);
    free(weak);
    free(strong);
    free(coloured);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_decide_together),
        cmocka_unit_test(a_gist_tells_edges_by_direction_and_scale),
        cmocka_unit_test(a_reference_has_mean_0_and_deviation_1),
        cmocka_unit_test(colour_beside_grey_counts_by_what_can_be_seen),
        cmocka_unit_test(power_is_that_of_bands_and_colours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
