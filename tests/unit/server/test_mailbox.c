/* Jobs go through in their order, statistics are there with the job, and a stop ends a wait. */
#include "server/mailbox.h"

#include "server/engine_model.h"
#include "server/job.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { JOBS = 20000, UNDER_WAY = 64 };

static const uint64_t not_in_order = UINT64_MAX;

/* The engine's side: every job counts as an image. Ends when told to; the count is its result. */
static void *engine(void *arg)
{
    struct mailbox *m = arg;
    struct engine_stats stats = {.state = ENGINE_READY};
    struct engine_change *change;
    struct job *job;

    mailbox_publish(m, &stats);
    while (mailbox_take_submitted(m, true, &job, &change)) {
        if (change) {
            change->status = (int)stats.images;
            mailbox_changed(m, change, &stats);
        }
        while (job) {
            struct job *next = job->next;

            if (job->id != stats.images)
                stats.images = not_in_order;
            else
                stats.images++;
            mailbox_finish(m, job, &stats);
            job = next;
        }
    }
    return NULL;
}

static void test_two_threads(void **state)
{
    struct job *jobs = calloc(JOBS, sizeof(*jobs));
    size_t submitted = 0, taken = 0;
    struct engine_stats stats;
    struct mailbox m;
    pthread_t thread;

    assert_non_null(jobs);
    mailbox_init(&m);
    assert_int_equal(pthread_create(&thread, NULL, engine, &m), 0);
    while (taken < JOBS) {
        struct job *job;

        while (submitted < JOBS && submitted - taken < UNDER_WAY) {
            jobs[submitted].id = submitted;
            mailbox_submit(&m, &jobs[submitted++]);
        }
        while ((job = mailbox_take_done(&m))) {
            assert_ptr_equal(job, &jobs[taken]);
            assert_null(job->next);
            taken++;
            mailbox_stats(&m, &stats);
            assert_in_range(stats.images, taken, submitted);
        }
    }
    mailbox_stop(&m);
    pthread_join(thread, NULL);
    assert_null(mailbox_take_done(&m));
    mailbox_fini(&m);
    free(jobs);
}

static void test_a_stop_ends_a_wait(void **state)
{
    struct mailbox m;
    pthread_t thread;

    mailbox_init(&m);
    assert_int_equal(pthread_create(&thread, NULL, engine, &m), 0);
    mailbox_stop(&m);
    pthread_join(thread, NULL);
    mailbox_fini(&m);
}

/* A change goes to an engine that sleeps and comes back, each once. */
static void test_changes(void **state)
{
    struct engine_change change = {.status = -1}, *back;
    struct mailbox m;
    pthread_t thread;

    mailbox_init(&m);
    assert_int_equal(pthread_create(&thread, NULL, engine, &m), 0);
    assert_null(mailbox_take_changed(&m));
    for (int i = 0; i < 1000; i++) {
        assert_true(mailbox_want(&m, &change));
        while (!(back = mailbox_take_changed(&m)))
            ;
        assert_ptr_equal(back, &change);
        assert_int_equal(change.status, 0);
        assert_null(mailbox_take_changed(&m));
    }
    mailbox_stop(&m);
    pthread_join(thread, NULL);
    mailbox_fini(&m);
}

/* What was submitted last is not lost by it. */
static void test_taking_after_a_stop(void **state)
{
    struct job jobs[2] = {{.id = 1}, {.id = 2}}, *job;
    struct engine_change *change;
    struct mailbox m;

    mailbox_init(&m);
    assert_true(mailbox_take_submitted(&m, false, &job, &change));
    assert_null(job);
    assert_null(change);
    mailbox_submit(&m, &jobs[0]);
    mailbox_submit(&m, &jobs[1]);
    mailbox_stop(&m);
    assert_false(mailbox_take_submitted(&m, true, &job, &change));
    assert_ptr_equal(job, &jobs[0]);
    assert_ptr_equal(job->next, &jobs[1]);
    assert_null(jobs[1].next);
    mailbox_fini(&m);
}

/* A change that comes after the stop comes back at once, and the engine, which may have ended, gets none. */
static void test_changes_after_a_stop(void **state)
{
    static struct engine_model model;
    struct engine_change add = {.model = &model}, drop = {.model = NULL}, *taken;
    struct mailbox m;
    struct job *job;

    mailbox_init(&m);
    mailbox_stop(&m);
    assert_false(mailbox_want(&m, &add));
    assert_ptr_equal(mailbox_take_changed(&m), &add);
    assert_int_equal(add.status, -ECANCELED);
    assert_string_equal(add.error.text, "told to stop");
    assert_null(mailbox_take_changed(&m));
    assert_false(mailbox_want(&m, &drop));
    assert_false(mailbox_take_submitted(&m, true, &job, &taken));
    assert_null(taken);
    assert_ptr_equal(mailbox_take_changed(&m), &drop);
    assert_int_equal(drop.status, 0);
    mailbox_fini(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_threads),
        cmocka_unit_test(test_a_stop_ends_a_wait),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_taking_after_a_stop),
        cmocka_unit_test(test_changes_after_a_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
