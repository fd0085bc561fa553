/* Intervals hold what they say, and neighbours are the nearest. */
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/base/pool.h"
#include "tools/eval/distance.h"
#include "tools/eval/jackknife.h"
#include "tools/eval/neighbours.h"
#include "tools/eval/sliced.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { D = 3, N = 300, M = 400, DRAWS = 40, FIGURES = 5 };

/* Vectors of a Gaussian with this mean and standard deviation in every direction. */
static void draw(uint64_t seed, int n, double mean, double std, double *out)
{
    struct philox_key key = philox_key(seed, 0, 0);
    static float normals[M * D];

    philox_normals(&key, PHILOX_STREAM_ETA, (size_t)n * D, normals);
    for (int i = 0; i < n * D; i++)
        out[i] = mean + std * (double)normals[i];
}

static void measure(struct pool *pool, const double *x, const double *y, double out[FIGURES])
{
    double means[2][D], covariances[2][D * D];

    assert_int_equal(distance_moments(pool, NULL, x, N, D, means[0], covariances[0], NULL), 0);
    assert_int_equal(distance_moments(pool, NULL, y, M, D, means[1], covariances[1], NULL), 0);
    assert_int_equal(distance_frechet(pool, NULL, D, means[0], covariances[0], means[1],
                                      covariances[1], &out[0], NULL),
                     0);
    assert_int_equal(distance_coverage(pool, NULL, x, N, y, N, D, &out[1], NULL), 0);
    assert_int_equal(distance_coverage(pool, NULL, y, N, x, N, D, &out[2], NULL), 0);
    assert_int_equal(sliced_distance(pool, NULL, x, N, y, M, D, &out[3], NULL), 0);
    out[4] = sliced_mind(out[3], D);
}

/* What is said from one draw is what many draws vary by, but for precision and recall, which are said to
 * vary by more. */
static void errors_are_what_draws_vary_by(void **state)
{
    static double x[N * D], y[M * D], figures[DRAWS][FIGURES];
    double told[FIGURES] = {0}, sum[FIGURES] = {0}, square[FIGURES] = {0};
    struct pool *pool;

    assert_int_equal(pool_create(2, &pool, NULL), 0);
    for (int i = 0; i < DRAWS; i++) {
        struct jackknife errors;

        draw((uint64_t)i, N, 0.3, 1.2, x);
        draw((uint64_t)(DRAWS + i), M, 0, 1, y);
        measure(pool, x, y, figures[i]);
        assert_int_equal(jackknife_errors(pool, NULL, x, N, y, M, D, true, &errors, NULL), 0);
        told[0] += errors.frechet * errors.frechet / DRAWS;
        told[1] += errors.precision * errors.precision / DRAWS;
        told[2] += errors.recall * errors.recall / DRAWS;
        told[3] += errors.sliced * errors.sliced / DRAWS;
        told[4] += errors.mind * errors.mind / DRAWS;
        for (int k = 0; k < FIGURES; k++) {
            sum[k] += figures[i][k] / DRAWS;
            square[k] += figures[i][k] * figures[i][k] / DRAWS;
        }
    }
    for (int k = 0; k < FIGURES; k++) {
        double variance = (square[k] - sum[k] * sum[k]) * DRAWS / (DRAWS - 1);
        double ratio = sqrt(told[k] / variance);

        if (!(ratio > 0.75 && ratio < (k == 1 || k == 2 ? 2 : 1.3)))
            fail_msg("figure %d varies by %g, told is %g", k, sqrt(variance), sqrt(told[k]));
    }
    pool_destroy(pool);
}

static void too_few_are_refused(void **state)
{
    static double x[N * D];
    struct jackknife errors;
    struct error err;
    struct pool *pool;

    assert_int_equal(pool_create(1, &pool, NULL), 0);
    draw(1, N, 0, 1, x);
    assert_int_equal(jackknife_errors(pool, NULL, x, 49, x, N, D, true, &errors, &err), -EINVAL);
    assert_string_equal(err.text, "49 and 300 pictures are too few for intervals: 50 are needed");
    assert_int_equal(jackknife_errors(pool, NULL, x, 50, x, 50, D, false, &errors, &err), 0);
    pool_destroy(pool);
}

static double distance_of(const double *x, const double *y)
{
    double square = 0;

    for (int j = 0; j < D; j++)
        square += (x[j] - y[j]) * (x[j] - y[j]);
    return sqrt(square);
}

static void neighbours_are_the_nearest(void **state)
{
    static double x[N * D], y[M * D];
    static struct neighbour found[N * 2];
    struct pool *pool;
    double median;

    assert_int_equal(pool_create(2, &pool, NULL), 0);
    draw(1, N, 0, 1, x);
    draw(2, M, 0, 1, y);
    for (int j = 0; j < D; j++)
        y[7 * D + j] = x[9 * D + j]; /* a copy */
    assert_int_equal(neighbours_find(pool, NULL, x, N, y, M, D, false, 2, found, NULL), 0);
    assert_int_equal(found[18].index, 7);
    assert_true(found[18].distance < 1e-6);
    for (int i = 0; i < N; i++) {
        int nearer = 0;

        for (int k = 0; k < M; k++)
            nearer += distance_of(x + i * D, y + k * D) < found[2 * i + 1].distance - 1e-6;
        assert_true(nearer <= 1 && found[2 * i].distance <= found[2 * i + 1].distance);
    }
    /* None is its own neighbour, so that the copy has one that is no copy. */
    assert_int_equal(neighbours_find(pool, NULL, x, N, x, N, D, true, 1, found, NULL), 0);
    for (int i = 0; i < N; i++)
        assert_true(found[i].index != i && found[i].distance > 0);
    assert_int_equal(neighbours_median(found, N, 1, &median, NULL), 0);
    assert_true(median > 0.1 && median < 1);
    assert_int_equal(neighbours_find(pool, NULL, x, 2, x, 2, D, true, 2, found, NULL), -EINVAL);
    pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_what_draws_vary_by),
        cmocka_unit_test(too_few_are_refused),
        cmocka_unit_test(neighbours_are_the_nearest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
