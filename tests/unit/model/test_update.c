/* The update against closed forms, between devices, and between numbers of threads. */
#include "model/update.h"
#include "engine/base/error.h"
#include "engine/executor.h"
#include "engine/parameters.h"
#include "engine/program.h"
#include "engine/state.h"
#include "tests/planned.h"
#include "tests/unit/devices.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct update_numbers plain =
    {.lr = 0.1, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .t = 1, .ema_decay = 0.5};

static const char *const names[] = {UPDATE_WEIGHTS, UPDATE_EMA, UPDATE_M, UPDATE_V,
                                    UPDATE_GRADIENT};
enum { WEIGHTS, EMA, M, V, GRADIENT, ARRAYS, AVERAGES = 2 };

struct rig {
    size_t n;
    struct device *device;
    struct program *p;
    struct parameters *parameters;
    struct planned *plan;
    struct update update;
};

static void rig_init(struct rig *rig, const char *device, int n_threads, size_t n)
{
    struct plan_options options = {.precision = PRECISION_FP32, .batch_max = 1, .n_outputs = 1};
    struct error err;

    rig->n = n;
    if (device_open(device, n_threads, NULL, &rig->device, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(program_create(&rig->p, NULL), 0);
    assert_int_equal(update_append(rig->p, n, AVERAGES, &rig->update, NULL), 0);
    options.outputs = &rig->update.norm;
    assert_int_equal(parameters_create(rig->device, rig->p, &rig->parameters, NULL), 0);
    if (planned_create(rig->device, rig->p, rig->parameters, &options, &rig->plan, &err) < 0)
        fail_msg("%s", err.text);
}

static void rig_fini(struct rig *rig)
{
    planned_destroy(rig->plan);
    parameters_destroy(rig->parameters);
    program_destroy(rig->p);
    device_close(rig->device);
}

static void put(struct rig *rig, int array, const float *x)
{
    assert_int_equal(state_write(rig->plan->state, names[array], 0, x, NULL), 0);
}

static void get(struct rig *rig, int array, float *x)
{
    assert_int_equal(state_read(rig->plan->state, names[array], 0, x, NULL), 0);
}

/* Returns the norm. */
static float run(struct rig *rig, const struct update_numbers *numbers)
{
    float norm;

    update_write(&rig->update, rig->plan->executor, numbers);
    assert_int_equal(planned_run(rig->plan, 1, NULL), 0);
    assert_int_equal(planned_read(rig->plan, rig->update.norm, 0, 1, &norm, NULL), 0);
    return norm;
}

/* With a constant gradient g both moments, corrected, are exactly g and g^2: every step moves by
 * lr g / (|g| + eps). */
static void test_constant_gradient(void **state)
{
    for (int d = 0; test_device_at(d); d++) {
        const float gradient[3] = {0.5f, -2e-3f, 0}, start[3] = {1, 2, 3};
        float weights[3], ema[3], left[3];
        double average[3] = {1, 2, 3};
        struct rig rig;

        rig_init(&rig, test_device_at(d), 1, 3);
        put(&rig, WEIGHTS, start);
        put(&rig, EMA, start);
        for (int step = 0; step < 10; step++) {
            struct update_numbers numbers = plain;

            numbers.t = step + 1;
            put(&rig, GRADIENT, gradient);
            run(&rig, &numbers);
            get(&rig, WEIGHTS, weights);
            get(&rig, EMA, ema);
            get(&rig, GRADIENT, left);
            assert_float_equal(weights[0], 1 - 0.1 * (step + 1), 2e-6);
            assert_float_equal(weights[1], 2 + 0.1 * (step + 1), 2e-5);
            assert_true(weights[2] == 3); /* frozen: not even a rounding */
            for (int i = 0; i < 3; i++) {
                average[i] += 0.5 * ((double)weights[i] - average[i]);
                assert_float_equal(ema[i], average[i], 2e-6);
                assert_true(left[i] == 0);
            }
        }
        rig_fini(&rig);
    }
}

/* Each with a decay of its own, and the same weights. */
static void test_averages(void **state)
{
    for (int d = 0; test_device_at(d); d++) {
        const float gradient[3] = {0.5f, -2, 1e-3f}, start[3] = {1, 2, 3};
        double averages[AVERAGES][3];
        float weights[3], got[3];
        struct rig rig;

        rig_init(&rig, test_device_at(d), 1, 3);
        put(&rig, WEIGHTS, start);
        for (int step = 0; step < 5; step++) {
            struct update_numbers numbers = plain;

            numbers.t = step + 1;
            for (int k = 0; k < AVERAGES; k++) /* the first step's decay is 0, whatever was there */
                numbers.decays[k] = step == 0 ? 0 : 0.3 + 0.6 * k;
            put(&rig, GRADIENT, gradient);
            run(&rig, &numbers);
            get(&rig, WEIGHTS, weights);
            for (int k = 0; k < AVERAGES; k++) {
                assert_int_equal(state_read(rig.plan->state, update_average_names[k], 0, got, NULL),
                                 0);
                for (int i = 0; i < 3; i++) {
                    double decay = numbers.decays[k];

                    if (step == 0)
                        averages[k][i] = (double)weights[i];
                    averages[k][i] = decay * averages[k][i] + (1 - decay) * (double)weights[i];
                    assert_float_equal(got[i], averages[k][i], 2e-6);
                }
            }
        }
        rig_fini(&rig);
    }
}

/* The moments are of the clipped gradient: m after one step is (1 - beta1) g min(1, clip/norm). */
static void test_clip(void **state)
{
    for (int d = 0; test_device_at(d); d++) {
        const float gradient[2] = {30, 40}, zeros[2] = {0};
        struct update_numbers numbers = plain;
        float m[2], v[2];
        struct rig rig;

        rig_init(&rig, test_device_at(d), 2, 2);
        put(&rig, GRADIENT, gradient);
        numbers.clip = 1;
        assert_float_equal(run(&rig, &numbers), 50, 1e-5);
        get(&rig, M, m);
        get(&rig, V, v);
        assert_float_equal(m[0], 0.1 * 0.6, 1e-7);
        assert_float_equal(v[1], 0.001 * 0.8 * 0.8, 1e-9);

        /* Below the limit nothing is scaled. */
        put(&rig, M, zeros);
        put(&rig, GRADIENT, gradient);
        numbers.clip = 60;
        run(&rig, &numbers);
        get(&rig, M, m);
        assert_float_equal(m[0], 3, 1e-6);
        rig_fini(&rig);
    }
}

/* A gradient that is not finite changes nothing, and is gone afterwards. */
static void test_not_finite(void **state)
{
    static const float bad[] = {INFINITY, -INFINITY, NAN, 3e38f};

    for (int d = 0; test_device_at(d); d++) {
        for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++) {
            const float start[4] = {1, 2, 3, 4};
            float gradient[4] = {1, bad[k], bad[k], 2}, after[4];
            struct rig rig;
            float norm;

            rig_init(&rig, test_device_at(d), 2, 4);
            for (int i = WEIGHTS; i <= V; i++)
                put(&rig, i, start);
            put(&rig, GRADIENT, gradient);
            norm = run(&rig, &plain);
            assert_false(isfinite(norm));
            for (int i = WEIGHTS; i <= V; i++) {
                get(&rig, i, after);
                assert_memory_equal(after, start, sizeof(after));
            }
            get(&rig, GRADIENT, after);
            for (int i = 0; i < 4; i++)
                assert_true(after[i] == 0);
            rig_fini(&rig);
        }
    }
}

static void fill(float *x, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(int32_t)seed * 0x1p-31f;
    }
}

/* One update of random arrays; out [ARRAYS,n]. */
static void update_random(const char *device, int n_threads, size_t n, float *out)
{
    struct update_numbers numbers = plain;
    struct rig rig;

    numbers.t = 8;
    numbers.clip = 1;
    rig_init(&rig, device, n_threads, n);
    for (int i = 0; i < ARRAYS; i++) {
        float *x = out + (size_t)i * n;

        fill(x, n, (uint32_t)i);
        for (size_t j = 0; j < n && i == V; j++)
            x[j] = fabsf(x[j]); /* second moments */
        put(&rig, i, x);
    }
    run(&rig, &numbers);
    for (int i = 0; i < ARRAYS; i++)
        get(&rig, i, out + (size_t)i * n);
    rig_fini(&rig);
}

/* Sizes around the blocks of the sums: threads agree to the bit, and with the reference nearly. */
static void test_threads_and_devices_agree(void **state)
{
    static const size_t sizes[] = {1, 7, 16384, 16385, 64 * 16384 + 3};

    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
        size_t n = sizes[k], bytes = ARRAYS * n * sizeof(float);
        float *one = malloc(bytes), *more = malloc(bytes), *exact = malloc(bytes);

        assert_true(one && more && exact);
        update_random("cpu", 1, n, one);
        for (int n_threads = 2; n_threads <= 5; n_threads++) {
            update_random("cpu", n_threads, n, more);
            assert_memory_equal(one, more, bytes);
        }
        update_random("reference", 2, n, exact);
        for (size_t i = 0; i < ARRAYS * n; i++)
            assert_true(fabsf(one[i] - exact[i]) <= 1e-6f * fmaxf(1, fabsf(exact[i])));
        free(one);
        free(more);
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_constant_gradient),
        cmocka_unit_test(test_averages),
        cmocka_unit_test(test_clip),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_threads_and_devices_agree),
    };

    return cmocka_run_group_tests_name("update", tests, NULL, NULL);
}
