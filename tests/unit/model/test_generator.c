/* Lanes: the same bytes for a seed in any company, admission, cancellation, no allocation. */
#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/base/trace.h"
#include "model/checkpoint.h"
#include "tests/unit/allocations.h"
#include "tests/unit/devices.h"
#include "tests/unit/model/untrained.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 16, PIXELS = SIDE * SIDE * 3, NFE_MAX = 6, LANES = 8 };

/* Wide enough for every way that the cpu computes convolutions. */
static const struct untrained wide = {.side = SIDE, .nf = 32};
static const struct untrained narrow[] = {
    {.side = SIDE, .nf = 8},
    {.side = SIDE, .nf = 8, .corruption = "{\"name\": \"mask\", \"order\": \"spiral\"}"},
    {.side = SIDE, .nf = 8, .corruption = "{\"name\": \"noise\"}"},
};

static struct generator *make_generator(struct device *device, const struct checkpoint *c,
                                        enum precision precision, int lanes)
{
    struct generator_options options = {.precision = precision, .lanes = lanes, .nfe_max = NFE_MAX};

    return untrained_generator(device, c, &options);
}

/* One of every sampler, with NFEs and seeds that differ. */
enum { TASKS = SAMPLER_TUNED + 2 };

static void make_tasks(struct generator_task *tasks)
{
    for (int i = 0; i < TASKS; i++)
        tasks[i] = (struct generator_task){.id = (uint64_t)i,
                                           .seed = (uint64_t)(i * i) << 33 | (uint64_t)i,
                                           .sampler = (enum sampler)(i % SAMPLER_TUNED),
                                           .nfe = 1 + (5 * i) % NFE_MAX};
}

static void check_company(enum precision precision, const struct untrained *u)
{
    static const struct {
        int threads, lanes;
    } company[] = {{1, 1}, {1, 5}, {2, 2}, {2, LANES}};
    struct checkpoint *c = untrained_checkpoint(u);
    struct generator_task tasks[TASKS];
    uint8_t *alone = malloc(2 * TASKS * PIXELS), *together;
    int varied = 0;

    assert_non_null(alone);
    together = alone + TASKS * PIXELS;
    make_tasks(tasks);
    for (size_t i = 0; i < sizeof(company) / sizeof(company[0]); i++) {
        struct device *device = untrained_device("cpu", company[i].threads);
        struct generator *g = make_generator(device, c, precision, company[i].lanes);

        memset(together, 0, TASKS * PIXELS);
        untrained_draw(g, tasks, TASKS, i == 0 ? alone : together);
        if (i > 0)
            assert_memory_equal(alone, together, TASKS * PIXELS);
        assert_int_equal(generator_self_test(g, NULL), 0);
        generator_destroy(g);
        device_close(device);
    }
    for (int i = 1; i < PIXELS; i++)
        varied += alone[i] != alone[0];
    assert_true(varied > 0);
    checkpoint_destroy(c);
    free(alone);
}

static bool has_bf16(void)
{
    struct device *device = untrained_device("cpu", 1);
    enum precision precision;
    int rc = device_base(device)->ops->precision(device, PRECISION_BF16, &precision, NULL);

    device_close(device);
    return rc == 0;
}

static void test_same_bytes_in_any_company(void **state)
{
    check_company(PRECISION_FP32, &wide);
    for (size_t i = 0; i < sizeof(narrow) / sizeof(narrow[0]); i++)
        check_company(PRECISION_FP32, &narrow[i]);
}

static void test_same_bytes_in_any_company_bf16(void **state)
{
    if (!has_bf16())
        skip();
    check_company(PRECISION_BF16, &wide);
}

static void test_admission_and_cancellation(void **state)
{
    struct checkpoint *c = untrained_checkpoint(&narrow[0]);
    struct generator_task task = {.id = 7, .seed = 1, .sampler = SAMPLER_PF_2M, .nfe = 4};
    struct generator_image images[LANES];
    struct device *device;
    struct generator *g;
    struct error err;
    uint8_t expected[PIXELS], *all = calloc(10, PIXELS);
    int n;

    device = untrained_device("cpu", 1);
    g = make_generator(device, c, PRECISION_FP32, 3);
    untrained_draw(g, &task, 1, all);
    memcpy(expected, all + 7 * PIXELS, PIXELS);

    assert_int_equal(generator_tick(g, images, &n, &err), 0);
    assert_int_equal(n, 0);
    task.nfe = 0;
    assert_int_equal(generator_submit(g, &task, &err), -EINVAL);
    task.nfe = NFE_MAX + 1;
    assert_int_equal(generator_submit(g, &task, &err), -EINVAL);
    assert_int_equal(generator_busy(g), 0);

    /* Two images of job 7 and one of job 8; 7 goes away in the middle, 9 takes its place. */
    task.nfe = 4;
    assert_int_equal(generator_submit(g, &task, &err), 0);
    task.seed = 2;
    assert_int_equal(generator_submit(g, &task, &err), 0);
    task.id = 8;
    task.seed = 1;
    assert_int_equal(generator_submit(g, &task, &err), 0);
    assert_int_equal(generator_submit(g, &task, &err), -EBUSY);
    assert_int_equal(generator_tick(g, images, &n, &err), 0);
    assert_int_equal(generator_cancel(g, 7), 2);
    assert_int_equal(generator_cancel(g, 7), 0);
    assert_int_equal(generator_busy(g), 1);
    task.id = 9;
    assert_int_equal(generator_submit(g, &task, &err), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(generator_tick(g, images, &n, &err), 0);
    assert_int_equal(n, 1);
    assert_int_equal(images[0].id, 8);
    assert_memory_equal(images[0].pixels, expected, PIXELS);
    assert_int_equal(generator_tick(g, images, &n, &err), 0);
    assert_int_equal(n, 1);
    assert_int_equal(images[0].id, 9);
    assert_memory_equal(images[0].pixels, expected, PIXELS);
    assert_int_equal(generator_busy(g), 0);
    generator_destroy(g);
    device_close(device);
    checkpoint_destroy(c);
    free(all);
}

/* An image that is parked, and more than once, comes out as if it had not been. */
static void test_parking(void **state)
{
    struct checkpoint *c = untrained_checkpoint(&narrow[0]);
    struct generator_task task = {.id = 1, .seed = 5, .sampler = SAMPLER_PF_2M, .nfe = 6};
    struct generator_image images[LANES];
    struct device *device;
    struct generator *g;
    struct error err;
    uint8_t *expected = calloc(3, PIXELS);
    int n, parked = 0;

    device = untrained_device("cpu", 1);
    g = make_generator(device, c, PRECISION_FP32, 1);
    untrained_draw(g, &task, 1, expected);
    assert_int_equal(generator_park(g, 1, &err), -ENOENT);
    assert_int_equal(generator_resume(g, 1, &err), -ENOENT);
    assert_int_equal(generator_submit(g, &task, &err), 0);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(generator_tick(g, images, &n, &err), 0);
        if (i % 2 == 1)
            continue;
        assert_int_equal(generator_park(g, 1, &err), 0);
        assert_int_equal(generator_busy(g), 0);
        task.id = 2; /* another takes the lane */
        task.seed = 100 + (uint64_t)i;
        task.nfe = 2;
        assert_int_equal(generator_submit(g, &task, &err), 0);
        assert_int_equal(generator_resume(g, 1, &err), -EBUSY);
        assert_int_equal(generator_park(g, 2, &err), 0);
        task.id = 3;
        assert_int_equal(generator_submit(g, &task, &err), 0);
        assert_int_equal(generator_park(g, 3, &err), -EBUSY); /* one slot, two parked */
        assert_int_equal(generator_cancel(g, 3), 1);
        assert_int_equal(generator_resume(g, 2, &err), 0);
        for (int j = 0; j < 2; j++)
            assert_int_equal(generator_tick(g, images, &n, &err), 0);
        assert_int_equal(n, 1);
        assert_int_equal(images[0].id, 2);
        assert_int_equal(generator_resume(g, 1, &err), 0);
        parked++;
    }
    assert_int_equal(parked, 3);
    assert_int_equal(n, 1);
    assert_memory_equal(images[0].pixels, expected + PIXELS, PIXELS);

    /* Cancelled while parked: its place is free again. */
    task.id = 2;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(generator_submit(g, &task, &err), 0);
        assert_int_equal(generator_park(g, 2, &err), 0);
        assert_int_equal(generator_cancel(g, 2), 1);
        assert_int_equal(generator_resume(g, 2, &err), -ENOENT);
    }
    generator_destroy(g);

    /* The image that is furthest stays, and the one that is furthest goes on. */
    g = make_generator(device, c, PRECISION_FP32, 2);
    task = (struct generator_task){.id = 1, .seed = 5, .sampler = SAMPLER_PF_2M, .nfe = 6};
    assert_int_equal(generator_submit(g, &task, &err), 0);
    assert_int_equal(generator_tick(g, images, &n, &err), 0);
    task.seed = 6;
    assert_int_equal(generator_submit(g, &task, &err), 0);
    assert_int_equal(generator_park(g, 1, &err), 0);
    assert_int_equal(generator_tick(g, images, &n, &err), 0);
    assert_int_equal(generator_park(g, 1, &err), 0);
    assert_int_equal(generator_resume(g, 1, &err), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(generator_tick(g, images, &n, &err), 0);
    assert_int_equal(n, 1);
    assert_int_equal(images[0].seed, 5);
    assert_memory_equal(images[0].pixels, expected + PIXELS, PIXELS);
    generator_destroy(g);
    device_close(device);
    checkpoint_destroy(c);
    free(expected);
}

static void test_allocations_are_counted(void **state)
{
    void *volatile probe;

    allocations_count(true);
    probe = malloc(1);
    free(probe);
    assert_int_equal(allocations_count(false), ALLOCATIONS_COUNTED);
}

static void test_ticks_allocate_nothing(void **state)
{
    struct checkpoint *c = untrained_checkpoint(&narrow[0]);
    struct generator_task tasks[TASKS];
    struct generator_image images[LANES];
    struct device *device;
    struct trace *trace;

    make_tasks(tasks);
    for (int i = 0; test_device_at(i); i++) {
        struct generator *g;
        struct error err;
        int n;

        device = untrained_device(test_device_at(i), 2);
        g = make_generator(device, c, PRECISION_AUTO, 4);
        assert_int_equal(trace_create(100, &trace, &err), 0);
        for (int round = 0; round < 3; round++) { /* the first may warm a library up */
            if (round == 2)
                assert_int_equal(generator_trace(g, trace, "ticks", &err), 0);
            allocations_count(round >= 1);
            for (int j = 0; j < 4; j++)
                assert_int_equal(generator_submit(g, &tasks[j], &err), 0);
            assert_int_equal(generator_park(g, tasks[3].id, &err), 0);
            assert_int_equal(generator_tick(g, images, &n, &err), 0);
            assert_int_equal(generator_resume(g, tasks[3].id, &err), 0);
            while (generator_busy(g) > 0)
                assert_int_equal(generator_tick(g, images, &n, &err), 0);
            assert_int_equal(allocations_count(false), 0);
        }
        generator_destroy(g);
        trace_destroy(trace);
        device_close(device);
    }
    checkpoint_destroy(c);
}

/* What happens in a tick, in its order. */
static void test_times(void **state)
{
    struct checkpoint *c = untrained_checkpoint(&narrow[0]);
    struct generator_task task = {.id = 1, .seed = 5, .sampler = SAMPLER_PF_2M, .nfe = 3};
    struct generator_image images[LANES];
    struct generator *g;
    struct device *device;
    struct error err;
    double before = clock_seconds();
    int n;

    device = untrained_device("cpu", 2);
    g = make_generator(device, c, PRECISION_AUTO, LANES);
    assert_int_equal(generator_submit(g, &task, &err), 0);
    for (int i = 0; i < task.nfe; i++) {
        const struct generator_times *t = generator_times(g);

        assert_int_equal(generator_tick(g, images, &n, &err), 0);
        assert_true(before <= t->begin && t->begin <= t->drawn);
        assert_int_equal(t->begin < t->drawn, i == 0);
        assert_true(t->drawn <= t->written && t->written <= t->handed && t->handed <= t->filled);
        assert_true(t->filled <= t->waiting && t->waiting <= t->done && t->done <= t->end);
        assert_true(t->end <= clock_seconds());
        before = t->end;
    }
    generator_destroy(g);
    device_close(device);
    checkpoint_destroy(c);
}

/* Weights near the largest float make numbers that are none: told, never a black picture alone. */
static void test_images_that_are_not_finite(void **state)
{
    struct checkpoint *c = untrained_checkpoint(&narrow[0]);
    struct generator_task task = {.id = 7, .seed = 1, .sampler = SAMPLER_SDE_2M, .nfe = 2};
    struct generator_image images[LANES];
    struct device *device;
    struct error err = {""};

    device = untrained_device("cpu", 1);
    for (int huge = 0; huge < 2; huge++) {
        struct generator *g;
        int n = 0;

        for (size_t i = 0; huge && i < c->n_weights; i++)
            c->weights[i] = 3e38f;
        g = make_generator(device, c, PRECISION_FP32, LANES);
        assert_int_equal(generator_self_test(g, &err), huge ? -EDOM : 0);
        assert_int_equal(generator_busy(g), 0);
        assert_int_equal(generator_submit(g, &task, &err), 0);
        while (n == 0)
            assert_int_equal(generator_tick(g, images, &n, &err), 0);
        assert_int_equal(n, 1);
        assert_int_equal(images[0].finite, !huge);
        generator_destroy(g);
    }
    assert_non_null(strstr(err.text, "not finite"));
    device_close(device);
    checkpoint_destroy(c);
}

/* The test at start also runs where fewer evaluations are allowed than it would like. */
static void test_self_test_with_one_evaluation(void **state)
{
    struct checkpoint *c = untrained_checkpoint(&narrow[0]);
    struct generator_options options = {.precision = PRECISION_FP32, .lanes = 2, .nfe_max = 1};
    struct device *device;
    struct generator *g;

    for (size_t i = 0; i < c->n_weights; i++)
        c->weights[i] = 3e38f;
    device = untrained_device("cpu", 1);
    assert_int_equal(generator_create(device, c, &options, &g, NULL), 0);
    assert_int_equal(generator_self_test(g, NULL), -EDOM);
    generator_destroy(g);
    device_close(device);
    checkpoint_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bytes_in_any_company),
        cmocka_unit_test(test_same_bytes_in_any_company_bf16),
        cmocka_unit_test(test_admission_and_cancellation),
        cmocka_unit_test(test_parking),
        cmocka_unit_test(test_allocations_are_counted),
        cmocka_unit_test(test_ticks_allocate_nothing),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_images_that_are_not_finite),
        cmocka_unit_test(test_self_test_with_one_evaluation),
    };

    return cmocka_run_group_tests_name("generator", tests, NULL, NULL);
}
