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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
