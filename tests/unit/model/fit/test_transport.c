/* Distances of sets of points where they are known, and of images at levels of corruptions. */
#include "model/fit/transport.h"
#include "engine/base/philox.h"
#include "model/corruption.h"
#include "model/fit/schedule_fit.h"
#include "model/fit/schedule_path.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { N = 64, SIDE = 4, IMAGES = 24, PIXELS = SIDE * SIDE };

/* The squared W2 of points a and b [N,dims] by the Sinkhorn divergence. */
static double divergence(int dims, const double *a, const double *b, double r)
{
    static double squares[N * N];
    const double *sets[] = {a, b, a, a, b, b};
    double costs[3], unsettled = 0;
    struct transport *t;

    assert_int_equal(transport_create(N, &t, NULL), 0);
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < N * N; i++) {
            squares[i] = 0;
            for (int d = 0; d < dims; d++)
                squares[i] +=
                    pow(sets[2 * k][i / N * dims + d] - sets[2 * k + 1][i % N * dims + d], 2);
        }
        costs[k] = transport_cost(t, squares, r, &unsettled);
    }
    transport_destroy(t);
    assert_true(unsettled == 0);
    return costs[0] - 0.5 * (costs[1] + costs[2]);
}

static void close_to(double value, double wanted, double tolerance)
{
    if (!(fabs(value - wanted) <= tolerance))
        fail_msg("%.9g instead of %.9g", value, wanted);
}

static void draw(uint64_t seed, int n, double *out)
{
    float normals[2 * N];
    struct philox_key key = philox_key(seed, 0, 0);

    philox_normals(&key, PHILOX_STREAM_ETA, (size_t)n, normals);
    for (int i = 0; i < n; i++)
        out[i] = (double)normals[i];
}

/* A set that was moved is as far away as it was moved, in any order, whatever r. */
static void a_set_that_was_moved(void **state)
{
    double a[2 * N], b[2 * N];

    draw(1, 2 * N, a);
    for (int i = 0; i < N; i++) {
        b[2 * (N - 1 - i)] = a[2 * i] + 0.3;
        b[2 * (N - 1 - i) + 1] = a[2 * i + 1] - 0.4;
    }
    close_to(divergence(2, a, b, 0.1), 0.25, 1e-5);
    close_to(divergence(2, a, b, 1), 0.25, 1e-5);
    close_to(divergence(2, a, a, 0.1), 0, 1e-12);
}

/* All mass in a point: the mean square, and the entropy of one set goes away with its own cost but for
 * what r spreads. */
static void a_set_and_a_point(void **state)
{
    double a[N], b[N] = {0}, mean_square = 0;

    draw(2, N, a);
    for (int i = 0; i < N; i++)
        mean_square += a[i] * a[i] / N;
    close_to(divergence(1, a, b, 1e-3), mean_square, 1e-2 * mean_square);
}

/* On a line the smallest goes to the smallest; of Gaussians made broader by a factor that is W2^2 =
 * (s - s')^2 of the standard deviations (Daras et al. compare Gaussians so, in closed form). */
static void sets_on_a_line(void **state)
{
    double a[N], b[N], square = 0;

    draw(3, N, a);
    for (int i = 0; i < N; i++) {
        b[(i * 29 + 7) % N] = 1.5 * a[i]; /* another order */
        square += a[i] * a[i] / N;
    }
    close_to(divergence(1, a, b, 0.1), 0.25 * square, 0.005 * square);
    close_to(divergence(1, a, b, 0.03), 0.25 * square, 0.002 * square);
}

static struct corruption *corruption_of(const char *text)
{
    json_t *json = json_loads(text, 0, NULL);
    struct corruption *c;

    assert_int_equal(corruption_create(json, SIDE, SIDE, &c, NULL), 0);
    json_decref(json);
    return c;
}

static void draw_images(float *images)
{
    struct philox_key key = philox_key(4, 0, 0);

    philox_normals(&key, PHILOX_STREAM_ETA, IMAGES * PIXELS, images);
    for (int i = 0; i < IMAGES * PIXELS; i++)
        images[i] = 0.5f + 0.2f * images[i];
}

/* Both estimators where the identity is the best coupling. */
static void estimators_agree_where_levels_commute(void **state)
{
    static const struct {
        const char *json;
        double levels[5];
    } rows[] = {
        {"{\"name\": \"fade\"}", {1, 0.9, 0.7, 0.4, 0}},
        {"{\"name\": \"blur-dct\"}", {0.01, 0.4, 0.6, 1, 2}},
        {"{\"name\": \"mask\", \"order\": \"rows\"}", {16, 15, 12, 6, 0}},
    };
    const struct transport_options options = {.regularization = 0.01};
    float images[IMAGES * PIXELS];

    draw_images(images);
    for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
        struct corruption *c = corruption_of(rows[k].json);
        double identity[25], transport[25], unsettled;

        assert_int_equal(schedule_distances(c, IMAGES, 1, images, 5, rows[k].levels, NULL, identity,
                                            NULL),
                         0);
        assert_int_equal(transport_distances(c, IMAGES, 1, images, 5, rows[k].levels, &options,
                                             transport, &unsettled, NULL),
                         0);
        assert_true(unsettled == 0);
        for (int i = 0; i < 25; i++)
            close_to(transport[i], identity[i], 0.02 * identity[24 - 20]);
        corruption_destroy(c);
    }
}

/* With the square root of the time left the loss of a fade is that of VE noise by Eq. 45: 1 - a grows
 * as sigma does. */
static void losses_follow_a_ve_diffusion(void **state)
{
    enum { LEVELS = 9 };
    const struct schedule_fit_options options = {.rule = SCHEDULE_RULE_MSE,
                                                 .n_levels = LEVELS,
                                                 .n_candidates = 4001,
                                                 .ve_sigma_min = 0.01,
                                                 .ve_sigma_max = 1};
    struct corruption *c = corruption_of("{\"name\": \"fade\"}");
    struct schedule_fit_report report;
    float images[IMAGES * PIXELS];
    double levels[LEVELS];

    draw_images(images);
    assert_int_equal(schedule_fit(c, IMAGES, 1, images, &options, levels, &report, NULL), 0);
    for (int i = 0; i < LEVELS; i++)
        close_to(1 - levels[i], pow(0.01, 1 - i / (LEVELS - 1.0)), 1e-4);
    corruption_destroy(c);
}

/* Two estimates of the same distances find the same path. Exact ones have no nodes below about 0.15 px,
 * where nothing changes: such cost nothing but time. */
static void paths_are_found_by_both(void **state)
{
    struct schedule_fit_options options = {.n_levels = 5,
                                           .n_candidates = 33,
                                           .level_min = 0.05,
                                           .level_max = 3};
    struct corruption *c = corruption_of("{\"name\": \"blur-dct\"}");
    struct schedule_fit_report identity, transport;
    float images[IMAGES * PIXELS];
    double levels[2][5];

    draw_images(images);
    assert_int_equal(schedule_fit(c, IMAGES, 1, images, &options, levels[0], &identity, NULL), 0);
    options.estimator = SCHEDULE_ESTIMATOR_TRANSPORT;
    assert_int_equal(schedule_fit(c, IMAGES, 1, images, &options, levels[1], &transport, NULL), 0);
    close_to(transport.length, identity.length, 0.03 * identity.length); /* r is a 100th */
    for (int i = 0; i < 5; i++) {
        assert_true(i == 0 || levels[0][i] > levels[0][i - 1]);
        if (i > 1) /* by one candidate */
            close_to(log(levels[1][i] / levels[0][i]), 0, 1.01 * log(60) / 32);
    }
    assert_true(levels[0][1] > 0.15 && levels[0][0] == 0.05 && fabs(levels[0][4] - 3) < 1e-12);
    corruption_destroy(c);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_that_was_moved),
        cmocka_unit_test(a_set_and_a_point),
        cmocka_unit_test(sets_on_a_line),
        cmocka_unit_test(estimators_agree_where_levels_commute),
        cmocka_unit_test(losses_follow_a_ve_diffusion),
        cmocka_unit_test(paths_are_found_by_both),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
