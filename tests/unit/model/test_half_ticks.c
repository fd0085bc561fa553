/* What happens between the two halves of a tick, and to lanes whose device fails: the linker puts
 * __wrap_executor_start() and __wrap_executor_wait() in front of the real ones. */
#include "engine/base/error.h"
#include "engine/executor.h"
#include "model/checkpoint.h"
#include "tests/unit/allocations.h"
#include "tests/unit/model/untrained.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 8, PIXELS = SIDE * SIDE * 3, NFE_MAX = 8, LANES = 3, LABELS = 2, KINDS = 8 };

static const struct untrained model = {.side = SIDE, .nf = 4, .n_labels = LABELS};

static int starts_until_failure, waits_until_failure; /* 0: none fails */

int __real_executor_start(struct executor *e, int n, int n_fetches, const struct fetch *fetches,
                          struct error *err);
int __wrap_executor_start(struct executor *e, int n, int n_fetches, const struct fetch *fetches,
                          struct error *err);
int __real_executor_wait(struct executor *e, struct error *err);
int __wrap_executor_wait(struct executor *e, struct error *err);

int __wrap_executor_start(struct executor *e, int n, int n_fetches, const struct fetch *fetches,
                          struct error *err)
{
    if (starts_until_failure > 0 && --starts_until_failure == 0)
        return error_set(err, -EIO, "the device is told not to start");
    return __real_executor_start(e, n, n_fetches, fetches, err);
}

int __wrap_executor_wait(struct executor *e, struct error *err)
{
    int rc = __real_executor_wait(e, err);

    if (waits_until_failure > 0 && --waits_until_failure == 0)
        return error_set(err, -EIO, "the device is told to fail");
    return rc;
}

/* A generator, and tasks of all kinds with the bytes that they give when nothing comes between. */
struct rig {
    struct checkpoint *checkpoint;
    struct device *device;
    struct generator *g;
    struct generator_task tasks[KINDS];
    uint8_t expected[KINDS * PIXELS];
    float picture[PIXELS];
    struct generator_restoration restoration;
};

static void make_tasks(struct rig *rig)
{
    for (int i = 0; i < PIXELS; i++)
        rig->picture[i] = 0.5f + 0.4f * sinf((float)i);
    rig->restoration = (struct generator_restoration){.y = rig->picture, .weight = 0.5f, .blur = 1};
    for (int i = 0; i < KINDS; i++) {
        bool guided = i % 3 == 1;

        rig->tasks[i] = (struct generator_task){.id = (uint64_t)i,
                                                .seed = 100 + (uint64_t)i,
                                                .sampler = (enum sampler)(i % SAMPLER_TUNED),
                                                .nfe = guided ? 1 + i % 4 : 1 + 3 * i % 7,
                                                .start = i == 3 ? rig->picture : NULL,
                                                .mixed = i == 5,
                                                .seed_b = 1,
                                                .mix = 0.5,
                                                .label = guided ? 1 + i % LABELS : i % 2,
                                                .guided = guided,
                                                .guidance = 1.5f,
                                                .restoration = i == 6 ? &rig->restoration : NULL,
                                                .previews = i % 4 == 2};
    }
}

static struct rig *rig_make(int n_threads, int lanes)
{
    struct generator_options options = {.precision = PRECISION_FP32,
                                        .lanes = lanes,
                                        .nfe_max = NFE_MAX,
                                        .restoration = true};
    struct rig *rig = calloc(1, sizeof(*rig));

    assert_non_null(rig);
    rig->checkpoint = untrained_checkpoint(&model);
    rig->device = untrained_device("cpu", n_threads);
    rig->g = untrained_generator(rig->device, rig->checkpoint, &options);
    make_tasks(rig);
    untrained_draw(rig->g, rig->tasks, KINDS, rig->expected);
    return rig;
}

static void rig_free(struct rig *rig)
{
    generator_destroy(rig->g);
    device_close(rig->device);
    checkpoint_destroy(rig->checkpoint);
    free(rig);
}

/* A task with that many evaluations, and previews so that its position is seen. */
static struct generator_task seen(uint64_t id, int nfe)
{
    return (struct generator_task){.id = id,
                                   .seed = id,
                                   .sampler = SAMPLER_PF_2M,
                                   .nfe = nfe,
                                   .previews = true};
}

static void start(struct rig *rig)
{
    struct error err;

    if (generator_start(rig->g, &err) < 0)
        fail_msg("%s", err.text);
}

/* Expects n images; of the first its id and how many evaluations it has behind it. */
static void finish(struct rig *rig, int n, uint64_t id, int n_done)
{
    struct generator_image images[LANES];
    int n_images = -1;

    assert_int_equal(generator_finish(rig->g, images, &n_images, NULL), 0);
    assert_int_equal(n_images, n);
    if (n == 0)
        return;
    assert_int_equal(images[0].id, id);
    assert_int_equal(images[0].n_done, n_done);
}

static void submit(struct rig *rig, struct generator_task task)
{
    struct error err;

    if (generator_submit(rig->g, &task, &err) < 0)
        fail_msg("%s", err.text);
}

static void test_nothing_to_do(void **state)
{
    struct rig *rig = rig_make(1, 1);

    start(rig);
    finish(rig, 0, 0, 0);
    start(rig);
    submit(rig, seen(1, 1));
    finish(rig, 0, 0, 0);
    start(rig);
    finish(rig, 1, 1, 1);
    rig_free(rig);
}

static void test_who_comes_late_joins_the_next_tick(void **state)
{
    struct rig *rig = rig_make(1, LANES);

    submit(rig, seen(1, 3));
    start(rig);
    submit(rig, seen(2, 1));
    finish(rig, 1, 1, 1);
    start(rig);
    submit(rig, seen(3, 2));
    finish(rig, 2, 1, 2);
    assert_int_equal(generator_busy(rig->g), 2);
    start(rig);
    finish(rig, 2, 1, 3);
    start(rig);
    finish(rig, 1, 3, 2);
    assert_int_equal(generator_busy(rig->g), 0);
    rig_free(rig);
}

static void test_parking_in_flight(void **state)
{
    struct rig *rig = rig_make(1, 1);

    submit(rig, seen(1, 3));
    start(rig);
    assert_int_equal(generator_park(rig->g, 1, NULL), 0);
    assert_int_equal(generator_busy(rig->g), 0);
    submit(rig, seen(2, 1)); /* takes the lane, not the slot */
    finish(rig, 1, 1, 1);
    start(rig);
    assert_int_equal(generator_resume(rig->g, 1, NULL), -EBUSY);
    finish(rig, 1, 2, 1);
    assert_int_equal(generator_resume(rig->g, 1, NULL), 0);

    /* There and back within a flight. */
    start(rig);
    assert_int_equal(generator_park(rig->g, 1, NULL), 0);
    assert_int_equal(generator_resume(rig->g, 1, NULL), 0);
    finish(rig, 1, 1, 2);

    /* Parked during its last evaluation: it is done, and its place among the parked is free. */
    start(rig);
    assert_int_equal(generator_park(rig->g, 1, NULL), 0);
    finish(rig, 1, 1, 3);
    assert_int_equal(generator_resume(rig->g, 1, NULL), -ENOENT);
    submit(rig, seen(3, 2));
    assert_int_equal(generator_park(rig->g, 3, NULL), 0);
    start(rig);
    assert_int_equal(generator_resume(rig->g, 3, NULL), 0);
    finish(rig, 0, 0, 0);
    start(rig);
    finish(rig, 1, 3, 1);
    assert_int_equal(generator_cancel(rig->g, 3), 1);
    assert_int_equal(generator_busy(rig->g), 0);
    rig_free(rig);
}

/* Rows are filled ahead, in two inboxes: one that is parked and comes back finds there what was
 * written for it before, of another evaluation. */
static void test_rows_filled_ahead(void **state)
{
    enum { LONG = NFE_MAX };
    struct rig *rig = rig_make(1, 2);
    struct generator_task tasks[2] = {seen(0, LONG), seen(1, LONG)};
    uint8_t expected[2 * PIXELS];

    untrained_draw(rig->g, tasks, 2, expected);
    for (int away = 1; away < 4; away++) {
        for (int in_flight = 0; in_flight < 2; in_flight++) {
            struct generator_image images[2];
            int n = 0, n_finished = 0;

            for (int i = 0; i < 2; i++)
                submit(rig, tasks[i]);
            start(rig);
            if (in_flight)
                assert_int_equal(generator_park(rig->g, 1, NULL), 0);
            assert_int_equal(generator_finish(rig->g, images, &n, NULL), 0);
            if (!in_flight)
                assert_int_equal(generator_park(rig->g, 1, NULL), 0);
            for (int i = 0; i < away; i++)
                assert_int_equal(generator_tick(rig->g, images, &n, NULL), 0);
            assert_int_equal(generator_resume(rig->g, 1, NULL), 0);
            while (generator_busy(rig->g) > 0) {
                assert_int_equal(generator_tick(rig->g, images, &n, NULL), 0);
                for (int i = 0; i < n; i++) {
                    if (images[i].finished)
                        assert_memory_equal(images[i].pixels, expected + images[i].id * PIXELS,
                                            PIXELS);
                    n_finished += images[i].finished;
                }
            }
            assert_int_equal(n_finished, 2);
        }
    }
    rig_free(rig);
}

static void test_cancelling_in_flight(void **state)
{
    struct rig *rig = rig_make(1, 1);
    const struct generator_task *task = &rig->tasks[1];
    uint8_t pixels[KINDS * PIXELS];

    for (int i = 0; i < 5; i++) {
        submit(rig, seen(9, 5));
        start(rig);
        assert_int_equal(generator_cancel(rig->g, 9), 1);
        assert_int_equal(generator_cancel(rig->g, 9), 0);
        assert_int_equal(generator_busy(rig->g), 0);
        submit(rig, *task);
        finish(rig, 0, 0, 0);
        assert_int_equal(generator_cancel(rig->g, task->id), 1);
        untrained_draw(rig->g, task, 1, pixels); /* in the slot of either */
        assert_memory_equal(pixels + PIXELS, rig->expected + PIXELS, PIXELS);
    }

    /* As long as the tick lasts its slot is taken. */
    for (uint64_t id = 11; id < 13; id++) {
        submit(rig, seen(id, 2));
        assert_int_equal(generator_park(rig->g, id, NULL), 0);
    }
    submit(rig, seen(13, 2));
    start(rig);
    assert_int_equal(generator_cancel(rig->g, 13), 1);
    assert_int_equal(generator_submit(rig->g, task, NULL), -EBUSY);
    finish(rig, 0, 0, 0);
    submit(rig, *task);
    assert_int_equal(generator_cancel(rig->g, 11), 1);
    assert_int_equal(generator_cancel(rig->g, 12), 1);
    assert_int_equal(generator_cancel(rig->g, task->id), 1);
    rig_free(rig);
}

/* A slot is used again by one that is started from a picture or restored, while the tick of the one
 * before it still runs. */
static void test_slots_used_again(void **state)
{
    struct rig *rig = rig_make(2, LANES);
    uint8_t pixels[KINDS * PIXELS];

    for (int i = 0; i < KINDS; i++) {
        int n, n_ticks = 0;

        for (int j = 0; j < LANES; j++)
            submit(rig, seen(50 + (uint64_t)j, 4));
        start(rig);
        assert_int_equal(generator_cancel(rig->g, 50), 1);
        submit(rig, rig->tasks[i]);
        finish(rig, LANES - 1, 51, 1);
        while (generator_busy(rig->g) > 0) {
            struct generator_image images[LANES];

            assert_int_equal(generator_tick(rig->g, images, &n, NULL), 0);
            for (int j = 0; j < n; j++) {
                if (images[j].id == (uint64_t)i && images[j].finished)
                    memcpy(pixels, images[j].pixels, PIXELS);
            }
            assert_true(++n_ticks <= NFE_MAX);
        }
        assert_memory_equal(pixels, rig->expected + i * PIXELS, PIXELS);
    }
    rig_free(rig);
}

/* Anything may come at any time. One image of each kind at most. */
enum place { NOWHERE, IN_LANE, ASIDE };

struct crowd {
    struct rig *rig;
    uint32_t random;
    enum place places[KINDS];
    int n_finished;
};

static int roll(struct crowd *crowd, int n)
{
    crowd->random = crowd->random * 1664525u + 1013904223u;
    return (int)((crowd->random >> 8) % (uint32_t)n);
}

static int count(const struct crowd *crowd, enum place place)
{
    int n = 0;

    for (int i = 0; i < KINDS; i++)
        n += crowd->places[i] == place;
    return n;
}

static void act(struct crowd *crowd)
{
    struct generator *g = crowd->rig->g;
    int kind = roll(crowd, KINDS), what = roll(crowd, 10), rc;
    int busy = count(crowd, IN_LANE), parked = count(crowd, ASIDE);
    enum place *place = &crowd->places[kind];
    uint64_t id = (uint64_t)kind;

    if (what < 5 && *place == NOWHERE) {
        rc = generator_submit(g, &crowd->rig->tasks[kind], NULL);
        assert_true(rc == -EBUSY || (rc == 0 && busy < LANES));
        *place = rc == 0 ? IN_LANE : NOWHERE;
    } else if (what < 7) {
        rc = generator_park(g, id, NULL);
        assert_int_equal(rc, *place != IN_LANE ? -ENOENT : parked == 2 * LANES ? -EBUSY : 0);
        *place = rc == 0 ? ASIDE : *place;
    } else if (what < 9) {
        rc = generator_resume(g, id, NULL);
        assert_int_equal(rc, *place != ASIDE ? -ENOENT : busy == LANES ? -EBUSY : 0);
        *place = rc == 0 ? IN_LANE : *place;
    } else {
        assert_int_equal(generator_cancel(g, id), *place != NOWHERE);
        *place = NOWHERE;
    }
    assert_int_equal(generator_busy(g), count(crowd, IN_LANE));
}

/* A tick, with something done before it and in it. */
static void live(struct crowd *crowd)
{
    struct generator *g = crowd->rig->g;
    struct generator_image images[LANES];
    int n;

    for (int i = roll(crowd, 4); i > 0; i--)
        act(crowd);
    assert_int_equal(generator_start(g, NULL), 0);
    for (int i = roll(crowd, 4); i > 0; i--)
        act(crowd);
    assert_int_equal(generator_finish(g, images, &n, NULL), 0);
    for (int i = 0; i < n; i++) {
        if (!images[i].finished)
            continue;
        assert_memory_equal(images[i].pixels, crowd->rig->expected + images[i].id * PIXELS, PIXELS);
        assert_int_not_equal(crowd->places[images[i].id], NOWHERE);
        crowd->places[images[i].id] = NOWHERE;
        crowd->n_finished++;
    }
    assert_int_equal(generator_busy(g), count(crowd, IN_LANE));
}

static void check_crowd(int n_threads, uint32_t seed)
{
    enum { TICKS = 600 };
    struct crowd crowd = {.rig = rig_make(n_threads, LANES), .random = seed};

    for (int i = 0; i < TICKS; i++) {
        if (i == 20) /* a library may have to warm up */
            allocations_count(true);
        live(&crowd);
    }
    assert_int_equal(allocations_count(false), 0);
    assert_true(crowd.n_finished > TICKS / 10);
    rig_free(crowd.rig);
}

static void test_anything_at_any_time(void **state)
{
    for (int threads = 1; threads <= 3; threads++)
        check_crowd(threads, (uint32_t)threads);
}

/* Once everything is cancelled, a generator whose device failed is as good as new. */
static void test_failures_leave_nothing(void **state)
{
    enum { FAILURES = 3 * 2 * LANES };
    struct rig *rig = rig_make(2, LANES);
    static uint8_t pixels[KINDS * PIXELS];
    struct generator_image images[LANES];
    struct error err;
    int n;

    for (int i = 0; i < FAILURES; i++) {
        for (int j = 0; j < LANES; j++)
            submit(rig, seen((uint64_t)j, 4));
        for (int j = 0; j < i % 2; j++)
            assert_int_equal(generator_tick(rig->g, images, &n, &err), 0);
        if (i % 3 == 0)
            waits_until_failure = 1;
        else /* where x_1 has to be drawn that is started first */
            starts_until_failure = i % 3;
        while (generator_tick(rig->g, images, &n, &err) == 0)
            ;
        assert_non_null(strstr(err.text, "the device is told"));
        assert_int_equal(n, 0);
        assert_int_equal(starts_until_failure + waits_until_failure, 0);
        for (int j = 0; j < LANES; j++)
            assert_int_equal(generator_cancel(rig->g, (uint64_t)j), 1);
        assert_int_equal(generator_busy(rig->g), 0);
        memset(pixels, 0, sizeof(pixels));
        untrained_draw(rig->g, rig->tasks, KINDS, pixels);
        assert_memory_equal(pixels, rig->expected, sizeof(pixels));
    }
    rig_free(rig);
}

/* Whoever has to leave in the middle of a tick need not finish it first. */
static void test_destroyed_in_flight(void **state)
{
    for (int i = 0; i < 20; i++) {
        struct generator_options options = {.precision = PRECISION_FP32,
                                            .lanes = LANES,
                                            .nfe_max = NFE_MAX};
        struct rig *rig = rig_make(3, LANES);

        generator_destroy(rig->g);
        rig->g = untrained_generator(rig->device, rig->checkpoint, &options);
        for (int j = 0; j < LANES; j++)
            submit(rig, seen((uint64_t)j, 4));
        start(rig);
        rig_free(rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_who_comes_late_joins_the_next_tick),
        cmocka_unit_test(test_parking_in_flight),
        cmocka_unit_test(test_rows_filled_ahead),
        cmocka_unit_test(test_cancelling_in_flight),
        cmocka_unit_test(test_slots_used_again),
        cmocka_unit_test(test_anything_at_any_time),
        cmocka_unit_test(test_failures_leave_nothing),
        cmocka_unit_test(test_destroyed_in_flight),
    };

    return cmocka_run_group_tests_name("half_ticks", tests, NULL, NULL);
}
