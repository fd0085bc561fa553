/* Seeds: both forms, both ways, at every edge. */
#include "api/seed.h"

#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void seeds_are_given_as_clients_can_hold_them(void **state)
{
    static const struct {
        uint64_t seed;
        const char *text;
    } rows[] = {
        {0, "0"},
        {(UINT64_C(1) << 53) - 1, "9007199254740991"},
        {UINT64_C(1) << 53, "\"9007199254740992\""},
        {UINT64_C(1) << 63, "\"9223372036854775808\""},
        {UINT64_MAX, "\"18446744073709551615\""},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *json = seed_to_json(rows[i].seed);
        char *text = json_dumps(json, JSON_ENCODE_ANY);
        uint64_t back;

        assert_string_equal(text, rows[i].text);
        assert_int_equal(seed_from_json(json, &back), 0);
        assert_true(back == rows[i].seed);
        free(text);
        json_decref(json);
    }
}

static void values_are_seeds_or_not(void **state)
{
    static const struct {
        const char *text;
        bool good;
        uint64_t seed;
    } rows[] = {
        {"7", true, 7},
        {"9223372036854775807", true, INT64_MAX},
        {"49.0", true, 49},
        {"0.0", true, 0},
        {"-0.0", true, 0},
        {"1e3", true, 1000},
        {"9007199254740991.0", true, (UINT64_C(1) << 53) - 1},
        {"\"18446744073709551615\"", true, UINT64_MAX},
        {"\"007\"", true, 7},
        {"9007199254740992.0", false, 0}, /* the next number is the same double */
        {"1e19", false, 0},
        {"1.5", false, 0},
        {"-1", false, 0},
        {"-1.0", false, 0},
        {"true", false, 0},
        {"null", false, 0},
        {"[7]", false, 0},
        {"\"\"", false, 0},
        {"\"18446744073709551616\"", false, 0},
        {"\"7.0\"", false, 0},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *json = json_loads(rows[i].text, JSON_DECODE_ANY, NULL);
        uint64_t seed = 0;
        int rc = seed_from_json(json, &seed);

        if (rc != (rows[i].good ? 0 : -EINVAL) || seed != rows[i].seed)
            fail_msg("%s: %d, %llu", rows[i].text, rc, (unsigned long long)seed);
        json_decref(json);
    }
}

static void large_numbers_are_quoted_where_they_are_seeds(void **state)
{
    static const struct {
        const char *text, *quoted; /* NULL: nothing changes */
    } rows[] = {
        {"{\"seed_b\":18446744073709551615}", "{\"seed_b\":\"18446744073709551615\"}"},
        {"{\"seed_c\":18446744073709551615}", NULL},
        {"{\"seed\":18446744073709551615}", "{\"seed\":\"18446744073709551615\"}"},
        {"{ \"n\" : 1 , \"seed\" : 9223372036854775808 , \"x\" : {} }",
         "{ \"n\" : 1 , \"seed\" : \"9223372036854775808\" , \"x\" : {} }"},
        {"{\"x\":\"\\\"seed\\\":\",\"seed\":1000000000000000000}",
         "{\"x\":\"\\\"seed\\\":\",\"seed\":\"1000000000000000000\"}"},
        /* Twice, so that the parser sees it twice. */
        {"{\"seed\":18446744073709551615,\"seed\":18446744073709551614}",
         "{\"seed\":\"18446744073709551615\",\"seed\":\"18446744073709551614\"}"},
        {"", NULL},
        {"{}", NULL},
        {"{\"seed\":7}", NULL},
        {"{\"seed\":\"18446744073709551615\"}", NULL},
        {"{\"seed\":18446744073709551615.0}", NULL},
        {"{\"seed\":18446744073709551615e0}", NULL},
        {"{\"seed\":-18446744073709551615}", NULL},
        {"{\"seed\":0018446744073709551615}", NULL},
        {"{\"n\":18446744073709551615}", NULL},
        {"{\"x\":{\"seed\":18446744073709551615}}", NULL},
        {"[\"seed\",18446744073709551615]", NULL},
        {"[{\"seed\":18446744073709551615}]", NULL},
        {"{\"x\":\"seed\",\"y\":18446744073709551615}", NULL},
        {"{\"seed\" 18446744073709551615}", NULL},
        {"{\"seed\":", NULL},
        {"{\"seed\"", NULL},
        {"{\"seed", NULL},
        {"{\"seed\\", NULL},
        {"\"", NULL},
        {"}}{\"seed\":18446744073709551615", NULL},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t size = strlen(rows[i].text), quoted_size = 0;
        char *exact = malloc(size + 1), *quoted = NULL; /* no NUL behind it: sanitizers see more */

        memcpy(exact, rows[i].text, size);
        assert_int_equal(seed_quote_large(exact, size, false, &quoted, &quoted_size), 0);
        if ((quoted != NULL) != (rows[i].quoted != NULL))
            fail_msg("%s: %.*s", rows[i].text, (int)quoted_size, quoted ? quoted : "");
        if (quoted) {
            assert_int_equal(quoted_size, strlen(rows[i].quoted));
            assert_memory_equal(quoted, rows[i].quoted, quoted_size);
        }
        free(quoted);
        free(exact);
    }
}

/* The room for quotes is that of the worst text. */
static void many_large_numbers_fit(void **state)
{
    enum { TIMES = 1000 };
    static const char one[] = "\"seed\":9223372036854775808,";
    size_t n = strlen(one), size = 1, quoted_size = 0;
    char *text = malloc(TIMES * n + 1), *quoted = NULL;

    text[0] = '{';
    for (int i = 0; i < TIMES; i++, size += n)
        memcpy(text + size, one, n);
    assert_int_equal(seed_quote_large(text, size, false, &quoted, &quoted_size), 0);
    assert_int_equal(quoted_size, size + 2 * TIMES);
    free(quoted);
    free(text);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(seeds_are_given_as_clients_can_hold_them),
        cmocka_unit_test(values_are_seeds_or_not),
        cmocka_unit_test(large_numbers_are_quoted_where_they_are_seeds),
        cmocka_unit_test(many_large_numbers_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
