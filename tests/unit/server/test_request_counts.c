/* Counts of requests, and what requests are called. */
#include "server/request_counts.h"
#include "server/request_id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void requests_are_counted_apart(void **state)
{
    struct request_counts c = {.n = 0};

    for (int i = 0; i < 5; i++)
        request_counts_add(&c, "/a", "GET", 200, 0.5);
    request_counts_add(&c, "/a", "HEAD", 200, 0.5);
    request_counts_add(&c, "/b", "GET", 200, 0.5);
    request_counts_add(&c, "/a", "GET", 404, 0.5);
    request_counts_add(&c, "/a", "GET", 200, 0.5);
    assert_int_equal(c.n, 4);
    assert_int_equal(c.rows[0].n, 6);
    assert_string_equal(c.rows[0].route, "/a");
    assert_string_equal(c.rows[1].method, "HEAD");
    assert_int_equal(c.rows[3].status, 404);
}

static void a_full_table_goes_on_counting_what_it_has(void **state)
{
    struct request_counts c = {.n = 0};

    for (int i = 0; i < 2 * REQUEST_COUNTS_MAX; i++)
        request_counts_add(&c, "/a", "GET", i, 0.5);
    request_counts_add(&c, "/a", "GET", 7, 0.5);
    assert_int_equal(c.n, REQUEST_COUNTS_MAX);
    assert_int_equal(c.rows[7].n, 2);
}

static void durations_are_by_route(void **state)
{
    struct request_counts c = {.n = 0};
    char names[REQUEST_ROUTES_MAX + 1][16];

    request_counts_add(&c, "/a", "GET", 200, 0.0005);
    request_counts_add(&c, "/a", "HEAD", 404, 0.25);
    request_counts_add(&c, "/a", "GET", 200, 1e9);
    request_counts_add(&c, "/b", "GET", 200, 0.2501);
    assert_int_equal(c.n_routes, 2);
    assert_int_equal(c.routes[0].seconds.counts[0], 1);
    assert_int_equal(c.routes[0].seconds.counts[7], 1); /* bounds belong to their bucket */
    assert_int_equal(c.routes[0].seconds.counts[15], 1);
    assert_int_equal(c.routes[1].seconds.counts[8], 1);
    for (int i = 0; i <= REQUEST_ROUTES_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "/%d", i);
        request_counts_add(&c, names[i], "GET", 200, 1);
    }
    assert_int_equal(c.n_routes, REQUEST_ROUTES_MAX);
}

static void names_are_taken_over_or_made(void **state)
{
    static const char *const bad[] = {NULL, "", " ", "a b", "a\"", "a\n", "a=b", "\xc3\xa4"};
    char id[REQUEST_ID_BYTES], other[REQUEST_ID_BYTES], longest[LIMITS_REQUEST_ID_BYTES + 2];

    memset(longest, 'x', sizeof(longest));
    longest[LIMITS_REQUEST_ID_BYTES + 1] = '\0';
    request_id_take(longest, id);
    assert_int_equal(strlen(id), 16);
    longest[LIMITS_REQUEST_ID_BYTES] = '\0';
    request_id_take(longest, id);
    assert_string_equal(id, longest);
    request_id_take("A.b_c-9", id);
    assert_string_equal(id, "A.b_c-9");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        request_id_take(bad[i], id);
        request_id_take(bad[i], other);
        assert_int_equal(strlen(id), 16);
        assert_int_equal(strspn(id, "0123456789abcdef"), 16);
        assert_string_not_equal(id, other);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_counted_apart),
        cmocka_unit_test(durations_are_by_route),
        cmocka_unit_test(a_full_table_goes_on_counting_what_it_has),
        cmocka_unit_test(names_are_taken_over_or_made),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
