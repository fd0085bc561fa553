/* The simulation against queueing theory, where that has closed forms, and against small cases that
 * can be worked out by hand. */
#include "tools/simulate/simulation.h"
#include "engine/base/error.h"
#include "tools/simulate/stream.h"
#include "tools/simulate/ticks.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MANY = 400000, SOME = 20000, UNBOUNDED = 1 << 30 };

static const struct ticks second = {.n = 2, .lanes = {1, 64}, .ms = {1000, 1000}};
static const struct ticks measured = {.n = 3, .lanes = {1, 2, 16}, .ms = {3.1, 3.0, 22.4}};

static void assert_near(double got, double want, double relative)
{
    if (!(fabs(got - want) <= relative * fabs(want)))
        fail_msg("%.9g instead of %.9g +- %g %%", got, want, 100 * relative);
}

static struct stream_request *draw(uint64_t seed, double rate, const char *images, const char *nfe,
                                   int n)
{
    struct stream_request *requests = calloc((size_t)n, sizeof(*requests));
    struct distribution image_numbers, evaluations;

    assert_non_null(requests);
    assert_int_equal(distribution_parse(images, 64, &image_numbers, NULL), 0);
    assert_int_equal(distribution_parse(nfe, 10000, &evaluations, NULL), 0);
    stream_draw(seed, rate, &image_numbers, &evaluations, n, requests);
    return requests;
}

static struct simulation_result run(enum policy policy, int slots, int max_queue,
                                    const struct ticks *ticks,
                                    const struct stream_request *requests, int n)
{
    const struct simulation_options options = {policy, slots, max_queue};
    struct simulation_result result;

    assert_int_equal(simulation_run(&options, ticks, requests, n, &result, NULL), 0);
    return result;
}

/* M/D/1: one server, constant service D, load rho. The mean wait is rho D / (2 (1 - rho))
 * (Pollaczek 1930, Khintchine 1932). With one slot and one image per request both policies are this
 * queue. The tolerance is three standard errors of so many requests, which depend on each other
 * over some 1 / (1 - rho)^2. */
static void test_one_server(void **state)
{
    static const struct {
        const char *nfe;
        double service_s, rho, tolerance;
    } cases[] = {{"1", 1, 0.3, 0.02},
                 {"1", 1, 0.5, 0.02},
                 {"1", 1, 0.8, 0.04},
                 {"7", 7, 0.5, 0.02}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double rho = cases[i].rho, service_s = cases[i].service_s;
        double wait_s = rho * service_s / (2 * (1 - rho));
        struct stream_request *requests = draw(3, rho / service_s, "1", cases[i].nfe, MANY);
        struct simulation_result results[POLICIES];

        for (int p = 0; p < POLICIES; p++) {
            struct simulation_result *r = &results[p];

            *r = run((enum policy)p, 1, UNBOUNDED, &second, requests, MANY);
            assert_int_equal(r->completed, MANY);
            assert_near(r->mean_wait_s, wait_s, cases[i].tolerance);
            assert_near(r->mean_s, r->mean_wait_s + service_s, 1e-6);
            assert_near(r->busy_s / r->elapsed_s, rho, 0.01);
        }
        assert_near(results[0].mean_s, results[1].mean_s, 1e-6);
        assert_near(results[0].p99_s, results[1].p99_s, 1e-6);
        free(requests);
    }
}

/* One server and no queue: the share rho / (1 + rho) is refused (Erlang's loss formula, which holds
 * for any service time). */
static void test_loss(void **state)
{
    struct stream_request *requests = draw(5, 0.5, "1", "1", MANY);

    for (int p = 0; p < POLICIES; p++) {
        struct simulation_result r = run((enum policy)p, 1, 0, &second, requests, MANY);

        assert_int_equal(r.completed + r.refused, MANY);
        assert_near((double)r.refused / MANY, 0.5 / 1.5, 0.01);
        assert_near(r.p99_s, 1, 1e-6);
    }
    free(requests);
}

/* Nothing is lost or made up: Little's law (the mean number in the system is the rate of arrivals
 * times the mean latency; here over a whole run, so exactly), and the same work for both policies. */
static void test_conservation(void **state)
{
    static const double rates[] = {0.5, 3, 8};

    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        struct stream_request *requests =
            draw(i, rates[i], "1:0.8,5:0.1,64:0.1", "10:0.5,20:0.3,100:0.15,1000:0.05", SOME);
        long long images = 0, evaluations = 0;

        for (int k = 0; k < SOME; k++) {
            images += requests[k].images;
            evaluations += (long long)requests[k].images * requests[k].nfe;
        }
        for (int p = 0; p < POLICIES; p++) {
            struct simulation_result r =
                run((enum policy)p, 16, UNBOUNDED, &measured, requests, SOME);

            assert_int_equal(r.completed, SOME);
            assert_int_equal(r.refused, 0);
            assert_int_equal(r.images, images);
            assert_int_equal(r.evaluations, evaluations);
            assert_near(r.mean_in_system * r.elapsed_s, r.mean_s * SOME, 1e-6);
            assert_true(r.busy_s <= r.elapsed_s * (1 + 1e-9));
            assert_true(r.mean_wait_s <= r.mean_s && r.p50_s <= r.p95_s && r.p95_s <= r.p99_s);
            if (p == POLICY_CONTINUOUS)
                assert_int_equal(r.lane_evaluations, evaluations);
            else
                assert_true(r.lane_evaluations > evaluations);
        }
        free(requests);
    }
}

/* Two long images have both lanes when a short one comes in the middle of the eleventh tick. */
static void test_an_arrival(void **state)
{
    const struct stream_request requests[] = {{0, 2, 100}, {10.5, 1, 5}};
    struct simulation_result r = run(POLICY_CONTINUOUS, 2, 10, &second, requests, 2);

    assert_near(r.elapsed_s, 105, 1e-9); /* one of the long ones paused for five */
    assert_near(r.p50_s, 5.5, 1e-9);
    assert_near(r.p99_s, 105, 1e-9);
    assert_near(r.mean_wait_s, 0.25, 1e-9);
    assert_int_equal(r.lane_evaluations, 205);
    r = run(POLICY_BATCH, 2, 10, &second, requests, 2);
    assert_near(r.p50_s, 94.5, 1e-9);
    assert_near(r.p99_s, 100, 1e-9);
    assert_near(r.mean_wait_s, 89.5 / 2, 1e-9);
}

/* A batch ends with its longest image, and a request with its last batch. */
static void test_batches(void **state)
{
    const struct stream_request requests[] = {{1, 1, 2}, {1.5, 1, 10}, {1.6, 3, 4}, {1.7, 1, 1}};
    struct simulation_result r = run(POLICY_BATCH, 2, 10, &second, requests, 4);

    /* [1, 3] the first; [3, 13] the second with an image of the third; [13, 17] the third's others;
     * [17, 18] the last. */
    assert_near(r.elapsed_s, 18, 1e-9);
    assert_near(r.mean_s, (2 + 11.5 + 15.4 + 16.3) / 4, 1e-9);
    assert_int_equal(r.lane_evaluations, 2 + 20 + 8 + 1);
    assert_near(r.busy_s, 17, 1e-9);
}

/* A request that can never fit does not stop the others; refusing counts what is in the system at
 * the moment of arrival. */
static void test_refusals(void **state)
{
    const struct stream_request requests[] = {{0, 9, 1}, {0, 2, 2}, {1.5, 1, 1}, {2.5, 2, 1}};
    struct simulation_result r;

    for (int p = 0; p < POLICIES; p++) {
        r = run((enum policy)p, 2, 0, &second, requests, 4);
        assert_int_equal(r.refused, 2); /* the first and the third */
        assert_int_equal(r.completed, 2);
        assert_near(r.elapsed_s, 3.5, 1e-9);
    }
}

static void test_streams(void **state)
{
    struct stream_request *a = draw(1, 4, "1:3,2:1", "10:0.5,20:0.3,100:0.15,1000:0.05", MANY);
    struct stream_request *b = draw(1, 4, "1:3,2:1", "10:0.5,20:0.3,100:0.15,1000:0.05", MANY);
    struct stream_request *c = draw(2, 4, "1:3,2:1", "10:0.5,20:0.3,100:0.15,1000:0.05", MANY);
    double squares = 0, two = 0, nfe = 0;
    int same = 0;

    assert_memory_equal(a, b, MANY * sizeof(*a));
    for (int i = 0; i < MANY; i++) {
        double gap = a[i].arrival_s - (i ? a[i - 1].arrival_s : 0);

        assert_true(gap > 0);
        squares += gap * gap;
        two += a[i].images == 2;
        nfe += a[i].nfe;
        same += a[i].arrival_s == c[i].arrival_s;
    }
    assert_int_equal(same, 0);
    /* Exponential: mean 1/4, mean square 2/16; within three standard errors. */
    assert_near(a[MANY - 1].arrival_s / MANY, 0.25, 3 / sqrt(MANY));
    assert_near(squares / MANY, 0.125, 3 * sqrt(5.0 / MANY));
    assert_near(two / MANY, 0.25, 3 * sqrt(3.0 / MANY));
    assert_near(nfe / MANY, 76, 3 * 2.8 / sqrt(MANY));
    free(a);
    free(b);
    free(c);
}

static void test_distributions(void **state)
{
    static const char *const wrong[] =
        {"",     "x",     "0",     "65",    "1:",
         "1:-1", "1:0",   "1:x",   "1,",    ",1",
         "1 2",  "1:nan", "1:inf", "1:1:1", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17"};
    struct distribution d;

    assert_int_equal(distribution_parse("10:1,20:3", 64, &d, NULL), 0);
    assert_near(distribution_mean(&d), 17.5, 1e-12);
    assert_int_equal(distribution_parse("7", 64, &d, NULL), 0);
    assert_near(distribution_mean(&d), 7, 1e-12);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(distribution_parse(wrong[i], 64, &d, NULL), -EINVAL);
}

static void test_tick_times(void **state)
{
    static const char *const wrong[] = {"",    "1",       "1:",     "1:0",     "1:-2",
                                        "2:3", "1:2,1:3", "1:2,,2", "1:2 2:3", "0:1,1:2"};
    const struct simulation_options options = {POLICY_CONTINUOUS, 17, 0};
    const struct stream_request request = {0, 1, 1};
    struct simulation_result result;
    struct ticks t;

    assert_int_equal(ticks_parse("16:30,1:3,4:6", &t, NULL), 0);
    assert_int_equal(ticks_lanes_max(&t), 16);
    assert_near(ticks_ms(&t, 1), 3, 1e-12);
    assert_near(ticks_ms(&t, 2), 4, 1e-12);
    assert_near(ticks_ms(&t, 4), 6, 1e-12);
    assert_near(ticks_ms(&t, 10), 18, 1e-12);
    assert_near(ticks_ms(&t, 16), 30, 1e-12);
    assert_int_equal(simulation_run(&options, &t, &request, 1, &result, NULL), -EINVAL);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(ticks_parse(wrong[i], &t, NULL), -EINVAL);
}

static void test_tick_times_of_a_bench(void **state)
{
    static const struct {
        const char *text;
        int rc;
    } cases[] = {
        {"{\"cases\": [{\"batch\": 2, \"wall_ms\": 5.0}, {\"batch\": 1, \"wall_ms\": 3}]}", 0},
        {"{\"cases\": [{\"batch\": 2, \"wall_ms\": 5.0}]}", -EINVAL},
        {"{\"cases\": [{\"batch\": 1, \"wall_ms\": 5}, {\"batch\": 1, \"wall_ms\": 3}]}", -EINVAL},
        {"{\"cases\": [{\"batch\": 1}]}", -EINVAL},
        {"{\"rows\": []}", -EINVAL},
        {"no JSON", -EINVAL},
    };
    char path[] = "/tmp/softdiff-ticks-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ticks t;

        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(pwrite(fd, cases[i].text, strlen(cases[i].text), 0),
                         strlen(cases[i].text));
        assert_int_equal(ticks_read_bench(path, &t, NULL), cases[i].rc);
        if (cases[i].rc == 0)
            assert_near(ticks_ms(&t, 2), 5, 1e-12);
    }
    close(fd);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_server),   cmocka_unit_test(test_loss),
        cmocka_unit_test(test_conservation), cmocka_unit_test(test_an_arrival),
        cmocka_unit_test(test_batches),      cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_streams),      cmocka_unit_test(test_distributions),
        cmocka_unit_test(test_tick_times),   cmocka_unit_test(test_tick_times_of_a_bench),
    };

    return cmocka_run_group_tests_name("simulation", tests, NULL, NULL);
}
