/* The optimiser against closed forms and against itself on several threads. */
#include "tools/train/optimizer.h"
#include "engine/base/error.h"
#include "engine/base/pool.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct optimizer_options plain =
    {.lr = 0.1, .steps = 100, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .clip = 0, .ema = 0.999};

static void test_rate(void **state)
{
    struct optimizer_options o = plain;

    o.warmup = 5;
    assert_float_equal(optimizer_lr(&o, 0), 0, 0); /* the reference's first step moves nothing */
    assert_float_equal(optimizer_lr(&o, 2), 0.04, 1e-15);
    assert_float_equal(optimizer_lr(&o, 5), 0.1, 0);
    assert_float_equal(optimizer_lr(&o, 99), 0.1, 0);

    o.decay_from = 0.5;
    o.decay = DECAY_LINEAR;
    assert_float_equal(optimizer_lr(&o, 50), 0.1, 1e-15);
    assert_float_equal(optimizer_lr(&o, 75), 0.05, 1e-15);
    assert_float_equal(optimizer_lr(&o, 100), 0, 1e-15);
    assert_float_equal(optimizer_lr(&o, 1000), 0, 1e-15); /* resumed with fewer steps */

    o.decay = DECAY_COSINE;
    assert_float_equal(optimizer_lr(&o, 75), 0.05, 1e-12);
    assert_float_equal(optimizer_lr(&o, 60), 0.05 * (1 + cos(M_PI / 5)), 1e-12);
}

static void test_ema_ramp(void **state)
{
    assert_float_equal(optimizer_ema_decay(&plain, 1), 2.0 / 11, 1e-15);
    assert_float_equal(optimizer_ema_decay(&plain, 3), 4.0 / 13, 1e-15);
    assert_float_equal(optimizer_ema_decay(&plain, 1000000), 0.999, 0);
}

/* With a constant gradient g both moments, corrected, are exactly g and g^2: every step moves by
 * lr g / (|g| + eps). */
static void test_constant_gradient(void **state)
{
    float weights[3] = {1, 2, 3}, ema[3] = {1, 2, 3}, m[3] = {0}, v[3] = {0};
    const float gradient[3] = {0.5f, -2e-3f, 0};
    struct optimizer_state s = {3, weights, ema, m, v, gradient};
    double average[3] = {1, 2, 3};

    for (uint64_t step = 0; step < 10; step++) {
        double decay = optimizer_ema_decay(&plain, step + 1);

        optimizer_update(&plain, NULL, step, 1, &s);
        assert_float_equal(weights[0], 1 - 0.1 * (double)(step + 1), 2e-6);
        assert_float_equal(weights[1], 2 + 0.1 * (double)(step + 1), 2e-5);
        assert_true(weights[2] == 3); /* frozen: not even a rounding */
        for (int i = 0; i < 3; i++) {
            average[i] += (1 - decay) * (weights[i] - average[i]);
            assert_float_equal(ema[i], average[i], 2e-6);
        }
    }
    assert_true(ema[2] == 3);
}

/* The moments are of the clipped gradient: m after one step is (1 - beta1) g min(1, clip/norm). */
static void test_clip(void **state)
{
    struct optimizer_options o = plain;
    float weights[2] = {0}, ema[2] = {0}, m[2] = {0}, v[2] = {0};
    const float gradient[2] = {30, 40};
    struct optimizer_state s = {2, weights, ema, m, v, gradient};
    double norm = optimizer_norm(NULL, gradient, 2);

    assert_float_equal(norm, 50, 1e-12);
    o.clip = 1;
    optimizer_update(&o, NULL, 0, norm, &s);
    assert_float_equal(m[0], 0.1 * 0.6, 1e-7);
    assert_float_equal(v[1], 0.001 * 0.8 * 0.8, 1e-9);

    /* Below the limit nothing is scaled. */
    m[0] = m[1] = 0;
    o.clip = 60;
    optimizer_update(&o, NULL, 0, norm, &s);
    assert_float_equal(m[0], 3, 1e-6);
}

static void fill(float *x, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(int32_t)seed * 0x1p-31f;
    }
}

/* Sizes around the blocks of the sums; one thread and three must agree to the bit. */
static void test_threads_agree(void **state)
{
    static const size_t sizes[] = {1, 7, 16384, 16385, 64 * 16384 + 3};
    struct pool *pool;
    struct error err;

    assert_int_equal(pool_create(3, &pool, &err), 0);
    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
        size_t n = sizes[k];
        float *one = malloc(5 * n * sizeof(float)), *three = malloc(5 * n * sizeof(float));
        struct optimizer_state a, b;
        double norm, exact = 0;

        assert_non_null(one);
        assert_non_null(three);
        fill(one, 5 * n, 1);
        for (size_t i = 3 * n; i < 4 * n; i++)
            one[i] = fabsf(one[i]); /* second moments */
        memcpy(three, one, 5 * n * sizeof(float));
        a = (struct optimizer_state){n, one, one + n, one + 2 * n, one + 3 * n, one + 4 * n};
        b = (struct optimizer_state){n,
                                     three,
                                     three + n,
                                     three + 2 * n,
                                     three + 3 * n,
                                     three + 4 * n};
        norm = optimizer_norm(NULL, a.gradient, n);
        for (size_t i = 0; i < n; i++)
            exact += (double)a.gradient[i] * a.gradient[i];
        assert_float_equal(norm / sqrt(exact), 1, 1e-12);
        assert_true(norm == optimizer_norm(pool, b.gradient, n));
        optimizer_update(&plain, NULL, 7, norm, &a);
        optimizer_update(&plain, pool, 7, norm, &b);
        assert_memory_equal(one, three, 5 * n * sizeof(float));
        free(one);
        free(three);
    }
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_ema_ramp),
        cmocka_unit_test(test_constant_gradient),
        cmocka_unit_test(test_clip),
        cmocka_unit_test(test_threads_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
