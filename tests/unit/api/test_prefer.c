/* Prefer headers. */
#include "api/prefer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_names(void **state)
{
    static const struct {
        const char *prefer;
        int has;
    } rows[] = {
        {NULL, 0},
        {"", 0},
        {"respond-async", 1},
        {"Respond-Async", 1},
        {" respond-async ", 1},
        {"respond-async, wait=10", 1},
        {"wait=10,respond-async", 1},
        {",,,respond-async", 1},
        {"respond-async;foo=bar", 1},
        {"respond-async = \"\"", 1},
        {"return=minimal; foo=\"a, respond-async\"", 0}, /* inside of quotes */
        {"foo=\"a\\\", b\", respond-async", 1},          /* a quote inside of them */
        {"foo=\"never closed, respond-async", 0},
        {"foo=\"ends with \\", 0},
        {"respond-asynchronously", 0},
        {"xrespond-async", 0},
        {"respond-async x", 0},
        {"respond-async\"", 0},
        {"foo=respond-async", 0},
        {"foo; respond-async", 0}, /* a parameter of another */
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].prefer)
            print_message("# prefer \"%s\"\n", rows[i].prefer);
        assert_int_equal(prefer_has(rows[i].prefer, "respond-async"), rows[i].has);
    }
}

static void test_numbers(void **state)
{
    static const struct {
        const char *prefer;
        int number;
    } rows[] = {
        {NULL, -1},
        {"wait", -1},
        {"wait=", -1},
        {"wait=0", 0},
        {"wait=10", 10},
        {"Wait = 10", 10},
        {"respond-async, wait=7;foo", 7},
        {"wait=3,wait=4", 3}, /* the first one counts */
        {"wait=\"12\"", 12},
        {"wait=\"12", -1},
        {"wait=-1", -1},
        {"wait=1.5", -1},
        {"wait=1s", -1},
        {"wait=10 20", -1},
        {"wait=1000000", PREFER_NUMBER_MAX},
        {"wait=99999999999999999999", PREFER_NUMBER_MAX},
        {"foo=\"wait=5\"", -1},
        {"foo; wait=5", -1},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].prefer)
            print_message("# prefer \"%s\"\n", rows[i].prefer);
        assert_int_equal(prefer_number(rows[i].prefer, "wait"), rows[i].number);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names),
                                       cmocka_unit_test(test_numbers)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
