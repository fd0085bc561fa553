/* Lanes: the same bytes for a seed in any company, admission, cancellation, no allocation. */
#include "model/generator.h"
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/parameters.h"
#include "engine/program.h"
#include "model/checkpoint.h"
#include "model/corruption.h"
#include "model/ncsnpp.h"

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

#if defined(__SANITIZE_ADDRESS__)
static const bool counts_allocations = false; /* the sanitizer owns malloc */
static long allocations;
#else
/* Counts the allocations that our code makes while `counting`. oneDNN makes its own: a table of
 * the arguments for every primitive it executes (dnnl_primitive_execute, 2.6.3). */
static const bool counts_allocations = true;
static bool counting;
static long allocations;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

extern const char __executable_start, etext; /* from the linker: where our code lies */

static void count(const void *caller)
{
    if (__atomic_load_n(&counting, __ATOMIC_RELAXED) &&
        (const char *)caller >= &__executable_start && (const char *)caller < &etext)
        __atomic_add_fetch(&allocations, 1, __ATOMIC_RELAXED);
}

__attribute__((noinline)) void *malloc(size_t size)
{
    count(__builtin_return_address(0));
    return __libc_malloc(size);
}

__attribute__((noinline)) void *calloc(size_t n, size_t size)
{
    count(__builtin_return_address(0));
    return __libc_calloc(n, size);
}

__attribute__((noinline)) void *realloc(void *old, size_t size)
{
    count(__builtin_return_address(0));
    return __libc_realloc(old, size);
}

__attribute__((noinline)) void *aligned_alloc(size_t alignment, size_t size)
{
    count(__builtin_return_address(0));
    return __libc_memalign(alignment, size);
}

__attribute__((noinline)) int posix_memalign(void **out, size_t alignment, size_t size)
{
    count(__builtin_return_address(0));
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : ENOMEM;
}
#endif

static void start_counting(bool on)
{
#if !defined(__SANITIZE_ADDRESS__)
    __atomic_store_n(&counting, on, __ATOMIC_RELAXED);
#endif
}

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

    assert_int_equal(device_open("reference", 1, &device, NULL), 0);
    assert_int_equal(program_create(&p, NULL), 0);
    assert_int_equal(ncsnpp_append(p, &c->formulation.architecture,
                                   program_input(p, "x", shape_images(SIDE, SIDE, 3), VALUE_EXACT),
                                   program_input(p, "t", shape_vectors(1), VALUE_EXACT), -1, NULL,
                                   &phi, NULL),
                     0);
    assert_int_equal(parameters_create(device, p, &parameters, NULL), 0);
    ncsnpp_init(&c->formulation.architecture, parameters, 5);
    c->n_weights = parameters_count(parameters);
    c->weights = malloc(c->n_weights * sizeof(float));
    assert_non_null(c->weights);
    for (size_t i = 0; i < c->n_weights; i++) {
        float w = parameters_values(parameters)[i];

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
    struct generator_options options = {precision, slots, NFE_MAX};
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
enum { TASKS = SAMPLERS + 2 };

static void make_tasks(struct generator_task *tasks)
{
    for (int i = 0; i < TASKS; i++)
        tasks[i] = (struct generator_task){.id = (uint64_t)i,
                                           .seed = (uint64_t)(i * i) << 33 | (uint64_t)i,
                                           .sampler = (enum sampler)(i % SAMPLERS),
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

        assert_int_equal(device_open("cpu", threads, &device, NULL), 0);
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

    assert_int_equal(device_open("cpu", 1, &device, NULL), 0);
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

static void test_ticks_allocate_nothing(void **state)
{
    void *volatile probe;
    struct checkpoint *c = make_checkpoint(corruptions[0]);
    struct generator_task tasks[TASKS];
    struct generator_image images[SLOTS];
    struct device *device;

    start_counting(true); /* that the counter counts at all */
    probe = malloc(1);
    free(probe);
    start_counting(false);
    assert_int_equal(allocations, counts_allocations);
    make_tasks(tasks);
    for (int i = 0; device_name_at(i); i++) {
        struct generator *g;
        struct error err;
        int n;

        assert_int_equal(device_open(device_name_at(i), 2, &device, NULL), 0);
        g = make_generator(device, c, PRECISION_AUTO, 4);
        for (int round = 0; round < 2; round++) { /* the first may warm a library up */
            allocations = 0;
            start_counting(round == 1);
            for (int j = 0; j < 4; j++)
                assert_int_equal(generator_submit(g, &tasks[j], &err), 0);
            while (generator_busy(g) > 0)
                assert_int_equal(generator_tick(g, images, &n, &err), 0);
            start_counting(false);
        }
        if (counts_allocations)
            assert_int_equal(allocations, 0);
        generator_destroy(g);
        device_close(device);
    }
    checkpoint_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bytes_in_any_company),
        cmocka_unit_test(test_admission_and_cancellation),
        cmocka_unit_test(test_ticks_allocate_nothing),
    };

    return cmocka_run_group_tests_name("generator", tests, NULL, NULL);
}
