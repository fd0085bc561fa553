/* Distances between blur levels and the cheapest paths over them, against exact optimal transport
 * and another implementation of the search.
 */
#include "model/fit/schedule_path.h"
#include "engine/base/error.h"
#include "model/corruption.h"
#include "model/fit/transport.h"
#include "model/safetensors.h"
#include "tests/golden/golden.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { IMAGES = 64, SIDE = 16, CHANNELS = 3, LEVELS = 40, STRIDE = 5, FEW = LEVELS / STRIDE };

struct fixture {
    struct safetensors *file;
    double *distances; /* [LEVELS,LEVELS] */
    double *transport; /* [FEW,FEW] by entropic transport, of every fifth level */
};

static int set_up(void **state)
{
    struct fixture *f = malloc(sizeof(*f));
    const struct transport_options options = {.regularization = 0.01};
    float *images, *half_size;
    struct corruption *c;
    double *levels, unsettled;
    json_t *json;

    f->file = golden_open("schedule");
    f->distances = malloc(LEVELS * LEVELS * sizeof(*f->distances));
    images = golden_read(f->file, "x0");
    half_size = golden_read_raw(f->file, "half_size");
    levels = golden_read_doubles(f->file, "stds");
    json = json_pack("{s:s, s:i}", "name", "blur", "half_size", (int)half_size[0]);
    assert_int_equal(corruption_create(json, SIDE, SIDE, &c, NULL), 0);
    assert_int_equal(schedule_distances(c, IMAGES, CHANNELS, images, LEVELS, levels, NULL,
                                        f->distances, NULL),
                     0);
    f->transport = malloc(FEW * FEW * sizeof(*f->transport));
    for (int i = 0; i < FEW; i++)
        levels[i] = levels[i * STRIDE];
    assert_int_equal(transport_distances(c, IMAGES, CHANNELS, images, FEW, levels, &options,
                                         f->transport, &unsettled, NULL),
                     0);
    assert_true(unsettled == 0);
    json_decref(json);
    corruption_destroy(c);
    free(levels);
    free(half_size);
    free(images);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    safetensors_close(f->file);
    free(f->distances);
    free(f->transport);
    free(f);
    return 0;
}

/* They equal the identity coupling's to rounding, and so the exact transport's, which the file has
 * to fewer digits for the levels that are closest to each other. */
static void test_distances(void **state)
{
    static const char *const names[] = {"dist_identity", "dist_ot"};
    static const double tolerances[] = {1e-9, 1e-6};
    struct fixture *f = *state;

    for (int k = 0; k < 2; k++) {
        double *want = golden_read_doubles(f->file, names[k]);

        for (int i = 0; i < LEVELS * LEVELS; i++) {
            if (!(fabs(f->distances[i] - want[i]) <= tolerances[k] * want[i]))
                fail_msg("%s(%d, %d) is %.17g instead of %.17g", names[k], i / LEVELS, i % LEVELS,
                         f->distances[i], want[i]);
        }
        free(want);
    }
}

/* Without being told of a coupling, and with a little entropy, transport comes to the exact one. */
static void test_transport(void **state)
{
    struct fixture *f = *state;
    double *want = golden_read_doubles(f->file, "dist_ot");

    for (int i = 0; i < FEW * FEW; i++) {
        double exact = want[i / FEW * STRIDE * LEVELS + i % FEW * STRIDE];

        if (!(fabs(f->transport[i] - exact) <= 0.01 * exact))
            fail_msg("(%d, %d) is %.9g instead of %.9g", i / FEW, i % FEW, f->transport[i], exact);
    }
    free(want);
}

static void check_path(const struct fixture *f, const char *eps_name, const char *path_name,
                       const char *cost_name)
{
    double *eps = golden_read_doubles(f->file, eps_name),
           *want = golden_read_doubles(f->file, path_name);
    double *want_cost = golden_read_doubles(f->file, cost_name), cost;
    int path[LEVELS], n;

    n = schedule_shortest_path(LEVELS, f->distances, eps[0], path, &cost, NULL);
    assert_int_equal(n, (int)golden_count(f->file, path_name));
    for (int i = 0; i < n; i++)
        assert_int_equal(path[i], (int)want[i]);
    if (!(fabs(cost - want_cost[0]) <= 1e-9 * want_cost[0]))
        fail_msg("%s is %.17g instead of %.17g", cost_name, cost, want_cost[0]);
    free(eps);
    free(want);
    free(want_cost);
}

static void test_paths(void **state)
{
    check_path(*state, "eps", "path", "path_cost");
    check_path(*state, "alt0.eps", "alt0.path", "alt0.cost");
    check_path(*state, "alt1.eps", "alt1.path", "alt1.cost");
    check_path(*state, "alt2.eps", "alt2.path", "alt2.cost");
}

static void test_path_of_length(void **state)
{
    struct fixture *f = *state;
    double *want = golden_read_doubles(f->file, "path"),
           *want_eps = golden_read_doubles(f->file, "eps"), eps;
    int n = (int)golden_count(f->file, "path"), nodes[LEVELS];

    assert_int_equal(schedule_path_of_length(LEVELS, f->distances, n, NULL, nodes, &eps, NULL), 0);
    for (int i = 0; i < n; i++)
        assert_int_equal(nodes[i], (int)want[i]);
    assert_true(fabs(eps - want_eps[0]) <= 1e-6 * want_eps[0]);
    free(want);
    free(want_eps);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distances),
        cmocka_unit_test(test_transport),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_path_of_length),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
