/* Averages made from others against the same taken step by step. */
#include "model/fit/average_fit.h"
#include "engine/base/error.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { STEPS = 2000, EVERY = 100, SNAPSHOTS = STEPS / EVERY, LENGTHS = 2, N = LENGTHS * SNAPSHOTS };

static const double lengths[LENGTHS] = {0.05, 0.1};

/* The relative standard deviation of the steps that an average is of is its length. */
static void a_length_is_what_it_says(void **state)
{
    static const double cases[] = {0.28, 0.2, 0.1, 0.05, 0.01};

    for (int k = 0; k < 5; k++) {
        double mean = 0, square = 0, sum = 0;

        for (int s = 1; s <= STEPS; s++) { /* as moving averages, of s and of s^2 */
            double decay = average_decay(cases[k], (uint64_t)s), x = (double)s / STEPS;

            mean = decay * mean + (1 - decay) * x;
            square = decay * square + (1 - decay) * x * x;
            sum = decay * sum + (1 - decay);
        }
        assert_float_equal(sum, 1, 1e-12);
        assert_float_equal(sqrt(square - mean * mean), cases[k], 1e-3 * cases[k]);
    }
    assert_true(average_decay(0.1, 1) == 0);
}

static struct average stored[N];

static int set_up(void **state)
{
    for (int i = 0; i < N; i++)
        stored[i] = (struct average){lengths[i % LENGTHS], (uint64_t)(EVERY * (i / LENGTHS + 1))};
    return 0;
}

static void fit(int n, double length, uint64_t step, double *factors, double *miss)
{
    const struct average wanted = {length, step};
    struct error err;

    if (average_fit(stored, n, &wanted, factors, miss, &err) < 0)
        fail_msg("%s", err.text);
}

static void what_is_stored_is_met(void **state)
{
    double factors[N], miss;

    fit(N, 0.1, STEPS, factors, &miss);
    for (int i = 0; i < N; i++)
        assert_float_equal(factors[i], i == N - 1, 1e-4);
    assert_true(miss < 1e-4);
    fit(10, 0.05, 500, factors, &miss);
    for (int i = 0; i < 10; i++)
        assert_float_equal(factors[i], i == 8, 1e-4);
}

/* Weights that wander, as those of a network do. */
static void others_are_near_what_is_kept(void **state)
{
    static const double cases[][2] = {{0.03, 0.04},
                                      {0.06, 0.004},
                                      {0.07, 0.004},
                                      {0.08, 0.003},
                                      {0.15, 0.01}};
    static float path[STEPS + 1];

    srand(1);
    for (int s = 1; s <= STEPS; s++)
        path[s] = path[s - 1] + (float)rand() / (float)RAND_MAX - 0.5f;
    for (int k = 0; k < 5; k++) {
        double averages[N] = {0}, factors[N], moving[LENGTHS] = {0}, kept = 0, made = 0, miss,
               moved = 0;

        for (int s = 1; s <= STEPS; s++) {
            double decay = average_decay(cases[k][0], (uint64_t)s);

            kept = decay * kept + (1 - decay) * (double)path[s];
            for (int i = 0; i < LENGTHS; i++) {
                decay = average_decay(lengths[i], (uint64_t)s);
                moving[i] = decay * moving[i] + (1 - decay) * (double)path[s];
                if (s % EVERY == 0)
                    averages[(s / EVERY - 1) * LENGTHS + i] = moving[i];
            }
        }
        fit(N, cases[k][0], STEPS, factors, &miss);
        for (int i = 0; i < N; i++)
            made += factors[i] * averages[i];
        moved = fabs(moving[1] - (double)path[STEPS]);
        assert_true(miss < cases[k][1]);
        assert_true(fabs(made - kept) < cases[k][1] * moved);
    }
}

static void nothing_stored_is_told(void **state)
{
    const struct average wanted = {0.1, 5};
    double factors[1], miss;
    struct error err;

    assert_int_equal(average_fit(stored, 0, &wanted, factors, &miss, &err), -EINVAL);
    assert_string_equal(err.text, "no average is stored");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_length_is_what_it_says),
        cmocka_unit_test(what_is_stored_is_met),
        cmocka_unit_test(others_are_near_what_is_kept),
        cmocka_unit_test(nothing_stored_is_told),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
