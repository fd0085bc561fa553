/* Lanes: the same bytes for a seed in any company, admission, cancellation, no allocation. */
#include "model/generator.h"
#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/base/trace.h"
#include "engine/parameters.h"
#include "engine/program.h"
#include "model/checkpoint.h"
#include "model/corruption.h"
#include "model/ncsnpp.h"
#include "tests/unit/allocations.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

enum { SIDE = 16, PIXELS = SIDE * SIDE * 3, NFE_MAX = 12, SLOTS = 8 };

static const char *const corruptions[] = {
    "{\"name\": \"blur\", \"half_size\": 16}",
    "{\"name\": \"mask\", \"order\": \"spiral\"}",
    "{\"name\": \"noise\"}",
};

/* An untrained network with weights that leave nothing at zero, wide enough for every way that the
 * cpu computes convolutions. */
static void make_weights(struct checkpoint *c)
{
    struct device *device;
    struct parameters *parameters;
    struct program *p;
    int phi;

    assert_int_equal(device_open("reference", 1, NULL, &device, NULL), 0);
    assert_int_equal(program_create(&p, NULL), 0);
    assert_int_equal(ncsnpp_append(p, &c->formulation.architecture,
                                   program_input(p, "x", shape_images(SIDE, SIDE, 3), VALUE_EXACT),
                                   program_input(p, "t", shape_vectors(1), VALUE_EXACT), -1, -1,
                                   NULL, &phi, NULL),
                     0);
    assert_int_equal(parameters_create(device, p, &parameters, NULL), 0);
    c->n_weights = parameters_count(parameters);
    c->weights = malloc(c->n_weights * sizeof(float));
    assert_non_null(c->weights);
    ncsnpp_init(&c->formulation.architecture, parameters, 5, c->weights);
    for (size_t i = 0; i < c->n_weights; i++) {
        float w = c->weights[i];

        c->weights[i] = w > -1e-4f && w < 1e-4f ? 0.05f * (float)((int)(i % 7) - 3) : w;
    }
    parameters_destroy(parameters);
    program_destroy(p);
    device_close(device);
}

static struct checkpoint *make_checkpoint(const char *corruption)
{
    static const double blur[] = {0.01, 0.5, 1, 2, 4}, mask[] = {256, 128, 64, 16, 0};
    struct checkpoint *c = calloc(1, sizeof(*c));
    struct formulation *f = &c->formulation;
    json_t *json = json_loads(corruption, 0, NULL);
    struct error err;

    f->architecture = (struct architecture){.image_size = SIDE,
                                            .num_channels = 3,
                                            .nf = 32,
                                            .n_levels = 2,
                                            .ch_mult = {1, 2},
                                            .num_res_blocks = 1,
                                            .n_attn = 1,
                                            .attn_resolutions = {8},
                                            .embedding_type = EMBEDDING_FOURIER,
                                            .fourier_scale = 16};
    if (corruption_create(json, SIDE, SIDE, &f->corruption, &err) < 0 ||
        schedule_noise_then_levels(0.01, 0.1, 0.2, 5, strstr(corruption, "mask") ? mask : blur,
                                   &f->schedule, &err) < 0)
        fail_msg("%s", err.text);
    json_decref(json);
    f->prior.side = SIDE;
    f->prior.channels = 3;
    make_weights(c);
    return c;
}

static struct generator *make_generator(struct device *device, const struct checkpoint *c,
                                        enum precision precision, int slots)
{
    struct generator_options options = {.precision = precision, .slots = slots, .nfe_max = NFE_MAX};
    struct generator *g;
    struct error err;

    if (generator_create(device, c, &options, &g, &err) < 0)
        fail_msg("%s", err.text);
    return g;
}

/* Runs all tasks, as many at a time as there are slots, and keeps the pixels by id. */
static void run(struct generator *g, const struct generator_task *tasks, int n, uint8_t *pixels)
{
    struct generator_image images[SLOTS];
    struct error err;
    int next = 0, done = 0, ticks = 0;

    while (done < n) {
        int finished;

        while (next < n && generator_busy(g) < generator_slots(g))
            assert_int_equal(generator_submit(g, &tasks[next++], &err), 0);
        if (generator_tick(g, images, &finished, &err) < 0)
            fail_msg("%s", err.text);
        for (int i = 0; i < finished; i++)
            memcpy(pixels + images[i].id * PIXELS, images[i].pixels, PIXELS);
        done += finished;
        assert_true(++ticks < 1000);
    }
    assert_int_equal(generator_busy(g), 0);
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

static void check_company(enum precision precision, const char *corruption)
{
    struct checkpoint *c = make_checkpoint(corruption);
    struct generator_task tasks[TASKS];
    uint8_t *alone = malloc(2 * TASKS * PIXELS), *together = alone + TASKS * PIXELS;
    int varied = 0;

    assert_non_null(alone);
    make_tasks(tasks);
    for (int threads = 1; threads <= 2; threads++) {
        struct device *device;
        enum precision resolved;
        struct generator *g;

        assert_int_equal(device_open("cpu", threads, NULL, &device, NULL), 0);
        if (device_base(device)->ops->precision(device, precision, &resolved, NULL) < 0) {
            device_close(device);
            print_message("# no %s here\n", precision_name(precision));
            break;
        }
        if (threads == 1) {
            g = make_generator(device, c, precision, 1);
            for (int i = 0; i < TASKS; i++)
                run(g, &tasks[i], 1, alone);
            generator_destroy(g);
        }
        for (int slots = 2; slots <= SLOTS; slots += 3) {
            g = make_generator(device, c, precision, slots);
            memset(together, 0, TASKS * PIXELS);
            run(g, tasks, TASKS, together);
            assert_memory_equal(alone, together, TASKS * PIXELS);
            assert_int_equal(generator_self_test(g, NULL), 0);
            generator_destroy(g);
        }
        device_close(device);
    }
    for (int i = 1; i < PIXELS; i++)
        varied += alone[i] != alone[0];
    assert_true(precision != PRECISION_FP32 || varied > 0);
    checkpoint_destroy(c);
    free(alone);
}

static void test_same_bytes_in_any_company(void **state)
{
    for (size_t i = 0; i < sizeof(corruptions) / sizeof(corruptions[0]); i++) {
        check_company(PRECISION_FP32, corruptions[i]);
        check_company(PRECISION_BF16, corruptions[i]);
    }
}

static void test_admission_and_cancellation(void **state)
{
    struct checkpoint *c = make_checkpoint(corruptions[0]);
    struct generator_task task = {.id = 7, .seed = 1, .sampler = SAMPLER_PF_2M, .nfe = 4};
    struct generator_image images[SLOTS];
    struct device *device;
    struct generator *g;
    struct error err;
    uint8_t expected[PIXELS], *all = calloc(10, PIXELS);
    int n;

    assert_int_equal(device_open("cpu", 1, NULL, &device, NULL), 0);
    g = make_generator(device, c, PRECISION_FP32, 3);
    run(g, &task, 1, all);
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
    struct checkpoint *c = make_checkpoint(corruptions[0]);
    struct generator_task task = {.id = 1, .seed = 5, .sampler = SAMPLER_PF_2M, .nfe = 6};
    struct generator_image images[SLOTS];
    struct device *device;
    struct generator *g;
    struct error err;
    uint8_t *expected = calloc(3, PIXELS);
    int n, parked = 0;

    assert_int_equal(device_open("cpu", 1, NULL, &device, NULL), 0);
    g = make_generator(device, c, PRECISION_FP32, 1);
    run(g, &task, 1, expected);
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
        assert_int_equal(generator_park(g, 2, &err), -EBUSY); /* one slot, one parked */
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
    struct checkpoint *c = make_checkpoint(corruptions[0]);
    struct generator_task tasks[TASKS];
    struct generator_image images[SLOTS];
    struct device *device;
    struct trace *trace;

    make_tasks(tasks);
    for (int i = 0; device_name_at(i); i++) {
        struct generator *g;
        struct error err;
        int n;

        assert_int_equal(device_open(device_name_at(i), 2, NULL, &device, NULL), 0);
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
    struct checkpoint *c = make_checkpoint(corruptions[0]);
    struct generator_task task = {.id = 1, .seed = 5, .sampler = SAMPLER_PF_2M, .nfe = 3};
    struct generator_image images[SLOTS];
    struct generator *g;
    struct device *device;
    struct error err;
    double before = clock_seconds();
    int n;

    assert_int_equal(device_open("cpu", 2, NULL, &device, NULL), 0);
    g = make_generator(device, c, PRECISION_AUTO, SLOTS);
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
    struct checkpoint *c = make_checkpoint(corruptions[0]);
    struct generator_task task = {.id = 7, .seed = 1, .sampler = SAMPLER_SDE_2M, .nfe = 2};
    struct generator_image images[SLOTS];
    struct device *device;
    struct error err = {""};

    assert_int_equal(device_open("cpu", 1, NULL, &device, NULL), 0);
    for (int huge = 0; huge < 2; huge++) {
        struct generator *g;
        int n = 0;

        for (size_t i = 0; huge && i < c->n_weights; i++)
            c->weights[i] = 3e38f;
        g = make_generator(device, c, PRECISION_FP32, SLOTS);
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
    struct checkpoint *c = make_checkpoint(corruptions[0]);
    struct generator_options options = {.precision = PRECISION_FP32, .slots = 2, .nfe_max = 1};
    struct device *device;
    struct generator *g;

    for (size_t i = 0; i < c->n_weights; i++)
        c->weights[i] = 3e38f;
    assert_int_equal(device_open("cpu", 1, NULL, &device, NULL), 0);
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
