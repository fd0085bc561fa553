/* The inner loops of the cpu device, in every compilation that this processor can run. Conformance
 * tests see only the best one. */
#include "engine/cpu/loops.h"

#include "engine/base/bf16.h"
#include "engine/base/philox.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { COUNT = 3 * 512 + 37 }; /* several tiles, a part of one, and a part of a vector */

static float inputs[COUNT], others[COUNT];

/* Numbers in [-scale, scale), the same at every call. */
static void fill(float *x, size_t n, float scale, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = ((float)(seed >> 8) * 0x1p-23f - 1.0f) * scale;
    }
}

static double silu(double x)
{
    return x / (1.0 + exp(-x));
}

static double silu_slope(double x)
{
    double s = 1.0 / (1.0 + exp(-x));

    return s * (1.0 + x * (1.0 - s));
}

static void expect_near(const struct cpu_loops *loops, const char *what, size_t i, double value,
                        double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%s, %s, element %zu: %.9g instead of %.9g", loops->name, what, i, value,
                 expected);
}

static void test_rounding_is_that_of_the_engine(void **state)
{
    const struct cpu_loops *loops;

    fill(inputs, COUNT, 1e3f, 1);
    inputs[0] = INFINITY;
    inputs[1] = -INFINITY;
    inputs[2] = -0.0f;
    inputs[3] = 3.4028235e38f; /* the largest float: rounds to infinity */
    inputs[4] = 1.00390625f;   /* half way between two, both ways */
    inputs[5] = 1.01171875f;
    inputs[COUNT - 1] = 1.00390625f;
    for (int set = 0; (loops = loops_at(set)) != NULL; set++) {
        uint16_t halves[COUNT];
        float nan = NAN, back[COUNT];

        loops->pointwise->affine(inputs, DTYPE_F32, halves, DTYPE_BF16, COUNT, 1.0f, -0.0f);
        for (size_t i = 0; i < COUNT; i++) {
            if (halves[i] != bf16_from_float(inputs[i]))
                fail_msg("%s: %g became %04x", loops->name, inputs[i], halves[i]);
        }
        loops->pointwise->affine(halves, DTYPE_BF16, back, DTYPE_F32, COUNT, 1.0f, -0.0f);
        for (size_t i = 0; i < COUNT; i++)
            assert_true(back[i] == bf16_to_float(halves[i]));
        loops->pointwise->affine(&nan, DTYPE_F32, halves, DTYPE_BF16, 1, 1.0f, 0.0f);
        assert_true(isnan(bf16_to_float(halves[0])));
    }
}

static void test_silu_over_its_range(void **state)
{
    const struct cpu_loops *loops;

    for (size_t i = 0; i < COUNT; i++)
        inputs[i] = (float)i * (200.0f / COUNT) - 100.0f;
    fill(others, COUNT, 2.0f, 2);
    for (int set = 0; (loops = loops_at(set)) != NULL; set++) {
        static const float extremes[] = {-3e38f, -1e4f, 0.0f, 1e-38f, 1e4f, 3e38f};
        float y[COUNT], dx[COUNT], limits[6], nan = NAN;

        loops->pointwise->silu(inputs, y, DTYPE_F32, COUNT);
        loops->pointwise->silu_grad(inputs, others, dx, DTYPE_F32, COUNT);
        for (size_t i = 0; i < COUNT; i++) {
            double x = inputs[i], slope = silu_slope(x);

            /* Below -87, exp(-x) is held at exp(87): SiLU is then as good as zero. */
            expect_near(loops, "silu", i, y[i], silu(x), 4e-7 * fabs(silu(x)) + 2e-36);
            expect_near(loops, "silu_grad", i, dx[i], others[i] * slope, 1e-6 * fabs(x) + 1e-6);
        }
        loops->pointwise->silu(extremes, limits, DTYPE_F32, 6);
        for (size_t i = 0; i < 6; i++)
            expect_near(loops, "silu", i, limits[i], i < 3 ? 0.0 : silu(extremes[i]), 0.0);
        loops->pointwise->silu(&nan, y, DTYPE_F32, 1);
        assert_true(isnan(y[0]));
    }
}

/* Wherever an element lies in a vector or behind the last whole one, it gets the same bits. */
static void test_place_does_not_matter(void **state)
{
    const struct cpu_loops *loops;

    fill(inputs, COUNT, 5.0f, 3);
    fill(others, COUNT, 5.0f, 4);
    for (int set = 0; (loops = loops_at(set)) != NULL; set++) {
        float whole[COUNT], part[COUNT];

        loops->pointwise->silu_grad(inputs, others, whole, DTYPE_F32, COUNT);
        for (size_t first = 0; first < 40; first++) {
            size_t n = 41 - first;

            loops->pointwise->silu_grad(inputs + first, others + first, part, DTYPE_F32, n);
            assert_memory_equal(part, whole + first, n * sizeof(*part));
        }
    }
}

static void test_dropout_draws_what_the_host_draws(void **state)
{
    const struct philox_key key = philox_key(0x123456789ABCDEFu, 7, 9);
    const struct cpu_loops *loops;

    philox_uniforms(&key, PHILOX_STREAM_DROPOUT, COUNT, inputs);
    for (int set = 0; (loops = loops_at(set)) != NULL; set++) {
        float m[COUNT];

        loops->pointwise->dropout_mask(&key, PHILOX_STREAM_DROPOUT, 0.3f, 1.25f, m, DTYPE_F32,
                                       COUNT);
        for (size_t i = 0; i < COUNT; i++)
            expect_near(loops, "mask", i, m[i], inputs[i] < 0.3f ? 0.0 : 1.25, 0.0);
    }
}

static void test_sums_keep_their_digits(void **state)
{
    enum { WIDTH = 20, ROWS = COUNT / WIDTH };
    const struct cpu_loops *loops;

    fill(inputs, COUNT, 1e-3f, 5);
    for (size_t i = 0; i < COUNT; i++)
        inputs[i] += 10.0f;
    for (int set = 0; (loops = loops_at(set)) != NULL; set++) {
        float sum[WIDTH] = {0}, square[WIDTH] = {0};

        loops->norm->sums(inputs, DTYPE_F32, ROWS * WIDTH, WIDTH, inputs, sum, square);
        for (size_t j = 0; j < WIDTH; j++) {
            double expected = 0.0, expected_square = 0.0;

            for (size_t i = 0; i < ROWS; i++) {
                double d = (double)inputs[i * WIDTH + j] - inputs[j];

                expected += d;
                expected_square += d * d;
            }
            expect_near(loops, "sum", j, sum[j], expected, 1e-8);
            expect_near(loops, "square", j, square[j], expected_square, 1e-6 * expected_square);
        }
    }
}

static void test_matrix_products(void **state)
{
    enum { M = 7, K = 9, N = 37 }; /* none a multiple of a block */
    const struct cpu_loops *loops;

    fill(inputs, COUNT, 1.0f, 6);
    fill(others, COUNT, 1.0f, 7);
    for (int set = 0; (loops = loops_at(set)) != NULL; set++) {
        float plain[M * N], transposed[M * N];

        loops->product->matrix(inputs, K, 1, others, plain, M, K, N);
        loops->product->matrix(inputs, 1, M, others, transposed, M, K, N);
        for (size_t i = 0; i < M; i++) {
            for (size_t j = 0; j < N; j++) {
                double expected = 0.0, expected_transposed = 0.0;

                for (size_t t = 0; t < K; t++) {
                    expected += (double)inputs[i * K + t] * others[t * N + j];
                    expected_transposed += (double)inputs[t * M + i] * others[t * N + j];
                }
                expect_near(loops, "product", i * N + j, plain[i * N + j], expected, 1e-6);
                expect_near(loops, "product of a transposed matrix", i * N + j,
                            transposed[i * N + j], expected_transposed, 1e-6);
            }
        }
    }
}

static void test_combinations_of_any_number(void **state)
{
    const struct cpu_loops *loops;

    fill(inputs, COUNT, 1.0f, 8);
    for (int set = 0; (loops = loops_at(set)) != NULL; set++) {
        const float weights[] = {0.5f, -2.0f, 3.0f, 1.0f, -0.25f};
        const enum dtype types[5] = {DTYPE_F32};
        enum { N = COUNT - 4 };
        const void *x[5];
        float y[N];

        for (size_t i = 0; i < 5; i++)
            x[i] = inputs + i;
        for (int n = 1; n <= 5; n++) {
            loops->product->combine(x, types, weights, n, N, y, DTYPE_F32);
            for (size_t i = 0; i < N; i++) {
                double expected = 0.0;

                for (int j = 0; j < n; j++)
                    expected += (double)weights[j] * inputs[i + (size_t)j];
                expect_near(loops, "combination", i, y[i], expected, 2e-6);
            }
        }
    }
}

static void test_choices_and_means(void **state)
{
    const struct cpu_loops *loops;

    fill(inputs, COUNT, 4.0f, 21);
    fill(others, COUNT, 4.0f, 22);
    inputs[7] = NAN;
    for (int set = 0; (loops = loops_at(set)) != NULL; set++) {
        const void *terms[] = {others, inputs};
        float y[COUNT];

        loops->pointwise->relu(inputs, y, DTYPE_F32, COUNT, INFINITY);
        assert_true(isnan(y[7]));
        for (size_t i = 8; i < COUNT; i++)
            expect_near(loops, "relu", i, y[i], fmax(inputs[i], 0.0), 0.0);
        loops->pointwise->relu(inputs, y, DTYPE_F32, COUNT, 1.5f);
        assert_true(isnan(y[7]));
        for (size_t i = 8; i < COUNT; i++)
            expect_near(loops, "relu", i, y[i], fmin(fmax(inputs[i], 0.0), 1.5), 0.0);
        loops->pooling->largest(terms, 2, DTYPE_F32, COUNT, y);
        for (size_t i = 8; i < COUNT; i++)
            expect_near(loops, "largest", i, y[i], fmax(inputs[i], others[i]), 0.0);
        /* A first row so large that float32 would lose the others. */
        for (size_t i = 0; i < 17; i++)
            y[i] = 0x1p24f;
        for (size_t i = 17; i < 17 * 9; i++)
            y[i] = 1.0f;
        loops->pooling->means(y, DTYPE_F32, 9, 17, others);
        for (size_t i = 0; i < 17; i++)
            expect_near(loops, "means", i, others[i], (0x1p24 + 8) / 9, 0.1);
        fill(others, COUNT, 4.0f, 22);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounding_is_that_of_the_engine),
        cmocka_unit_test(test_silu_over_its_range),
        cmocka_unit_test(test_place_does_not_matter),
        cmocka_unit_test(test_dropout_draws_what_the_host_draws),
        cmocka_unit_test(test_sums_keep_their_digits),
        cmocka_unit_test(test_matrix_products),
        cmocka_unit_test(test_combinations_of_any_number),
        cmocka_unit_test(test_choices_and_means),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
