/* Addresses to listen on. */
#include "config/address.h"

#include "engine/base/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

/* 107 bytes. */
#define TEN     "/123456789"
#define LONGEST TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "/123456"

static void test_good(void **state)
{
    static const struct {
        const char *text, *formatted;
    } rows[] = {
        {"127.0.0.1:8080", "127.0.0.1:8080"}, {"0.0.0.0:0", "0.0.0.0:0"},
        {"localhost:1", "127.0.0.1:1"},       {"[::1]:8080", "[::1]:8080"},
        {"[::]:65535", "[::]:65535"},         {"unix:/run/a b", "unix:/run/a b"},
        {"unix:a:80", "unix:a:80"},           {"unix:" LONGEST, "unix:" LONGEST},
    };
    char formatted[ADDRESS_TEXT_BYTES];
    struct address a;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(address_parse(rows[i].text, &a, NULL), 0);
        address_format(&a, formatted);
        assert_string_equal(formatted, rows[i].formatted);
    }
}

static void test_bad(void **state)
{
    static const char *const rows[] = {
        "",
        ":8080",
        "8080",
        "127.0.0.1",
        "127.0.0.1:",
        "1.2.3:80",
        "1.2.3.4:x",
        "1.2.3.4:65536",
        "1.2.3.4:-1",
        "1.2.3.4: 80",
        "::1:8080",
        "[::1]",
        "[::1:8080",
        "[1.2.3.4]:80",
        "example.org:80",
        "1.2.3.4:80x",
        "1.2.3.4:+80",
        "[]:80",
        "300.1.1.1:8080",
        "unix:",
        "unix:" LONGEST "0",
        "00000000000000000000000000000000000000000000000000000000000000000000:80",
    };
    struct address a;
    struct error err;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        print_message("# address \"%s\"\n", rows[i]);
        assert_int_equal(address_parse(rows[i], &a, &err), -EINVAL);
        assert_non_null(strstr(err.text, rows[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
