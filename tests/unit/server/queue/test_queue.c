/* Fairness: jobs share the lanes, whatever their size, those that wait before the others, and leave
 * without a trace. */
#include "server/queue/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static char letters[] = "abc"; /* what the jobs are called */

static void fill(struct queue_job *jobs, const int *n, int n_jobs, struct queue *q)
{
    memset(q, 0, sizeof(*q));
    for (int i = 0; i < n_jobs; i++) {
        jobs[i] = (struct queue_job){.owner = &letters[i], .n = n[i]};
        queue_push(q, &jobs[i]);
    }
}

static struct queue_job *take(struct queue *q)
{
    bool parked = false;
    struct queue_job *job = queue_take(q, &parked);

    assert_false(parked);
    return job;
}

/* Takes until empty and compares with the letters of the jobs. */
static void assert_order(struct queue *q, const char *want)
{
    char got[64];
    const char *letter;
    struct queue_job *job;
    size_t i = 0;

    while ((job = take(q))) {
        letter = job->owner;
        got[i++] = *letter;
    }
    got[i] = '\0';
    assert_string_equal(got, want);
    assert_int_equal(q->n_images, 0);
}

/* With lanes for all of them. */
static void test_turns(void **state)
{
    struct queue_job jobs[3];
    struct queue q;

    fill(jobs, (const int[]){4, 1, 2}, 3, &q);
    assert_int_equal(q.n_images, 7);
    assert_order(&q, "abcacaa");
    assert_int_equal(jobs[0].n_started, 4);
    assert_int_equal(jobs[1].n_started, 1);
    fill(jobs, (const int[]){3}, 1, &q);
    assert_order(&q, "aaa");
}

/* With one lane: every image ends before the next begins. */
static void test_turns_on_one_lane(void **state)
{
    char got[8] = "";
    const char *letter;
    struct queue_job jobs[3], *job;
    struct queue q;

    fill(jobs, (const int[]){4, 1, 2}, 3, &q);
    for (size_t i = 0; i < 7; i++) {
        job = take(&q);
        assert_null(queue_park(&q));
        letter = job->owner;
        got[i] = *letter;
        queue_finish(&q, job);
    }
    assert_string_equal(got, "abcacaa");
    assert_null(take(&q));
    assert_null(q.classes[PRIORITY_INTERACTIVE].running);
    assert_null(q.classes[PRIORITY_INTERACTIVE].waiting);
}

/* One that comes later is served before a second image of anybody. */
static void test_late_comer(void **state)
{
    struct queue_job jobs[2], late = {.n = 1};
    struct queue q;

    fill(jobs, (const int[]){60, 60}, 2, &q);
    assert_ptr_equal(take(&q), &jobs[0]);
    queue_push(&q, &late);
    assert_ptr_equal(take(&q), &jobs[1]);
    assert_ptr_equal(take(&q), &late);
    assert_ptr_equal(take(&q), &jobs[0]);
    assert_int_equal(q.n_images, 117);
}

/* All lanes belong to one job: those that come get theirs at once, down to an even share, and its
 * images go on where they stopped. */
static void test_parking(void **state)
{
    struct queue_job jobs[6], *job;
    struct queue q;
    bool parked;

    fill(jobs, (const int[]){8}, 1, &q);
    q.parked_max = 4;
    for (int i = 0; i < 4; i++)
        assert_ptr_equal(take(&q), &jobs[0]);
    assert_null(queue_park(&q)); /* nobody else wants one */
    for (int i = 1; i < 6; i++) {
        jobs[i] = (struct queue_job){.n = 1};
        queue_push(&q, &jobs[i]);
        job = queue_park(&q);
        if (i > 3) { /* four jobs, four lanes */
            assert_null(job);
            continue;
        }
        assert_ptr_equal(job, &jobs[0]);
        assert_ptr_equal(take(&q), &jobs[i]);
        assert_int_equal(jobs[0].n_lanes, 4 - i);
        assert_int_equal(jobs[0].n_parked, i);
        assert_int_equal(q.n_images, 4 + i);
    }
    assert_int_equal(q.n_images, 4 + 3 + 2);
    /* A free lane: first those without any, then its parked images, then its new ones. */
    queue_finish(&q, &jobs[1]);
    assert_ptr_equal(take(&q), &jobs[4]);
    queue_finish(&q, &jobs[2]);
    assert_ptr_equal(take(&q), &jobs[5]);
    for (int i = 0; i < 7; i++) {
        queue_finish(&q, i < 3 ? &jobs[3 + i] : &jobs[0]);
        assert_ptr_equal(queue_take(&q, &parked), &jobs[0]);
        assert_int_equal(parked, i < 3);
        assert_int_equal(jobs[0].n_started, i < 3 ? 4 : 2 + i);
    }
    assert_int_equal(q.n_images, 0);
    assert_int_equal(q.classes[PRIORITY_INTERACTIVE].n_parked, 0);
}

/* Two large jobs end up with half of the lanes each, however many others began with. */
static void test_even_shares(void **state)
{
    struct queue_job jobs[2], *job;
    struct queue q;
    int n = 0;

    fill(jobs, (const int[]){64}, 1, &q);
    q.parked_max = 16;
    for (int i = 0; i < 16; i++)
        take(&q);
    jobs[1] = (struct queue_job){.n = 64};
    queue_push(&q, &jobs[1]);
    while ((job = queue_park(&q))) {
        assert_ptr_equal(job, &jobs[0]);
        assert_ptr_equal(take(&q), &jobs[1]);
        n++;
    }
    assert_int_equal(n, 8);
    assert_int_equal(jobs[0].n_lanes, 8);
    /* No room to park: the shares stay. */
    queue_remove(&q, &jobs[1]);
    assert_int_equal(q.classes[PRIORITY_INTERACTIVE].n_parked, 8);
    q.parked_max = 8;
    jobs[1] = (struct queue_job){.n = 1};
    queue_push(&q, &jobs[1]);
    assert_null(queue_park(&q));
}

/* A single lane, or all of them, and a job in the background of any size: the image that comes has a lane
 * before the next tick, and what it took goes on behind it. */
static void test_the_background_gives_way(void **state)
{
    for (int lanes = 1; lanes <= 3; lanes++) {
        struct queue_job jobs[4] = {{.n = 16, .priority = PRIORITY_BACKGROUND},
                                    {.n = 16, .priority = PRIORITY_BACKGROUND},
                                    {.n = 1},
                                    {.n = 2}};
        struct queue q = {.parked_max = lanes};
        struct queue_job *job;
        bool parked;

        queue_push(&q, &jobs[0]);
        queue_push(&q, &jobs[1]);
        for (int i = 0; i < lanes; i++)
            assert_int_equal(take(&q)->priority, PRIORITY_BACKGROUND);
        assert_null(queue_park(&q)); /* they have to come to an end between themselves */
        assert_false(queue_is_urgent(&q));

        queue_push(&q, &jobs[2]);
        job = queue_park(&q);
        assert_non_null(job);
        assert_int_equal(job->priority, PRIORITY_BACKGROUND);
        assert_int_equal(job->n_parked, 1);
        assert_ptr_equal(take(&q), &jobs[2]);
        assert_true(queue_is_urgent(&q));
        queue_finish(&q, &jobs[2]);
        assert_false(queue_is_urgent(&q));
        assert_ptr_equal(queue_take(&q, &parked), job);
        assert_true(parked);

        /* As many as there are lanes are begun, whatever happens in between: all can give way. */
        queue_push(&q, &jobs[3]);
        for (int i = 0; i < 2 && i < lanes; i++) {
            assert_int_equal(queue_park(&q)->priority, PRIORITY_BACKGROUND);
            assert_ptr_equal(take(&q), &jobs[3]);
        }
        for (int i = 0; i < 2 && i < lanes; i++)
            queue_finish(&q, &jobs[3]);
        if (lanes == 1) {
            assert_ptr_equal(take(&q), &jobs[3]);
            queue_finish(&q, &jobs[3]);
        }
        for (int i = 0; i < 2 && i < lanes; i++) {
            assert_int_equal(queue_take(&q, &parked)->priority, PRIORITY_BACKGROUND);
            assert_true(parked);
        }
        assert_null(queue_take(&q, &parked));
        assert_int_equal(q.n_images, 32 - lanes);
    }
}

/* Where a background job leaves with images in lanes and parked, others get its places. */
static void test_background_removal(void **state)
{
    struct queue_job jobs[3] = {{.n = 4, .priority = PRIORITY_BACKGROUND},
                                {.n = 4, .priority = PRIORITY_BACKGROUND},
                                {.n = 1}};
    struct queue q = {.parked_max = 2};

    queue_push(&q, &jobs[0]);
    take(&q);
    take(&q);
    queue_push(&q, &jobs[2]);
    assert_ptr_equal(queue_park(&q), &jobs[0]);
    take(&q);
    queue_push(&q, &jobs[1]);
    assert_null(queue_park(&q));
    queue_remove(&q, &jobs[0]);
    assert_int_equal(q.classes[PRIORITY_BACKGROUND].n_parked, 0);
    assert_int_equal(q.classes[PRIORITY_BACKGROUND].n_lanes, 0);
    assert_ptr_equal(take(&q), &jobs[1]);
}

/* What random company leaves, job by job. */
struct census {
    int waiting, lanes[PRIORITIES], parked[PRIORITIES];
    int most, least; /* lanes of an interactive job, and of one of which images wait */
};

static void count(const struct queue_job *jobs, const int *n_finished, int n, struct census *out)
{
    *out = (struct census){.least = 99};
    for (int i = 0; i < n; i++) {
        const struct queue_job *job = &jobs[i];
        int waiting = job->n - job->n_started + job->n_parked;

        assert_int_equal(job->n_started, n_finished[i] + job->n_lanes + job->n_parked);
        out->waiting += waiting;
        out->lanes[job->priority] += job->n_lanes;
        out->parked[job->priority] += job->n_parked;
        if (job->priority == PRIORITY_BACKGROUND)
            continue;
        out->most = job->n_lanes > out->most ? job->n_lanes : out->most;
        if (waiting > 0 && job->n_lanes < out->least)
            out->least = job->n_lanes;
    }
}

/* Any order of arrivals, ends and removals on a few lanes: the counts hold, every image is computed
 * once, after sharing nobody who waits is two lanes behind, and the background has lanes only where
 * nobody waits. */
static void test_random_company(void **state)
{
    enum { JOBS = 60, LANES = 6 };
    struct queue_job jobs[JOBS], *job;
    int n_finished[JOBS] = {0};
    struct queue q = {.parked_max = LANES};
    const struct queue_class *background = &q.classes[PRIORITY_BACKGROUND];
    unsigned int seed = 1;
    int pushed = 0, busy = 0, step, i, n_given_way = 0;
    struct census all;
    bool parked;

    memset(jobs, 0, sizeof(jobs));
    for (step = 0; step < 6000; step++) {
        int action = rand_r(&seed) % 8;

        i = pushed ? rand_r(&seed) % pushed : 0;
        if (action == 0 && rand_r(&seed) % 6 == 0 && pushed < JOBS) {
            jobs[pushed].n = 1 + rand_r(&seed) % 12;
            jobs[pushed].priority = rand_r(&seed) % 3 ? PRIORITY_INTERACTIVE : PRIORITY_BACKGROUND;
            queue_push(&q, &jobs[pushed++]);
        } else if (action < 7 && jobs[i].n_lanes > 0) {
            queue_finish(&q, &jobs[i]);
            n_finished[i]++;
            busy--;
        } else if (action == 7 && step % 5 == 0 && n_finished[i] < jobs[i].n) {
            queue_remove(&q, &jobs[i]);
            busy -= jobs[i].n_lanes;
            jobs[i] = (struct queue_job){.n = 0};
            n_finished[i] = 0;
        }
        while (busy < LANES || queue_park(&q)) {
            job = queue_take(&q, &parked);
            busy = job && busy < LANES ? busy + 1 : busy;
            if (!job)
                break;
        }
        count(jobs, n_finished, pushed, &all);
        assert_int_equal(all.lanes[0] + all.lanes[1], busy);
        for (int p = 0; p < PRIORITIES; p++) {
            assert_int_equal(all.lanes[p], q.classes[p].n_lanes);
            assert_int_equal(all.parked[p], q.classes[p].n_parked);
            assert_true(all.parked[p] <= LANES);
        }
        assert_int_equal(all.waiting, q.n_images);
        assert_true(all.most < all.least + 2 || all.parked[PRIORITY_INTERACTIVE] == LANES);
        assert_true(background->n_lanes == 0 || all.least == 99);
        assert_true(background->n_lanes + background->n_parked <= LANES);
        assert_true(busy == LANES || all.waiting == 0);
        n_given_way += background->n_parked > 0 && busy == LANES;
    }
    assert_int_equal(pushed, JOBS);
    assert_true(n_given_way > 1000);
}

static void test_removal(void **state)
{
    struct queue_job jobs[3];
    struct queue q;

    for (int i = 0; i < 3; i++) {
        static const char *const want[] = {"bcbc", "caca", "abab"};

        fill(jobs, (const int[]){2, 2, 2}, 3, &q);
        if (i == 1) /* also one that has a lane */
            assert_ptr_equal(take(&q), &jobs[0]);
        queue_remove(&q, &jobs[i]);
        assert_int_equal(q.n_images, i == 1 ? 3 : 4);
        assert_order(&q, i == 1 ? "cac" : want[i]);
    }
    fill(jobs, (const int[]){5}, 1, &q);
    queue_remove(&q, &jobs[0]);
    assert_null(take(&q));
    assert_int_equal(q.n_images, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_turns_on_one_lane),
        cmocka_unit_test(test_late_comer),
        cmocka_unit_test(test_parking),
        cmocka_unit_test(test_even_shares),
        cmocka_unit_test(test_random_company),
        cmocka_unit_test(test_the_background_gives_way),
        cmocka_unit_test(test_background_removal),
        cmocka_unit_test(test_removal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
