/* The order of training examples: every image once per epoch, times and draws from counters. */
#include "tools/train/examples.h"
#include "engine/base/error.h"
#include "tools/pictures/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { IMAGES = 10, BATCH = 4, STEPS = 50 };

static struct examples *open_examples(bool flip, bool stratified)
{
    struct examples_options o = {.seed = 3,
                                 .n_images = IMAGES,
                                 .batch = BATCH,
                                 .flip = flip,
                                 .stratified = stratified};
    struct examples *e;
    struct error err;

    assert_int_equal(examples_create(&o, &e, &err), 0);
    return e;
}

static void test_epochs(void **state)
{
    struct examples *e = open_examples(false, false);
    struct example batch[BATCH];
    int seen[IMAGES] = {0}, number = 0;

    for (uint64_t step = 0; step < STEPS; step++) {
        examples_of_step(e, step, batch);
        for (int i = 0; i < BATCH; i++) {
            seen[batch[i].image]++;
            number++;
            assert_false(batch[i].mirrored);
            for (int j = 0; number % IMAGES == 0 && j < IMAGES; j++)
                assert_int_equal(seen[j], number / IMAGES);
        }
    }
    examples_destroy(e);
}

static void test_orders_differ(void **state)
{
    int first[IMAGES], second[IMAGES], other[IMAGES];

    order_shuffled(3, 0, IMAGES, first);
    order_shuffled(3, 1, IMAGES, second);
    order_shuffled(4, 0, IMAGES, other);
    assert_memory_not_equal(first, second, sizeof(first));
    assert_memory_not_equal(first, other, sizeof(first));
}

/* Any step can be asked for alone: that is what a resume does. */
static void test_steps_stand_alone(void **state)
{
    struct examples *through = open_examples(true, true), *fresh;
    struct example batch[BATCH], again[BATCH];

    for (uint64_t step = 0; step < STEPS; step++) {
        examples_of_step(through, step, batch);
        fresh = open_examples(true, true);
        examples_of_step(fresh, step, again);
        examples_destroy(fresh);
        for (int i = 0; i < BATCH; i++) {
            assert_int_equal(batch[i].image, again[i].image);
            assert_int_equal(batch[i].mirrored, again[i].mirrored);
            assert_true(batch[i].t == again[i].t);
            assert_memory_equal(&batch[i].key, &again[i].key, sizeof(batch[i].key));
        }
    }
    examples_destroy(through);
}

static void test_times(void **state)
{
    struct examples *e = open_examples(true, true);
    struct example batch[BATCH];
    int mirrored = 0;

    for (uint64_t step = 0; step < STEPS; step++) {
        int quarters = 0;

        examples_of_step(e, step, batch);
        for (int i = 0; i < BATCH; i++) {
            assert_true(batch[i].t >= 1e-5 && batch[i].t <= 1);
            quarters |= 1 << (int)(batch[i].t * BATCH * 0.999999);
            mirrored += batch[i].mirrored;
        }
        assert_int_equal(quarters, (1 << BATCH) - 1); /* one time in each quarter */
    }
    /* A fair coin thrown 200 times: 6 sigma around 100. */
    assert_in_range(mirrored, 58, 142);
    examples_destroy(e);
}

/* A part of the labels is withheld, and what else is drawn does not depend on how many. */
static void test_labels(void **state)
{
    static const double parts[] = {0, 0.25, 1};

    for (int k = 0; k < 3; k++) {
        struct examples_options o = {.seed = 3,
                                     .n_images = IMAGES,
                                     .batch = BATCH,
                                     .flip = true,
                                     .label_dropout = parts[k]};
        struct examples *e, *without = open_examples(true, false);
        struct example batch[BATCH], other[BATCH];
        int withheld = 0;

        assert_int_equal(examples_create(&o, &e, NULL), 0);
        for (uint64_t step = 0; step < STEPS; step++) {
            examples_of_step(e, step, batch);
            examples_of_step(without, step, other);
            for (int i = 0; i < BATCH; i++) {
                withheld += batch[i].unlabelled;
                assert_true(batch[i].image == other[i].image && batch[i].t == other[i].t);
                assert_true(batch[i].mirrored == other[i].mirrored && !other[i].unlabelled);
            }
        }
        if (k == 1) /* 200 times, 6 sigma around 50 */
            assert_in_range(withheld, 14, 86);
        else
            assert_int_equal(withheld, k == 0 ? 0 : STEPS * BATCH);
        examples_destroy(e);
        examples_destroy(without);
    }
}

/* Noise keys differ between all examples. */
static void test_keys(void **state)
{
    struct examples *e = open_examples(true, false);
    struct example a[BATCH], b[BATCH];

    examples_of_step(e, 0, a);
    examples_of_step(e, 1, b);
    for (int i = 0; i < BATCH; i++) {
        for (int j = 0; j < BATCH; j++) {
            assert_memory_not_equal(&a[i].key, &b[j].key, sizeof(a[i].key));
            if (i != j)
                assert_memory_not_equal(&a[i].key, &a[j].key, sizeof(a[i].key));
        }
    }
    examples_destroy(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_epochs),
        cmocka_unit_test(test_orders_differ),
        cmocka_unit_test(test_steps_stand_alone),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
