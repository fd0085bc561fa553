/* Two engines with real models, of which one fails when told to: the linker puts __wrap_generator_tick() in
 * front of the real one.
 */
#include "server/engines.h"

#include "engine/base/log.h"
#include "model/checkpoint.h"
#include "model/generator.h"
#include "server/engine_shelf.h"
#include "tests/api/small_checkpoint.h"

#include <errno.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { SIDE = 16, IMAGE_BYTES = SIDE * SIDE * 3, SLOTS = 2, IMAGES_MAX = 7, DEVICES = 2 };

static struct generator *_Atomic generators[DEVICES]; /* by device, once a model is there */
static atomic_int failures[DEVICES];                  /* ticks that are to fail */
static atomic_int failure = -EIO;
static atomic_bool hold_ticks;
static sem_t tick_held, tick_go, woken;

int __real_generator_tick(struct generator *g, struct generator_image *images, int *n_images,
                          struct error *err);
int __wrap_generator_tick(struct generator *g, struct generator_image *images, int *n_images,
                          struct error *err);

int __wrap_generator_tick(struct generator *g, struct generator_image *images, int *n_images,
                          struct error *err)
{
    if (atomic_load(&hold_ticks)) {
        sem_post(&tick_held);
        sem_wait(&tick_go);
    }
    for (int i = 0; i < DEVICES; i++)
        if (atomic_load(&generators[i]) == g && atomic_load(&failures[i]) > 0) {
            atomic_fetch_sub(&failures[i], 1);
            return error_set(err, atomic_load(&failure), "device %d is told to fail", i);
        }
    return __real_generator_tick(g, images, n_images, err);
}

/* Of the models that are made, so many cannot be. */
static atomic_int creations_to_fail;

int __real_generator_create(struct device *device, const struct checkpoint *c,
                            const struct generator_options *options, struct generator **out,
                            struct error *err);
int __wrap_generator_create(struct device *device, const struct checkpoint *c,
                            const struct generator_options *options, struct generator **out,
                            struct error *err);

int __wrap_generator_create(struct device *device, const struct checkpoint *c,
                            const struct generator_options *options, struct generator **out,
                            struct error *err)
{
    if (atomic_fetch_sub(&creations_to_fail, 1) > 0)
        return error_set(err, atomic_load(&failure), "the device is told to fail");
    return __real_generator_create(device, c, options, out, err);
}

struct fixture {
    struct settings settings;
    char path[64];
    struct engines *engines;
    struct engine_model *model;
};

static void on_wake(void *arg)
{
    sem_post(&woken);
}

/* Waits for the engines' next word. */
static void wait_for_wake(void)
{
    sem_wait(&woken);
}

static enum engine_state wait_until_open(struct engines *e)
{
    struct engine_stats stats;

    for (;; wait_for_wake()) {
        engines_stats(e, &stats);
        if (stats.state != ENGINE_LOADING)
            return stats.state;
    }
}

static struct job *wait_for_job(struct fixture *f)
{
    struct job *job;

    while (!(job = engines_take_done(f->engines)))
        wait_for_wake();
    return job;
}

static int wait_for_change(struct fixture *f)
{
    struct error error;
    int status;

    while (!engines_take_changed(f->engines, &status, &error))
        wait_for_wake();
    return status;
}

static void make_model(struct fixture *f)
{
    struct settings_model setting = {.name = "small"};
    struct checkpoint *checkpoint;

    snprintf(setting.path, sizeof(setting.path), "%s", f->path);
    assert_int_equal(engine_model_read(&setting, &checkpoint, NULL), 0);
    assert_int_equal(engine_model_create("small", checkpoint, &f->model, NULL), 0);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    int fd;

    log_set_level(LOG_ERROR + 1);
    sem_init(&woken, 0, 0);
    sem_init(&tick_held, 0, 0);
    sem_init(&tick_go, 0, 0);
    atomic_store(&failure, -EIO);
    atomic_store(&hold_ticks, false);
    atomic_store(&creations_to_fail, 0);
    snprintf(f->path, sizeof(f->path), "/tmp/softdiff-engines-XXXXXX");
    fd = mkstemp(f->path);
    close(fd);
    assert_int_equal(small_checkpoint_write(f->path, "noise", SIDE, 4, 1, NULL), 0);
    f->settings.n_devices = DEVICES;
    for (int i = 0; i < DEVICES; i++) {
        snprintf(f->settings.devices[i], sizeof(f->settings.devices[i]), "cpu");
        atomic_store(&failures[i], 0);
    }
    snprintf(f->settings.precision, sizeof(f->settings.precision), "fp32");
    f->settings.threads = 1;
    f->settings.slots = SLOTS;
    f->settings.max_nfe = 100;
    f->settings.stall_timeout_ms = 10000;
    assert_int_equal(engines_start(&f->settings, on_wake, NULL, &f->engines, NULL), 0);
    assert_int_equal(wait_until_open(f->engines), ENGINE_READY);
    make_model(f);
    engines_add(f->engines, f->model);
    assert_int_equal(wait_for_change(f), 0);
    for (int i = 0; i < DEVICES; i++)
        atomic_store(&generators[i], f->model->copies[i]->loaded.generator);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    engines_stop(f->engines);
    engine_model_destroy(f->model);
    unlink(f->path);
    free(f);
    return 0;
}

/* parts: room for them, or NULL. */
static void submit(struct fixture *f, struct job *job, uint64_t seed, int n, int nfe,
                   struct job *parts, uint8_t *pixels)
{
    memset(job, 0, sizeof(*job));
    memset(pixels, 0xa5, (size_t)n * IMAGE_BYTES);
    job->model = f->model;
    job->sampler = SAMPLER_PF_2M;
    job->nfe = job->evaluations = nfe;
    job->seed = seed;
    job->n = n;
    job->parts = parts;
    job->pixels = pixels;
    engines_submit(f->engines, job);
}

/* What device 0 draws alone. */
static void draw_alone(struct fixture *f, uint64_t seed, int n, int nfe, uint8_t *pixels)
{
    struct job job;

    submit(f, &job, seed, n, nfe, NULL, pixels);
    assert_int_equal(job.engine, 0);
    assert_ptr_equal(wait_for_job(f), &job);
    assert_int_equal(job.status, 0);
}

static void wait_until_held(int n)
{
    while (n-- > 0)
        sem_wait(&tick_held);
}

static void let_go(int n)
{
    atomic_store(&hold_ticks, false);
    while (n-- > 0)
        sem_post(&tick_go);
}

/* The image goes where the fewest evaluations are left, those that are done not counted. */
static void test_least_loaded(void **state)
{
    uint8_t pixels[4][IMAGE_BYTES];
    struct fixture *f = *state;
    struct engine_stats stats;
    struct job a, b, c, d;

    atomic_store(&hold_ticks, true);
    submit(f, &a, 1, 1, 40, NULL, pixels[0]);
    submit(f, &b, 2, 1, 10, NULL, pixels[1]);
    wait_until_held(2);
    submit(f, &c, 3, 1, 20, NULL, pixels[2]);
    submit(f, &d, 4, 1, 20, NULL, pixels[3]);
    assert_int_equal(a.engine, 0);
    assert_int_equal(b.engine, 1);
    assert_int_equal(c.engine, 1); /* 10 are left there, 40 here */
    assert_int_equal(d.engine, 1);
    assert_true(engines_load(f->engines, 0) == 40 && engines_load(f->engines, 1) == 50);
    let_go(2);
    for (int i = 0; i < 4; i++)
        assert_int_equal(wait_for_job(f)->status, 0);
    assert_true(engines_load(f->engines, 0) == 0 && engines_load(f->engines, 1) == 0);
    engines_stats(f->engines, &stats);
    assert_int_equal(stats.evaluations, 90);
    engines_stats_of(f->engines, 1, &stats);
    assert_int_equal(stats.evaluations, 50);
}

/* What lies in the background counts for what comes into the background, and else for nothing where there
 * is a difference. */
static void test_the_background_gives_way(void **state)
{
    uint8_t pixels[3][IMAGE_BYTES];
    struct fixture *f = *state;
    struct job behind, first, second;

    atomic_store(&hold_ticks, true);
    memset(&behind, 0, sizeof(behind));
    behind = (struct job){.model = f->model,
                          .sampler = SAMPLER_PF_2M,
                          .nfe = 90,
                          .evaluations = 90,
                          .n = 1,
                          .priority = PRIORITY_BACKGROUND,
                          .pixels = pixels[0]};
    engines_submit(f->engines, &behind);
    wait_until_held(1);
    submit(f, &first, 1, 1, 10, NULL, pixels[1]);
    submit(f, &second, 2, 1, 10, NULL, pixels[2]);
    wait_until_held(1);
    assert_int_equal(behind.engine, 0);
    assert_int_equal(first.engine, 1);
    assert_int_equal(second.engine, 0);
    let_go(2);
    for (int i = 0; i < 3; i++)
        assert_int_equal(wait_for_job(f)->status, 0);
}

/* Images of one job are shared out, and are those that one device draws alone. */
static void test_parts(void **state)
{
    uint8_t alone[IMAGES_MAX * IMAGE_BYTES], shared[IMAGES_MAX * IMAGE_BYTES];
    struct job parts[DEVICES], job;
    struct fixture *f = *state;

    draw_alone(f, 5, IMAGES_MAX, 12, alone);
    submit(f, &job, 5, IMAGES_MAX, 12, parts, shared);
    assert_ptr_equal(wait_for_job(f), &job);
    assert_int_equal(job.status, 0);
    assert_int_equal(job.n_finished, IMAGES_MAX);
    assert_int_equal(parts[0].n, 4);
    assert_int_equal(parts[1].n, 3);
    assert_int_equal(parts[1].first, 4);
    assert_int_equal(job.engines, 3);
    assert_true(job.started_ns > 0 && job.finished_ns >= job.started_ns);
    assert_memory_equal(shared, alone, sizeof(alone));
}

static void test_cancellation_of_parts(void **state)
{
    uint8_t pixels[IMAGES_MAX * IMAGE_BYTES];
    struct job parts[DEVICES], job;
    struct fixture *f = *state;
    struct engine_stats stats;

    for (int enough = 0; enough < 2; enough++) {
        atomic_store(&hold_ticks, true);
        submit(f, &job, 5, IMAGES_MAX, 50, parts, pixels);
        wait_until_held(2);
        if (enough)
            engine_thread_settle(&job);
        else
            engine_thread_cancel(&job);
        let_go(2);
        assert_ptr_equal(wait_for_job(f), &job);
        assert_int_equal(job.status, enough ? 0 : -ECANCELED);
        assert_int_equal(job.n_finished, 0);
        engines_stats(f->engines, &stats);
        assert_int_equal(stats.busy + (int)stats.waiting, 0);
        assert_true(engines_load(f->engines, 0) == 0 && engines_load(f->engines, 1) == 0);
    }
}

/* Nobody notices but by the time that it takes. */
static void test_a_device_that_is_lost(void **state)
{
    uint8_t alone[IMAGES_MAX * IMAGE_BYTES], shared[IMAGES_MAX * IMAGE_BYTES], one[IMAGE_BYTES];
    struct job parts[DEVICES], job, other;
    struct fixture *f = *state;
    struct engine_stats stats;

    draw_alone(f, 5, IMAGES_MAX, 12, alone);
    atomic_store(&failure, -ENODEV);
    atomic_store(&failures[1], 1000);
    submit(f, &job, 5, IMAGES_MAX, 12, parts, shared);
    assert_ptr_equal(wait_for_job(f), &job);
    assert_int_equal(job.status, 0);
    assert_memory_equal(shared, alone, sizeof(alone));
    do
        engines_stats_of(f->engines, 1, &stats);
    while (stats.state != ENGINE_FAILED);
    engines_stats(f->engines, &stats);
    assert_int_equal(stats.state, ENGINE_READY);
    assert_int_equal(stats.slots, SLOTS);
    assert_non_null(strstr(stats.error.text, "device \"cpu/1\": "));
    assert_int_equal(engines_count_well(f->engines), 1);
    atomic_store(&hold_ticks, true); /* however much the one has to do, the other gets nothing */
    submit(f, &job, 5, 1, 12, NULL, shared);
    wait_until_held(1);
    submit(f, &other, 6, 1, 12, NULL, one);
    assert_int_equal(other.engine, 0);
    let_go(1);
    assert_int_equal(wait_for_job(f)->status, 0);
    assert_int_equal(wait_for_job(f)->status, 0);
    assert_memory_equal(one, alone + IMAGE_BYTES, IMAGE_BYTES);
    assert_int_equal(atomic_load(&failures[1]), 999);
    atomic_store(&failures[0], 1000);
    submit(f, &job, 5, 2, 12, parts, shared);
    assert_ptr_equal(wait_for_job(f), &job);
    assert_int_equal(job.status, -ENODEV);
    do
        engines_stats(f->engines, &stats);
    while (stats.state != ENGINE_FAILED);
    submit(f, &job, 5, 2, 12, parts, shared); /* and comes back */
    assert_ptr_equal(wait_for_job(f), &job);
    assert_int_equal(job.status, -EIO);
}

/* A job is drawn again once: where the second device fails over it, too, it is its own fault, and no device
 * is given up for it. */
static void test_a_job_that_fails_everywhere(void **state)
{
    uint8_t pixels[IMAGES_MAX * IMAGE_BYTES];
    struct job parts[DEVICES] = {{.n = 0}}, job;
    struct fixture *f = *state;

    for (int n = 1; n <= 2; n++) { /* either half is drawn on both devices */
        atomic_store(&failures[0], n);
        atomic_store(&failures[1], n);
        submit(f, &job, 5, n, 12, n > 1 ? parts : NULL, pixels);
        assert_ptr_equal(wait_for_job(f), &job);
        for (int i = 0; i < DEVICES; i++) /* one half may have ended before the other began */
            atomic_store(&failures[i], 0);
        assert_int_equal(job.status, -EIO);
        assert_non_null(strstr(job.error.text, "is told to fail"));
        assert_int_equal(engines_count_well(f->engines), 2);
        submit(f, &job, 5, 2, 12, parts, pixels); /* each draws one, and has not failed in a row */
        assert_ptr_equal(wait_for_job(f), &job);
        assert_int_equal(job.status, 0);
    }
}

/* A model that one device cannot make is dropped by the other; if that device is lost, the other has it
 * alone. */
static void test_a_model_that_one_device_cannot_make(void **state)
{
    struct fixture *f = *state;
    struct engine_model *first = f->model;
    struct engine_stats stats;
    int codes[] = {-ENOMEM, -ENODEV};

    for (int i = 0; i < 2; i++) {
        make_model(f);
        atomic_store(&failure, codes[i]);
        atomic_store(&creations_to_fail, 1);
        engines_add(f->engines, f->model);
        assert_int_equal(wait_for_change(f), i == 0 ? -ENOMEM : 0);
        assert_int_equal(!f->model->copies[0] + !f->model->copies[1], i == 0 ? 2 : 1);
        if (i == 0)
            engine_model_destroy(f->model);
    }
    do
        engines_stats(f->engines, &stats);
    while (stats.slots != 2 * SLOTS);
    assert_int_equal(engines_count_well(f->engines), 1);
    engines_remove(f->engines, first);
    assert_int_equal(wait_for_change(f), 0);
    engine_model_destroy(first);
}

static void test_changes(void **state)
{
    struct fixture *f = *state;
    struct engine_model *first = f->model;
    struct engine_stats stats;

    make_model(f);
    engines_add(f->engines, f->model);
    assert_int_equal(wait_for_change(f), 0);
    assert_non_null(f->model->copies[0]);
    assert_non_null(f->model->copies[1]);
    engines_stats(f->engines, &stats);
    assert_int_equal(stats.slots, 2 * DEVICES * SLOTS);
    engines_remove(f->engines, first);
    assert_int_equal(wait_for_change(f), 0);
    assert_true(!first->copies[0] && !first->copies[1]);
    engine_model_destroy(first);
    engines_stats(f->engines, &stats);
    assert_int_equal(stats.slots, DEVICES * SLOTS);
}

static void test_devices_that_do_not_go_together(void **state)
{
    static const struct {
        const char *names[2];
        const char *words;
    } rows[] = {
        {{"cuda:0", "cuda:1"}, NULL},
        {{"cpu", "cpu"}, NULL},
        {{"cuda:1", "cuda:1"}, "\"cuda:1\" is given twice"},
        {{"cuda", "cuda:0"}, "\"cuda:0\" is given twice"},
        {{"cpu", "auto"}, "\"auto\" chooses one"},
        {{"cpu", "gpu"}, "unknown device \"gpu\""},
    };
    struct fixture *f = *state;
    struct settings settings = f->settings;
    struct engine_stats stats;
    struct engines *mixed;
    struct error error;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (int j = 0; j < 2; j++)
            snprintf(settings.devices[j], sizeof(settings.devices[j]), "%s", rows[i].names[j]);
        assert_int_equal(engines_check(&settings, &error), rows[i].words ? -EINVAL : 0);
        assert_true(!rows[i].words || strstr(error.text, rows[i].words));
    }
    snprintf(settings.devices[0], sizeof(settings.devices[0]), "cpu");
    snprintf(settings.devices[1], sizeof(settings.devices[1]), "reference");
    assert_int_equal(engines_start(&settings, on_wake, NULL, &mixed, NULL), 0);
    assert_int_equal(wait_until_open(mixed), ENGINE_FAILED);
    engines_stats(mixed, &stats);
    assert_non_null(strstr(stats.error.text, "\"cpu\" and \"reference\" draw different bytes"));
    engines_stop(mixed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_least_loaded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_background_gives_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_parts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancellation_of_parts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_device_that_is_lost, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_job_that_fails_everywhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_changes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_model_that_one_device_cannot_make, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_devices_that_do_not_go_together, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
