/* Fairness: jobs take turns, whatever their size, and leave without a trace. */
#include "server/queue.h"

#include "server/job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static void fill(struct job *jobs, const int *n, int n_jobs, struct queue *q)
{
    int i;

    memset(jobs, 0, (size_t)n_jobs * sizeof(*jobs));
    memset(q, 0, sizeof(*q));
    for (i = 0; i < n_jobs; i++) {
        jobs[i].id = (uint64_t)i;
        jobs[i].n = n[i];
        queue_push(q, &jobs[i]);
    }
}

/* Takes until empty and compares with the letters of the jobs. */
static void assert_order(struct queue *q, const char *want)
{
    char got[64];
    struct job *job;
    size_t i = 0;

    while ((job = queue_take(q)))
        got[i++] = (char)('a' + job->id);
    got[i] = '\0';
    assert_string_equal(got, want);
    assert_int_equal(q->n_images, 0);
}

static void test_turns(void **state)
{
    struct job jobs[3];
    struct queue q;

    fill(jobs, (const int[]){4, 1, 2}, 3, &q);
    assert_int_equal(q.n_images, 7);
    assert_order(&q, "abcacaa");
    assert_int_equal(jobs[0].n_started, 4);
    assert_int_equal(jobs[1].n_started, 1);
    fill(jobs, (const int[]){3}, 1, &q);
    assert_order(&q, "aaa");
}

/* One that comes later waits for one image of each, not for all of them. */
static void test_late_comer(void **state)
{
    struct job jobs[2], late = {.id = 2, .n = 1};
    struct queue q;

    fill(jobs, (const int[]){60, 60}, 2, &q);
    assert_int_equal(queue_take(&q)->id, 0);
    queue_push(&q, &late);
    assert_int_equal(queue_take(&q)->id, 1);
    assert_int_equal(queue_take(&q)->id, 0);
    assert_int_equal(queue_take(&q)->id, 2);
    assert_int_equal(q.n_images, 117);
}

static void test_removal(void **state)
{
    struct job jobs[3];
    struct queue q;
    int i;

    for (i = 0; i < 3; i++) {
        static const char *const want[] = {"bcbc", "caca", "abab"};

        fill(jobs, (const int[]){2, 2, 2}, 3, &q);
        if (i == 1) /* also when its turn has passed */
            assert_int_equal(queue_take(&q)->id, 0);
        queue_remove(&q, &jobs[i]);
        assert_int_equal(q.n_images, i == 1 ? 3 : 4);
        assert_order(&q, i == 1 ? "cac" : want[i]);
    }
    fill(jobs, (const int[]){5}, 1, &q);
    queue_remove(&q, &jobs[0]);
    assert_null(queue_take(&q));
    assert_int_equal(q.n_images, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_late_comer),
        cmocka_unit_test(test_removal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
