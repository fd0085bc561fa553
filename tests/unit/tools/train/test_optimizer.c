/* What changes from step to step against closed forms. */
#include "tools/train/optimizer.h"
#include "model/update.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct optimizer_options plain =
    {.lr = 0.1, .steps = 100, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .clip = 0, .ema = 0.999};

static void test_rate(void **state)
{
    struct optimizer_options o = plain;

    o.warmup = 5;
    assert_float_equal(optimizer_lr(&o, 0), 0, 0); /* the reference's first step moves nothing */
    assert_float_equal(optimizer_lr(&o, 2), 0.04, 1e-15);
    assert_float_equal(optimizer_lr(&o, 5), 0.1, 0);
    assert_float_equal(optimizer_lr(&o, 99), 0.1, 0);

    o.decay_from = 0.5;
    o.decay = DECAY_LINEAR;
    assert_float_equal(optimizer_lr(&o, 50), 0.1, 1e-15);
    assert_float_equal(optimizer_lr(&o, 75), 0.05, 1e-15);
    assert_float_equal(optimizer_lr(&o, 100), 0, 1e-15);
    assert_float_equal(optimizer_lr(&o, 1000), 0, 1e-15); /* resumed with fewer steps */

    o.decay = DECAY_COSINE;
    assert_float_equal(optimizer_lr(&o, 75), 0.05, 1e-12);
    assert_float_equal(optimizer_lr(&o, 60), 0.05 * (1 + cos(M_PI / 5)), 1e-12);
}

static void test_ema_ramp(void **state)
{
    assert_float_equal(optimizer_ema_decay(&plain, 1), 2.0 / 11, 1e-15);
    assert_float_equal(optimizer_ema_decay(&plain, 3), 4.0 / 13, 1e-15);
    assert_float_equal(optimizer_ema_decay(&plain, 1000000), 0.999, 0);
}

/* What a step hands to the update: counted from 1 there, 1 - beta in double. */
static void test_numbers(void **state)
{
    struct optimizer_options o = plain;
    struct update_numbers numbers;

    o.warmup = 4;
    o.clip = 2;
    numbers = optimizer_numbers(&o, 2);
    assert_float_equal(numbers.lr, 0.05, 1e-15);
    assert_float_equal(numbers.t, 3, 0);
    assert_float_equal(numbers.ema_decay, optimizer_ema_decay(&o, 3), 0);
    assert_float_equal(numbers.clip, 2, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_ema_ramp),
        cmocka_unit_test(test_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
