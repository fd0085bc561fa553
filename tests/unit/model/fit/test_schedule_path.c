/* The search for the levels of a schedule. */
#include "model/fit/schedule_path.h"
#include "engine/base/error.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void near(double a, double b)
{
    if (!(fabs(a - b) <= 1e-12 * fmax(1, fabs(b))))
        fail_msg("%.17g instead of %.17g", a, b);
}

/* Levels on a line: the distance is the difference. */
static void line(const double *at, int n, double *distances)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            distances[i * n + j] = fabs(at[i] - at[j]);
}

static void paths_hop_no_further_than_allowed(void **state)
{
    static const double at[] = {0, 1, 2, 4, 8};
    double distances[25], cost;
    int path[5];

    line(at, 5, distances);
    assert_int_equal(schedule_shortest_path(5, distances, 8, path, &cost, NULL), 2);
    near(cost, 8);
    assert_int_equal(schedule_shortest_path(5, distances, 4, path, &cost, NULL), 3);
    assert_int_equal(path[0], 0);
    assert_int_equal(path[1], 3);
    assert_int_equal(path[2], 4);
    assert_int_equal(schedule_shortest_path(5, distances, 3.9, path, &cost, NULL), -ENOENT);
}

/* Levels that do nothing lie on one another, and hops among them are free. */
static void of_equal_paths_the_shorter_is_taken(void **state)
{
    static const double at[] = {0, 0, 0, 0, 1, 2};
    double distances[36], cost;
    int path[6];

    line(at, 6, distances);
    assert_int_equal(schedule_shortest_path(6, distances, 1, path, &cost, NULL), 3);
    assert_int_equal(path[0], 0);
    assert_int_equal(path[1], 4);
    assert_int_equal(path[2], 5);
}

static void a_path_has_the_length_asked_for(void **state)
{
    enum { N = 33 };
    double at[N], distances[N * N], eps, cost;
    int nodes[N], path[N];
    struct error err = {""};

    /* Chords of an arc: like the laws of blurred images, no three of them on a line. */
    for (int i = 0; i < N; i++)
        at[i] = pow(1.15, i - N);
    line(at, N, distances);
    for (int i = 0; i < N * N; i++)
        distances[i] = sin(distances[i]);
    for (int n = 2; n <= 11; n++) {
        assert_int_equal(schedule_path_of_length(N, distances, n, NULL, nodes, &eps, NULL), 0);
        assert_int_equal(nodes[0], 0);
        assert_int_equal(nodes[n - 1], N - 1);
        assert_int_equal(schedule_shortest_path(N, distances, eps, path, &cost, NULL), n);
        assert_memory_equal(nodes, path, (size_t)n * sizeof(*nodes));
        for (int i = 0; i < N * N; i++) /* no larger one does */
            assert_true(distances[i] <= eps ||
                        n != schedule_shortest_path(N, distances, distances[i], path, &cost, NULL));
    }
    /* The last hop alone is as long as many of the first. */
    assert_int_equal(schedule_path_of_length(N, distances, N, NULL, nodes, &eps, &err), -ENOENT);
    assert_non_null(strstr(err.text, "33 nodes"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_hop_no_further_than_allowed),
        cmocka_unit_test(of_equal_paths_the_shorter_is_taken),
        cmocka_unit_test(a_path_has_the_length_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
