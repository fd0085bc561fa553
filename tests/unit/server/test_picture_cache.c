/* The cache of pictures: what it keeps, within which bound, and what goes first. */
#include "server/picture_cache.h"

#include "api/permalink.h"
#include "server/shared_bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void put(struct picture_cache *c, int name, size_t size)
{
    uint8_t key[PERMALINK_KEY_BYTES] = {
        (uint8_t)name}; /* the same bucket for name and name + 256 */
    struct shared_bytes *picture;
    uint8_t *data = malloc(size);

    assert_non_null(data);
    key[2] = (uint8_t)(name >> 8);
    memset(data, name, size);
    picture = shared_bytes_create(data, size);
    assert_non_null(picture);
    picture_cache_put(c, key, picture);
    shared_bytes_release(picture);
}

static struct shared_bytes *find(struct picture_cache *c, int name)
{
    uint8_t key[PERMALINK_KEY_BYTES] = {(uint8_t)name};
    struct shared_bytes *found;

    key[2] = (uint8_t)(name >> 8);
    found = picture_cache_find(c, key);
    if (found)
        assert_int_equal(found->data[0], (uint8_t)name);
    return found;
}

static void test_least_used_goes_first(void **state)
{
    struct picture_cache_stats stats;
    struct picture_cache *c;

    assert_int_equal(picture_cache_create(5000, &c, NULL), 0);
    put(c, 1, 1000);
    put(c, 257, 1000); /* in the bucket of 1 */
    put(c, 3, 1000);
    put(c, 4, 1000);
    assert_non_null(find(c, 1));
    put(c, 5, 1000);
    assert_null(find(c, 257));
    for (int name = 3; name <= 5; name++)
        assert_non_null(find(c, name));
    assert_non_null(find(c, 1));
    put(c, 6, 3500); /* needs the room of three, perhaps four */
    picture_cache_stats(c, &stats);
    assert_true(stats.bytes <= 5000 && stats.bytes > 3500);
    assert_non_null(find(c, 6));
    assert_null(find(c, 3));
    picture_cache_destroy(c);
}

static void test_what_is_not_kept(void **state)
{
    struct picture_cache_stats stats;
    struct picture_cache *c;

    assert_int_equal(picture_cache_create(1000, &c, NULL), 0);
    put(c, 1, 500);
    put(c, 2, 1000); /* with what it costs too large, and nothing goes for it */
    assert_non_null(find(c, 1));
    assert_null(find(c, 2));
    put(c, 1, 500); /* twice is once */
    picture_cache_stats(c, &stats);
    assert_int_equal(stats.n_pictures, 1);
    assert_int_equal(stats.evictions, 0);
    picture_cache_destroy(c);
    assert_int_equal(picture_cache_create(0, &c, NULL), 0);
    put(c, 1, 1);
    assert_null(find(c, 1));
    picture_cache_destroy(c);
    picture_cache_destroy(NULL);
}

/* An answer on its way outlives its place in the cache. */
static void test_held_pictures_stay(void **state)
{
    struct picture_cache *c;
    struct shared_bytes *held;

    assert_int_equal(picture_cache_create(1000, &c, NULL), 0);
    put(c, 1, 600);
    held = shared_bytes_hold(find(c, 1));
    put(c, 2, 600);
    assert_null(find(c, 1));
    assert_int_equal(held->data[599], 1);
    picture_cache_destroy(c);
    assert_int_equal(held->n_holders, 1);
    shared_bytes_release(held);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_least_used_goes_first),
        cmocka_unit_test(test_what_is_not_kept),
        cmocka_unit_test(test_held_pictures_stay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
