/* The engine's thread with a real model and a device that fails or hangs when told to: the linker
 * puts __wrap_generator_tick() in front of the real one.
 */
#include "server/engine_shelf.h"
#include "server/engine_thread.h"

#include "config/settings.h"
#include "engine/base/log.h"
#include "model/generator.h"
#include "server/job.h"
#include "tests/api/small_checkpoint.h"
#include "tests/unit/allocations.h"

#include <errno.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

enum { SIDE = 16, IMAGE_BYTES = SIDE * SIDE * 3, SLOTS = 2, IMAGES_MAX = 4 };

static atomic_int ticks_to_fail, images_to_spoil, failure = -EIO;
static atomic_bool hold_ticks;
static sem_t tick_held, tick_go, woken;

int __real_generator_tick(struct generator *g, struct generator_image *images, int *n_images,
                          struct error *err);
int __wrap_generator_tick(struct generator *g, struct generator_image *images, int *n_images,
                          struct error *err);

int __wrap_generator_tick(struct generator *g, struct generator_image *images, int *n_images,
                          struct error *err)
{
    int rc;

    if (atomic_load(&hold_ticks)) {
        sem_post(&tick_held);
        sem_wait(&tick_go);
    }
    if (atomic_load(&ticks_to_fail) > 0) {
        atomic_fetch_sub(&ticks_to_fail, 1);
        return error_set(err, atomic_load(&failure), "the device is told to fail");
    }
    rc = __real_generator_tick(g, images, n_images, err);
    for (int i = 0; rc == 0 && i < *n_images && atomic_load(&images_to_spoil) > 0; i++) {
        atomic_fetch_sub(&images_to_spoil, 1);
        images[i].finite = false;
    }
    return rc;
}

struct fixture {
    struct settings settings;
    struct engine_device device;
    char path[64];
    struct engine_thread *engine;
    struct engine_model *model;
    struct shelf_model *copy;
};

static void on_wake(void *arg)
{
    sem_post(&woken);
}

/* Waits for the engine's next word. */
static void wait_for_wake(void)
{
    sem_wait(&woken);
}

static enum engine_state wait_until_open(struct fixture *f)
{
    struct engine_stats stats;

    do {
        wait_for_wake();
        engine_thread_stats(f->engine, &stats);
    } while (stats.state == ENGINE_LOADING);
    return stats.state;
}

static void change(struct fixture *f, struct engine_change *change)
{
    engine_thread_change(f->engine, change);
    while (!engine_thread_take_changed(f->engine))
        wait_for_wake();
}

static enum engine_state wait_until_loaded(struct fixture *f)
{
    const struct settings_model setting = {.name = "small"};
    struct engine_change made = {.copy = NULL};
    struct settings_model named = setting;
    enum engine_state state = wait_until_open(f);
    struct checkpoint *checkpoint;

    snprintf(named.path, sizeof(named.path), "%s", f->path);
    assert_int_equal(engine_model_read(&named, &checkpoint, NULL), 0);
    assert_int_equal(engine_model_create("small", checkpoint, &f->model, NULL), 0);
    made.model = f->model;
    change(f, &made);
    assert_int_equal(made.status, 0);
    f->copy = made.copy;
    engine_model_add(f->model, &f->copy->loaded);
    return state;
}

static struct job *wait_for_job(struct fixture *f)
{
    struct job *job;

    while (!(job = engine_thread_take_done(f->engine)))
        wait_for_wake();
    return job;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    int fd;

    log_set_level(LOG_ERROR + 1);
    sem_init(&woken, 0, 0);
    sem_init(&tick_held, 0, 0);
    sem_init(&tick_go, 0, 0);
    atomic_store(&ticks_to_fail, 0);
    atomic_store(&images_to_spoil, 0);
    atomic_store(&hold_ticks, false);
    snprintf(f->path, sizeof(f->path), "/tmp/softdiff-engine-XXXXXX");
    fd = mkstemp(f->path);
    close(fd);
    assert_int_equal(small_checkpoint_write(f->path, "noise", SIDE, 4, 1, NULL), 0);
    f->device = (struct engine_device){.name = "cpu", .label = "cpu", .threads = 1};
    snprintf(f->settings.precision, sizeof(f->settings.precision), "fp32");
    f->settings.slots = SLOTS;
    f->settings.max_nfe = 100;
    f->settings.stall_timeout_ms = 20;
    assert_int_equal(engine_thread_start(&f->settings, &f->device, on_wake, NULL, &f->engine, NULL),
                     0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    engine_thread_stop(f->engine);
    engine_model_destroy(f->model);
    unlink(f->path);
    free(f);
    return 0;
}

static void submit_long(struct fixture *f, struct job *job, uint64_t id, int n, int nfe,
                        uint8_t *pixels)
{
    memset(job, 0, sizeof(*job));
    memset(pixels, 0xa5, (size_t)n * IMAGE_BYTES);
    job->id = id;
    job->model = f->model;
    job->on = f->copy;
    job->whole = job;
    job->sampler = SAMPLER_PF_2M;
    job->nfe = job->evaluations = nfe;
    job->seed = 10 * id;
    job->n = n;
    job->pixels = pixels;
    engine_thread_submit(f->engine, job);
}

static void submit(struct fixture *f, struct job *job, uint64_t id, int n, uint8_t *pixels)
{
    submit_long(f, job, id, n, 3, pixels);
}

static void test_computes(void **state)
{
    uint8_t many[IMAGES_MAX * IMAGE_BYTES], one[IMAGE_BYTES];
    struct fixture *f = *state;
    struct engine_stats stats;
    struct job a, b;

    assert_int_equal(wait_until_loaded(f), ENGINE_READY);
    assert_string_equal(f->model->corruption, "noise");
    assert_true(f->model->batch_invariant);
    submit(f, &a, 1, IMAGES_MAX, many); /* more than slots */
    assert_ptr_equal(wait_for_job(f), &a);
    assert_int_equal(a.status, 0);
    assert_int_equal(a.n_finished, IMAGES_MAX);
    assert_true(a.started_ns > 0 && a.finished_ns >= a.started_ns);
    submit(f, &b, 1, 1, one); /* the same seed: the same image as the first of the many */
    assert_ptr_equal(wait_for_job(f), &b);
    assert_memory_equal(one, many, IMAGE_BYTES);
    assert_memory_not_equal(one, many + IMAGE_BYTES, IMAGE_BYTES);
    engine_thread_stats(f->engine, &stats);
    assert_int_equal(stats.evaluations, 3 * (IMAGES_MAX + 1));
    assert_int_equal(stats.evaluations_open[PRIORITY_INTERACTIVE], 0);
    assert_true(stats.evaluations_per_s > 0);
}

/* A failing tick takes the jobs in lanes with it, not those that wait; the next tick serves. */
static void test_a_failure_passes(void **state)
{
    uint8_t first[SLOTS * IMAGE_BYTES], second[IMAGE_BYTES], again[IMAGE_BYTES];
    struct fixture *f = *state;
    struct job a, b, c;

    assert_int_equal(wait_until_loaded(f), ENGINE_READY);
    atomic_store(&hold_ticks, true);
    submit(f, &a, 1, SLOTS, first);
    sem_wait(&tick_held); /* a has all lanes */
    submit(f, &b, 2, 1, second);
    atomic_store(&ticks_to_fail, 1);
    atomic_store(&hold_ticks, false);
    sem_post(&tick_go);
    assert_ptr_equal(wait_for_job(f), &a);
    assert_int_equal(a.status, -EIO);
    assert_string_equal(a.error.text, "the device is told to fail");
    assert_ptr_equal(wait_for_job(f), &b);
    assert_int_equal(b.status, 0);
    submit(f, &c, 2, 1, again);
    assert_ptr_equal(wait_for_job(f), &c);
    assert_memory_equal(second, again, IMAGE_BYTES);
}

/* A device that fails again and again is given up: jobs come back at once, nothing hangs. */
static void test_failures_that_do_not_pass(void **state)
{
    uint8_t pixels[IMAGE_BYTES];
    struct fixture *f = *state;
    struct engine_stats stats;
    struct job job;

    assert_int_equal(wait_until_loaded(f), ENGINE_READY);
    atomic_store(&ticks_to_fail, 1000);
    for (int i = 0; i < 6; i++) {
        submit(f, &job, (uint64_t)i, 1, pixels);
        assert_ptr_equal(wait_for_job(f), &job);
        assert_int_equal(job.status, -EIO);
    }
    do
        engine_thread_stats(f->engine, &stats);
    while (stats.state != ENGINE_FAILED);
    assert_true(*stats.error.text);
    assert_true(atomic_load(&ticks_to_fail) > 990); /* the later ones were not tried */
}

/* One that is lost is given up at once. */
static void test_a_device_that_is_lost(void **state)
{
    uint8_t pixels[IMAGE_BYTES];
    struct fixture *f = *state;
    struct engine_stats stats;
    struct job job;

    assert_int_equal(wait_until_loaded(f), ENGINE_READY);
    atomic_store(&failure, -ENODEV);
    atomic_store(&ticks_to_fail, 1000);
    submit(f, &job, 1, 1, pixels);
    assert_ptr_equal(wait_for_job(f), &job);
    assert_int_equal(job.status, -ENODEV);
    atomic_store(&failure, -EIO);
    do
        engine_thread_stats(f->engine, &stats);
    while (stats.state != ENGINE_FAILED);
    assert_int_equal(atomic_load(&ticks_to_fail), 999);
}

/* An image with numbers that are none fails its job, whether alone, first or beside others that are
 * ready in the same tick; the next job is served. */
static void test_an_image_that_is_not_finite(void **state)
{
    static const struct {
        int n, spoiled;
    } rows[] = {{1, 1}, {IMAGES_MAX, 1}, {SLOTS, SLOTS}, {IMAGES_MAX, SLOTS}};
    uint8_t pixels[IMAGES_MAX * IMAGE_BYTES];
    struct fixture *f = *state;
    struct engine_stats stats;
    uint64_t spoiled = 0;
    struct job job;

    assert_int_equal(wait_until_loaded(f), ENGINE_READY);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        atomic_store(&images_to_spoil, rows[i].spoiled);
        submit(f, &job, i + 1, rows[i].n, pixels);
        assert_ptr_equal(wait_for_job(f), &job);
        assert_int_equal(job.status, -EDOM);
        assert_non_null(strstr(job.error.text, "not finite"));
        assert_int_equal(job.n_finished, 0);
        atomic_store(&images_to_spoil, 0);
        submit(f, &job, 10, 1, pixels);
        assert_ptr_equal(wait_for_job(f), &job);
        assert_int_equal(job.status, 0);
        engine_thread_stats(f->engine, &stats);
        assert_true(stats.images_not_finite > spoiled);
        spoiled = stats.images_not_finite;
        assert_int_equal(stats.images, i + 1);
        assert_int_equal(stats.busy + (int)stats.waiting, 0);
    }
}

static void test_cancellation(void **state)
{
    uint8_t running[IMAGES_MAX * IMAGE_BYTES], waiting[IMAGE_BYTES];
    struct fixture *f = *state;
    struct engine_stats stats;
    struct job a, b;

    assert_int_equal(wait_until_loaded(f), ENGINE_READY);
    atomic_store(&hold_ticks, true);
    submit(f, &a, 1, IMAGES_MAX, running);
    sem_wait(&tick_held);
    submit(f, &b, 2, 1, waiting);
    engine_thread_cancel(&a);
    engine_thread_cancel(&b);
    atomic_store(&hold_ticks, false);
    sem_post(&tick_go);
    assert_int_equal(wait_for_job(f)->status, -ECANCELED);
    assert_int_equal(wait_for_job(f)->status, -ECANCELED);
    assert_int_equal(a.n_finished + b.n_finished, 0);
    submit(f, &a, 3, 1, waiting);
    assert_int_equal(wait_for_job(f)->status, 0);
    engine_thread_stats(f->engine, &stats);
    assert_int_equal(stats.evaluations, SLOTS + 3); /* one tick of the first, then the last */
}

/* All lanes belong to a long job: another has one of them in the next tick, and the long one loses
 * nothing. */
static void test_an_arrival_joins_the_next_tick(void **state)
{
    uint8_t alone[IMAGES_MAX * IMAGE_BYTES], shared[IMAGES_MAX * IMAGE_BYTES], late[IMAGE_BYTES];
    struct fixture *f = *state;
    struct job a, b;

    assert_int_equal(wait_until_loaded(f), ENGINE_READY);
    submit_long(f, &a, 1, IMAGES_MAX, 40, alone);
    assert_ptr_equal(wait_for_job(f), &a);
    atomic_store(&hold_ticks, true);
    submit_long(f, &a, 1, IMAGES_MAX, 40, shared);
    sem_wait(&tick_held); /* both lanes */
    submit(f, &b, 2, 1, late);
    for (int i = 0; i < 4; i++) { /* this tick and three for b */
        assert_null(engine_thread_take_done(f->engine));
        sem_post(&tick_go);
        sem_wait(&tick_held);
    }
    assert_ptr_equal(engine_thread_take_done(f->engine), &b);
    atomic_store(&hold_ticks, false);
    sem_post(&tick_go);
    assert_ptr_equal(wait_for_job(f), &a);
    assert_int_equal(a.status, 0);
    assert_memory_equal(shared, alone, sizeof(alone));
}

/* From submission to the finished job, parking included. */
static void test_no_allocation_on_the_way(void **state)
{
    uint8_t many[IMAGES_MAX * IMAGE_BYTES], one[IMAGE_BYTES];
    struct fixture *f = *state;
    struct job a, b;
    int round;

    assert_int_equal(wait_until_loaded(f), ENGINE_READY);
    for (round = 0; round < 3; round++) { /* the first may warm a library up */
        allocations_count(round > 0);
        atomic_store(&hold_ticks, true);
        submit_long(f, &a, 1, IMAGES_MAX, 10, many);
        sem_wait(&tick_held);
        submit(f, &b, 2, 1, one);
        atomic_store(&hold_ticks, false);
        sem_post(&tick_go);
        assert_ptr_equal(wait_for_job(f), &b);
        assert_ptr_equal(wait_for_job(f), &a);
        assert_int_equal(allocations_count(false), 0);
    }
}

static void test_a_tick_that_hangs_is_seen(void **state)
{
    const struct timespec longer_than_allowed = {0, 30000000};
    uint8_t pixels[IMAGE_BYTES];
    struct fixture *f = *state;
    struct engine_stats stats;
    struct job job;

    assert_int_equal(wait_until_loaded(f), ENGINE_READY);
    atomic_store(&hold_ticks, true);
    submit(f, &job, 1, 1, pixels);
    sem_wait(&tick_held);
    nanosleep(&longer_than_allowed, NULL);
    engine_thread_stats(f->engine, &stats);
    assert_true(stats.stalled);
    assert_int_equal(stats.busy, 1);
    atomic_store(&hold_ticks, false);
    sem_post(&tick_go);
    assert_int_equal(wait_for_job(f)->status, 0);
    engine_thread_stats(f->engine, &stats);
    assert_false(stats.stalled);
}

/* A copy that is dropped leaves no lanes. */
static void test_models_come_and_go(void **state)
{
    struct fixture *f = *state;
    struct engine_change drop = {.copy = NULL};
    struct engine_stats stats;

    assert_int_equal(wait_until_loaded(f), ENGINE_READY);
    engine_thread_stats(f->engine, &stats);
    assert_int_equal(stats.slots, SLOTS);
    drop.copy = f->copy;
    change(f, &drop);
    engine_thread_stats(f->engine, &stats);
    assert_int_equal(stats.slots, 0);
}

/* A change that the end overtakes is handed back all the same. */
static void test_a_change_at_the_end(void **state)
{
    uint8_t pixels[IMAGE_BYTES];
    struct fixture *f = *state;
    struct engine_change late;
    struct job job;

    assert_int_equal(wait_until_loaded(f), ENGINE_READY);
    atomic_store(&hold_ticks, true);
    submit(f, &job, 1, 1, pixels);
    sem_wait(&tick_held);
    late = (struct engine_change){.model = f->model};
    engine_thread_change(f->engine, &late);
    engine_thread_hurry(f->engine);
    atomic_store(&hold_ticks, false);
    sem_post(&tick_go);
    while (!engine_thread_take_changed(f->engine))
        wait_for_wake();
    assert_int_equal(late.status, -ECANCELED);
    /* Also what comes when the thread has ended. */
    late = (struct engine_change){.model = f->model};
    change(f, &late);
    assert_int_equal(late.status, -ECANCELED);
    late = (struct engine_change){.copy = f->copy};
    change(f, &late);
    assert_int_equal(late.status, 0);
}

static void test_a_device_that_is_not_there(void **state)
{
    struct fixture *f = *state;
    struct engine_stats stats;

    assert_int_equal(wait_until_loaded(f), ENGINE_READY);
    engine_thread_stop(f->engine);
    snprintf(f->device.name, sizeof(f->device.name), "cudasim:63");
    assert_int_equal(engine_thread_start(&f->settings, &f->device, on_wake, NULL, &f->engine, NULL),
                     0);
    assert_int_equal(wait_until_open(f), ENGINE_FAILED);
    engine_thread_stats(f->engine, &stats);
    assert_non_null(strstr(stats.error.text, "device \"cudasim\": "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_computes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_failure_passes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failures_that_do_not_pass, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_device_that_is_lost, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_image_that_is_not_finite, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancellation, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_arrival_joins_the_next_tick, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_allocation_on_the_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_tick_that_hangs_is_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_models_come_and_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_change_at_the_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_device_that_is_not_there, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
