/* Accept headers as browsers, curl and libraries send them, and some that nobody should. */
#include "api/accept.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_weights(void **state)
{
    static const struct {
        const char *accept;
        int json, png;
    } rows[] = {
        {NULL, 1000, 1000},
        {"*/*", 1000, 1000},
        {"application/json", 1000, 0},
        {"image/png", 0, 1000},
        {"IMAGE/PNG", 0, 1000},
        {"image/*", 0, 1000},
        {"image/avif,image/webp,image/apng,image/*,*/*;q=0.8", 800, 1000},
        {"image/png;q=0.5, application/json;q=0.25", 250, 500},
        {"image/png; q=0.123, application/json ; q=1.000", 1000, 123},
        {"*/*;q=0.1, image/png;q=0", 100, 0},        /* the more specific one counts */
        {"image/png;level=1;q=0.3, */*", 1000, 300}, /* other parameters are passed over */
        {"text/html, text/*", 0, 0},
        {"", 0, 0},
        {",,,", 0, 0},
        {"image/pngx, image/pn, imag/png", 0, 0},
        {"image/png;q=abc", 0, 0},
        {"image/png;q=", 0, 0},
        {"image/png;", 0, 1000},
        {"*", 0, 0},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].accept)
            print_message("# accept \"%s\"\n", rows[i].accept);
        assert_int_equal(accept_weight(rows[i].accept, "application/json"), rows[i].json);
        assert_int_equal(accept_weight(rows[i].accept, "image/png"), rows[i].png);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_weights)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
