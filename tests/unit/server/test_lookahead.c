/* What is foreseen for a job against what then becomes of it: the fair queue, tick by tick, of which the
 * lookahead is told what the daemon knows of it. */
#include "server/lookahead.h"
#include "server/pace.h"
#include "server/queue/queue.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { JOBS_MAX = 40, LANES_MAX = 16, PLACES = 3 * LANES_MAX, IMAGES_MAX = 6, RUNS = 400 };

/* The engine: lanes of which each does one evaluation a tick. */
struct engine {
    struct queue queue;
    struct queue_job jobs[JOBS_MAX];
    struct lookahead_job told[JOBS_MAX];
    int n_finished[JOBS_MAX];
    struct lane {
        struct queue_job *job;
        bool parked;
        int left;
    } lanes[PLACES];
    int n_jobs, n_lanes;
};

static void submit(struct engine *e, int n, int evaluations, enum priority priority)
{
    struct queue_job *job = &e->jobs[e->n_jobs];

    *job = (struct queue_job){.n = n, .priority = priority};
    e->told[e->n_jobs++] = (struct lookahead_job){n, evaluations, 0, priority};
    queue_push(&e->queue, job);
}

/* As the generator: it parks the image with the most left, and goes on with the one with the fewest. */
static struct lane *pick(struct engine *e, const struct queue_job *job, bool parked)
{
    struct lane *found = NULL;

    for (int i = 0; i < PLACES; i++) {
        struct lane *lane = &e->lanes[i];

        if (lane->job != job || lane->parked != parked)
            continue;
        if (!found || (parked ? lane->left < found->left : lane->left > found->left))
            found = lane;
    }
    assert_non_null(found);
    return found;
}

static int count_busy(const struct engine *e)
{
    int n = 0;

    for (int i = 0; i < PLACES; i++)
        n += e->lanes[i].job && !e->lanes[i].parked;
    return n;
}

static void share(struct engine *e)
{
    struct queue_job *job;
    bool parked;

    for (;;) {
        if (count_busy(e) == e->n_lanes) {
            if (!(job = queue_park(&e->queue)))
                return;
            pick(e, job, false)->parked = true;
        }
        if (!(job = queue_take(&e->queue, &parked)))
            return;
        if (parked)
            pick(e, job, true)->parked = false;
        else
            *pick(e, NULL, false) =
                (struct lane){.job = job, .left = e->told[job - e->jobs].evaluations};
    }
}

static void tick(struct engine *e)
{
    share(e);
    for (int i = 0; i < PLACES; i++) {
        struct lane *lane = &e->lanes[i];
        struct queue_job *job = lane->job;

        if (!job || lane->parked)
            continue;
        e->told[job - e->jobs].done++;
        if (--lane->left > 0)
            continue;
        *lane = (struct lane){.left = 0};
        e->n_finished[job - e->jobs]++;
        queue_finish(&e->queue, job);
    }
}

/* Those that are not done yet. */
static int tell(const struct engine *e, struct lookahead_job out[JOBS_MAX])
{
    int n = 0;

    for (int i = 0; i < e->n_jobs; i++)
        if (e->n_finished[i] < e->jobs[i].n)
            out[n++] = e->told[i];
    return n;
}

struct times {
    double first, done;
};

/* A tick takes a second, whatever is in it. */
static struct times foresee(const struct engine *e)
{
    static struct pace pace;
    const struct lookahead options = {.pace = &pace, .lanes = e->n_lanes, .devices = 1};
    struct lookahead_job jobs[JOBS_MAX];
    struct times found = {-1, -1};

    pace = (struct pace){.tick_s = {0}};
    for (int lanes = 1; lanes <= 4096; lanes *= 2)
        pace_add(&pace, lanes, 1);
    assert_int_equal(lookahead_run(&options, jobs, tell(e, jobs), &found.first, &found.done), 0);
    return found;
}

/* What becomes of the job that came last. */
static struct times see(struct engine *e)
{
    const struct lookahead_job *told = &e->told[e->n_jobs - 1];
    const int *n_finished = &e->n_finished[e->n_jobs - 1];
    struct times seen = {0, 0};

    for (int t = 1; *n_finished < told->n; t++) {
        tick(e);
        if (seen.first == 0 && told->done > 0)
            seen.first = t;
        seen.done = t;
    }
    return seen;
}

static struct engine *create(int lanes)
{
    struct engine *e = calloc(1, sizeof(*e));

    assert_non_null(e);
    e->n_lanes = lanes;
    e->queue.parked_max = lanes;
    return e;
}

static void run(struct engine *e, int ticks)
{
    for (int t = 0; t < ticks; t++)
        tick(e);
}

static void assert_foreseen(struct engine *e, double first, double done)
{
    struct times foreseen = foresee(e), seen = see(e);

    assert_true(seen.first == first && seen.done == done);
    assert_true(foreseen.first == first && foreseen.done == done);
    free(e);
}

/* One lane is shared image by image: before the first one there is what is left of the image on its way, and
 * one of each that waits; before the second one those again that have another. */
static void test_one_lane(void **state)
{
    struct engine *e = create(1);

    submit(e, 3, 100, PRIORITY_INTERACTIVE);
    for (int i = 0; i < 5; i++)
        submit(e, i == 4 ? 2 : 1, 1000, PRIORITY_INTERACTIVE);
    run(e, 30);
    submit(e, 2, 10, PRIORITY_INTERACTIVE);
    assert_foreseen(e, 70 + 5 * 1000 + 1, 70 + 5 * 1000 + 10 + 100 + 1000 + 10);
}

static void test_company(void **state)
{
    static const struct {
        int lanes;
        struct {
            int n, evaluations;
            enum priority priority;
        } before[2], then;
        int ticks; /* of those before, until it comes */
        double first, done;
    } cases[] = {
        /* Alone. */
        {4, {{0, 0, PRIORITY_INTERACTIVE}}, {6, 10, PRIORITY_INTERACTIVE}, 0, 1, 20},
        /* With fewer jobs than lanes it begins at once, whatever the others have. */
        {4,
         {{6, 1000, PRIORITY_INTERACTIVE}, {1, 500, PRIORITY_INTERACTIVE}},
         {1, 10, PRIORITY_INTERACTIVE},
         30,
         1,
         10},
        /* A single image of another takes a single lane. */
        {4, {{1, 1000, PRIORITY_INTERACTIVE}}, {3, 100, PRIORITY_INTERACTIVE}, 3, 1, 100},
        /* In the background it waits for all, */
        {1,
         {{1, 100, PRIORITY_INTERACTIVE}, {1, 1000, PRIORITY_BACKGROUND}},
         {1, 10, PRIORITY_BACKGROUND},
         50,
         1051,
         1060},
        /* and who is not does not wait for that. */
        {1, {{4, 1000, PRIORITY_BACKGROUND}}, {1, 10, PRIORITY_INTERACTIVE}, 50, 1, 10},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct engine *e = create(cases[i].lanes);

        for (int k = 0; k < 2 && cases[i].before[k].n > 0; k++)
            submit(e, cases[i].before[k].n, cases[i].before[k].evaluations,
                   cases[i].before[k].priority);
        run(e, cases[i].ticks);
        submit(e, cases[i].then.n, cases[i].then.evaluations, cases[i].then.priority);
        assert_foreseen(e, cases[i].first, cases[i].done);
    }
}

static int draw(uint64_t *seed, int least, int most)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return least + (int)((*seed >> 33) % (uint64_t)(most - least + 1));
}

/* Any number of jobs that came at any time. What is not known is how the evaluations of those that have begun
 * lie on their images: with one lane, where that is known, all is exact; else it is of the size of an image. */
static void test_any(void **state)
{
    uint64_t seed = 7;

    for (int i = 0; i < RUNS; i++) {
        struct engine *e = create((int[]){1, 2, 5, 16}[i % 4]);
        int n = draw(&seed, 0, JOBS_MAX - 1), longest = 60;
        struct times foreseen, seen;

        for (int k = 0; k < n; k++) {
            submit(e, draw(&seed, 1, IMAGES_MAX), draw(&seed, 1, 60),
                   draw(&seed, 0, 4) ? PRIORITY_INTERACTIVE : PRIORITY_BACKGROUND);
            run(e, draw(&seed, 0, 80 / e->n_lanes));
        }
        submit(e, draw(&seed, 1, IMAGES_MAX), draw(&seed, 1, 60), PRIORITY_INTERACTIVE);
        foreseen = foresee(e);
        seen = see(e);
        if (e->n_lanes == 1)
            longest = 0;
        if (!(fabs(foreseen.first - seen.first) <= longest) ||
            !(fabs(foreseen.done - seen.done) <= longest))
            fail_msg("case %d, %d lanes: first %g instead of %g, done %g instead of %g", i,
                     e->n_lanes, foreseen.first, seen.first, foreseen.done, seen.done);
        free(e);
    }
}

/* Where looking to the end would take long it ends, with less. */
static void test_bounded(void **state)
{
    static struct lookahead_job jobs[4001];
    static struct pace pace;
    const struct lookahead options = {.pace = &pace, .lanes = 1000, .devices = 4};
    double first = -1, done = -1;

    pace_add(&pace, 4096, 1);
    for (int i = 0; i < 4000; i++)
        jobs[i] = (struct lookahead_job){64, 100 + i % 97, i, PRIORITY_INTERACTIVE};
    jobs[4000] = (struct lookahead_job){64, 100, 0, PRIORITY_INTERACTIVE};
    assert_int_equal(lookahead_run(&options, jobs, 4001, &first, &done), 0);
    assert_true(first >= 0 && first <= done && done <= 65 * 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_lane),
        cmocka_unit_test(test_company),
        cmocka_unit_test(test_any),
        cmocka_unit_test(test_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
