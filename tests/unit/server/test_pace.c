/* What is known of the time of ticks, from those that were measured. */
#include "server/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static void test_nothing_is_known(void **state)
{
    struct pace p = {.tick_s = {0}};

    for (int lanes = 1; lanes <= 4096; lanes *= 3)
        assert_true(pace_tick_s(&p, lanes) == 0);
}

/* More lanes take no less, and no more of each than fewer. */
static void test_bounds(void **state)
{
    struct pace p = {.tick_s = {0}};

    pace_add(&p, 7, 0.5); /* 5 to 8 lanes */
    for (int lanes = 5; lanes <= 8; lanes++)
        assert_true(pace_tick_s(&p, lanes) == 0.5);
    assert_true(pace_tick_s(&p, 9) == 0.5);
    assert_true(pace_tick_s(&p, 4096) == 0.5);
    assert_true(pace_tick_s(&p, 4) == 0.25);
    assert_true(pace_tick_s(&p, 1) == 0.0625);
    /* Of two bounds the higher one. */
    pace_add(&p, 1, 0.25);
    assert_true(pace_tick_s(&p, 1) == 0.25);
    assert_true(pace_tick_s(&p, 2) == 0.25);
    assert_true(pace_tick_s(&p, 3) == 0.25);
    pace_add(&p, 64, 8);
    assert_true(pace_tick_s(&p, 32) == 4);
    assert_true(pace_tick_s(&p, 8) == 0.5);
}

/* It follows a machine that gets slower, and one tick that took long says little. */
static void test_smoothing(void **state)
{
    struct pace p = {.tick_s = {0}};

    pace_add(&p, 4096, 1);
    pace_add(&p, 4096, 11);
    assert_float_equal(pace_tick_s(&p, 4096), 2, 1e-6);
    for (int i = 0; i < 100; i++)
        pace_add(&p, 4096, 4);
    assert_float_equal(pace_tick_s(&p, 4096), 4, 1e-3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_known),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_smoothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
