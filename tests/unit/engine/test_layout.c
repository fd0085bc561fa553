#include "engine/layout.h"
#include "engine/base/philox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { BLOCKS_MAX = 200 };

static void place(int n, struct layout_block *blocks, size_t *bytes)
{
    assert_int_equal(layout_place(n, blocks, bytes, NULL), 0);
    for (int i = 0; i < n; i++) {
        assert_int_equal(blocks[i].offset % LAYOUT_ALIGNMENT, 0);
        assert_true(blocks[i].offset + blocks[i].bytes <= *bytes);
        for (int j = 0; j < i; j++) {
            const struct layout_block *a = &blocks[i], *b = &blocks[j];
            int together = a->first <= b->last && b->first <= a->last;
            int overlap = a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;

            assert_false(together && overlap);
        }
    }
}

/* A chain of values, each used by the next operation only, needs room for two. */
static void test_chain(void **state)
{
    struct layout_block blocks[10];
    size_t bytes;

    for (int i = 0; i < 10; i++)
        blocks[i] = (struct layout_block){.bytes = 1000, .first = i, .last = i + 1};
    place(10, blocks, &bytes);
    assert_int_equal(bytes, 2 * 1024);
}

/* What lives all along stays out of everybody's way. */
static void test_one_long_life(void **state)
{
    struct layout_block blocks[] = {
        {.bytes = 64, .first = 0, .last = 9},
        {.bytes = 640, .first = 0, .last = 4},
        {.bytes = 640, .first = 5, .last = 9},
    };
    size_t bytes;

    place(3, blocks, &bytes);
    assert_int_equal(bytes, 704);
    assert_int_equal(blocks[1].offset, blocks[2].offset);
}

static void test_nothing(void **state)
{
    size_t bytes = 1;

    place(0, NULL, &bytes);
    assert_int_equal(bytes, 0);
}

/* Random sizes and lifetimes never overlap, and the arena is no larger than all of them. */
static void test_random(void **state)
{
    for (uint32_t round = 0; round < 50; round++) {
        struct philox_key key = philox_key(7, round, 0);
        struct layout_block blocks[BLOCKS_MAX];
        size_t bytes, sum = 0;

        for (int i = 0; i < BLOCKS_MAX; i++) {
            uint32_t words[4];

            philox_block(&key, 0, (uint32_t)i, words);
            blocks[i].bytes = words[0] % 5000;
            blocks[i].first = (int)(words[1] % 300);
            blocks[i].last = blocks[i].first + (int)(words[2] % 40);
            sum += blocks[i].bytes + LAYOUT_ALIGNMENT;
        }
        place(BLOCKS_MAX, blocks, &bytes);
        assert_true(bytes <= sum);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_one_long_life),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
