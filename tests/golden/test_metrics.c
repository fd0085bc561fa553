/* The distances against numbers of an independent implementation. */
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/base/pool.h"
#include "engine/base/watch.h"
#include "model/safetensors.h"
#include "tests/golden/golden.h"
#include "tools/eval/distance.h"
#include "tools/eval/sliced.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct set {
    int n, d;
    double *x, *mean, *covariance;
};

static struct fixture {
    struct safetensors *file;
    struct pool *pool;
    struct set real, fake;
} f;

static void read_set(const char *name, struct set *s)
{
    const struct safetensors_tensor *tensor = safetensors_find(f.file, name);

    assert_non_null(tensor);
    s->n = (int)tensor->dims[0];
    s->d = (int)tensor->dims[1];
    s->x = calloc((size_t)s->n * (size_t)s->d, sizeof(double));
    s->mean = calloc((size_t)s->d, sizeof(double));
    s->covariance = calloc((size_t)s->d * (size_t)s->d, sizeof(double));
    assert_true(s->x && s->mean && s->covariance);
    assert_int_equal(safetensors_read_doubles(tensor, s->x, NULL), 0);
    assert_int_equal(distance_moments(f.pool, NULL, s->x, s->n, s->d, s->mean, s->covariance, NULL),
                     0);
}

static int set_up(void **state)
{
    f.file = golden_open("metrics");
    assert_int_equal(pool_create(2, &f.pool, NULL), 0);
    read_set("real", &f.real);
    read_set("fake", &f.fake);
    return 0;
}

static void free_set(struct set *s)
{
    free(s->x);
    free(s->mean);
    free(s->covariance);
}

static int tear_down(void **state)
{
    free_set(&f.real);
    free_set(&f.fake);
    pool_destroy(f.pool);
    safetensors_close(f.file);
    return 0;
}

static double golden(const char *name)
{
    float *value = golden_read(f.file, name);
    double number = (double)*value;

    free(value);
    return number;
}

static double frechet(const struct set *a, const struct set *b)
{
    double distance;
    struct error err;

    if (distance_frechet(f.pool, NULL, a->d, a->mean, a->covariance, b->mean, b->covariance,
                         &distance, &err) < 0)
        fail_msg("%s", err.text);
    return distance;
}

/* The golden number is a float32. */
static void test_frechet(void **state)
{
    assert_float_equal(frechet(&f.real, &f.fake), golden("fid"), 1e-6 * golden("fid"));
    assert_float_equal(frechet(&f.fake, &f.real), golden("fid"), 1e-6 * golden("fid"));
}

static void test_frechet_to_itself(void **state)
{
    assert_float_equal(frechet(&f.real, &f.real), 0, 1e-10);
}

/* Far fewer vectors than dimensions: the covariances are singular, their roots are not. */
static void test_frechet_singular(void **state)
{
    const double x[] = {1, 0, 0, 3, 0, 0}, y[] = {0, 1, 5, 0, 3, 5};
    double mean_x[3], mean_y[3], covariance_x[9], covariance_y[9], distance;

    distance_moments(f.pool, NULL, x, 2, 3, mean_x, covariance_x, NULL);
    distance_moments(f.pool, NULL, y, 2, 3, mean_y, covariance_y, NULL);
    assert_float_equal(covariance_x[0], 2, 1e-12);
    assert_int_equal(distance_frechet(f.pool, NULL, 3, mean_x, covariance_x, mean_y, covariance_y,
                                      &distance, NULL),
                     0);
    /* Means (2,0,0) and (0,2,5), variances 2 along axes that have nothing in common. */
    assert_float_equal(distance, 4 + 4 + 25 + 2 + 2, 1e-9);
}

static void test_kernel(void **state)
{
    double real, fake, between;

    assert_int_equal(distance_kernel_within(f.pool, NULL, f.real.x, f.real.n, f.real.d, &real,
                                            NULL),
                     0);
    assert_int_equal(distance_kernel_within(f.pool, NULL, f.fake.x, f.fake.n, f.fake.d, &fake,
                                            NULL),
                     0);
    assert_int_equal(distance_kernel_between(f.pool, NULL, f.real.x, f.real.n, f.fake.x, f.fake.n,
                                             f.real.d, &between, NULL),
                     0);
    assert_float_equal(real + fake - 2 * between, golden("kid_unbiased_cubic"), 1e-6);
}

/* n vectors of d numbers of N(shift, 1), from the counter `draw`. */
static void draw_normals(int draw, double shift, int n, int d, double *out)
{
    struct philox_key key = philox_key(7, (uint32_t)draw, 0);

    for (int i = 0; i < n * d; i += 4) {
        float normals[4];
        struct philox_key block;
        uint32_t words[4];

        philox_block(&key, 0, (uint32_t)i, words);
        memcpy(&block, words, sizeof(block));
        philox_normals(&block, 0, 4, normals);
        for (int k = 0; k < 4; k++)
            out[i + k] = shift + (double)normals[k];
    }
}

/* What it says of one pair of sets is what the distance varies by over many. */
static void test_kernel_error(void **state)
{
    enum { DRAWS = 300, N = 80, M = 50, D = 4 };
    double x[N * D], y[M * D], sum = 0, squares = 0, errors = 0, value, error, deviation;

    assert_int_equal(distance_kernel(f.pool, NULL, f.real.x, f.real.n, f.fake.x, f.fake.n, f.real.d,
                                     &value, &error, NULL),
                     0);
    assert_float_equal(value, golden("kid_unbiased_cubic"), 1e-6);
    for (int i = 0; i < DRAWS; i++) {
        draw_normals(2 * i, 0, N, D, x);
        draw_normals(2 * i + 1, 0.8, M, D, y);
        assert_int_equal(distance_kernel(f.pool, NULL, x, N, y, M, D, &value, &error, NULL), 0);
        sum += value / DRAWS;
        squares += value * value / DRAWS;
        errors += error / DRAWS;
    }
    deviation = sqrt(squares - sum * sum);
    assert_true(errors > 0.85 * deviation && errors < 1.2 * deviation);
}

static double sliced(const double *x, int n, const double *y, int m, int d)
{
    double out;

    assert_int_equal(sliced_distance(f.pool, NULL, x, n, y, m, d, &out, NULL), 0);
    return out;
}

/* A set that is moved by v is as far away in every direction as v is long there: |v| / sqrt(d) on the
 * mean. Repeating all vectors changes no law, and twice as wide is as far from it as its centre is. */
static void test_sliced(void **state)
{
    enum { N = 60, D = 8 };
    double x[N * D], moved[N * D], twice[2 * N * D], wide[N * D], origin[D] = {0}, square = 0;

    draw_normals(0, 0, N, D, x);
    for (int i = 0; i < N * D; i++) {
        moved[i] = x[i] + (i % D == 2 ? 3 : i % D == 5 ? -4 : 0);
        wide[i] = 2 * x[i];
        twice[i] = twice[N * D + i] = x[i];
        square += x[i] * x[i] / N;
    }
    assert_float_equal(sliced(x, N, x, N, D), 0, 1e-12);
    assert_float_equal(sliced(x, N, twice, 2 * N, D), 0, 1e-12);
    assert_float_equal(sliced(x, N, moved, N, D), 5 / sqrt(D), 0.1);
    assert_float_equal(sliced(twice, 2 * N, moved, N, D), sliced(x, N, moved, N, D), 1e-12);
    assert_float_equal(sliced(x, N, wide, N, D), sliced(x, N, origin, 1, D), 1e-12);
    assert_float_equal(sliced(x, N, origin, 1, D), sqrt(square / D), 0.05);
}

/* Against the mean over a hundred thousand other directions: as near as that over so many as ours is. On
 * a line there is one direction only, and what is moved by v is exactly 3 v^2 away. */
static void test_mind(void **state)
{
    const struct set *x = &f.real, *y = &f.fake;
    double error = golden("mind_spread") / sqrt(SLICED_DIRECTIONS);
    double moved[64], still[64];

    assert_float_equal(sliced_mind(sliced(x->x, x->n, y->x, y->n, x->d), x->d), golden("mind"),
                       3 * error);
    assert_true(error < 0.03 * golden("mind")); /* so that a wrong factor cannot pass */

    for (int i = 0; i < 64; i++) {
        still[i] = sin(i);
        moved[i] = still[i] - 2;
    }
    assert_float_equal(sliced_mind(sliced(still, 64, moved, 64, 1), 1), 12, 1e-9);
}

static double coverage(const struct set *x, const struct set *y)
{
    double part;

    assert_int_equal(distance_coverage(f.pool, NULL, x->x, x->n, y->x, y->n, x->d, &part, NULL), 0);
    return part;
}

static void test_precision_and_recall(void **state)
{
    assert_float_equal(coverage(&f.fake, &f.real), golden("precision_k3"), 1e-6);
    assert_float_equal(coverage(&f.real, &f.fake), golden("recall_k3"), 1e-6);
    assert_float_equal(coverage(&f.real, &f.real), 1, 0);
}

static void test_refusals(void **state)
{
    double mean[2] = {0}, covariance[4] = {1, 0, 0, NAN}, out;
    struct error err;

    assert_int_equal(distance_frechet(f.pool, NULL, 2, mean, covariance, mean, covariance, &out,
                                      &err),
                     -ERANGE);
    assert_int_equal(distance_coverage(f.pool, NULL, f.real.x, 10, f.real.x, 3, 32, &out, &err),
                     -EINVAL);
}

static void test_stop(void **state)
{
    static volatile sig_atomic_t stop = 1;
    const struct watch watch = {.stop = &stop};
    const struct set *x = &f.real;
    double out, error;

    assert_int_equal(distance_kernel_within(f.pool, &watch, x->x, x->n, x->d, &out, NULL),
                     -ECANCELED);
    assert_int_equal(distance_kernel(f.pool, &watch, x->x, x->n, f.fake.x, f.fake.n, x->d, &out,
                                     &error, NULL),
                     -ECANCELED);
    assert_int_equal(distance_kernel_between(f.pool, &watch, x->x, x->n, f.fake.x, f.fake.n, x->d,
                                             &out, NULL),
                     -ECANCELED);
    assert_int_equal(distance_coverage(f.pool, &watch, x->x, x->n, f.fake.x, f.fake.n, x->d, &out,
                                       NULL),
                     -ECANCELED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frechet),
        cmocka_unit_test(test_frechet_to_itself),
        cmocka_unit_test(test_frechet_singular),
        cmocka_unit_test(test_kernel),
        cmocka_unit_test(test_kernel_error),
        cmocka_unit_test(test_sliced),
        cmocka_unit_test(test_mind),
        cmocka_unit_test(test_precision_and_recall),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_stop),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
