/* Where webhooks may go: addresses that have one spelling, below those that the operator has named. */
#include "config/webhook_url.h"

#include "engine/base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static void test_addresses(void **state)
{
    static const char *const good[] = {
        "http://a",
        "https://a.example/",
        "https://A-b_c.example:1/x/y.z?q=/../%2e&r=@",
        "http://127.0.0.1:65535/%41",
        "http://[::1]:8080/a",
        "http://[fe80::1.2.3.4]",
        "http://a/..a/b../...",
    };
    static const char *const bad[] = {
        "",
        "a",
        "//a/",
        "ftp://a/",
        "HTTP://a/",
        "http:/a/",
        "http://",
        "http:///a",
        "http://a b/",
        "http://a/b c",
        "http://a/\n",
        "http://a/\x80",
        "http://a/\\b",
        "http://a#b",
        "http://a/#b",
        "http://a,b/",
        "http://a?b",
        "http://u@a/",
        "http://u:p@a/",
        "http://a:80@b/",
        "http://a:/",
        "http://a:0/",
        "http://a:65536/",
        "http://a:080/",
        "http://a:8o/",
        "http://.a/",
        "http://-a/",
        "http://a%2eb/",
        "http://[::1/",
        "http://[]/",
        "http://[::1]a/",
        "http://[::g]/",
        "http://a/.",
        "http://a/..",
        "http://a/b/../c",
        "http://a/./b?c",
        "http://a/%2e%2e/b",
        "http://a/b%2Fc",
        "http://a/b%5cc",
        "http://a/%00",
    };
    char large[WEBHOOK_URL_BYTES + 1];
    struct error err;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        if (webhook_url_check(good[i], &err) < 0)
            fail_msg("\"%s\" is refused", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (webhook_url_check(bad[i], &err) == 0 || !strstr(err.text, "address"))
            fail_msg("\"%s\" is taken", bad[i]);
    memset(large, 'a', sizeof(large));
    memcpy(large, "http://a/", 9);
    large[WEBHOOK_URL_BYTES] = '\0';
    assert_true(webhook_url_check(large, NULL) < 0);
    large[WEBHOOK_URL_BYTES - 1] = '\0';
    assert_int_equal(webhook_url_check(large, NULL), 0);
    assert_true(webhook_url_is_allowed(large, "http://a"));
}

static void test_rules(void **state)
{
    static const char *const bad[] = {"*",
                                      "https://*.a/",
                                      "https://a/?b",
                                      "a.example",
                                      "https://a/,b",
                                      "https://a/,,http://b",
                                      "https://a/../"};
    char large[WEBHOOK_URL_BYTES + 8];

    assert_int_equal(webhook_rules_check("", NULL), 0);
    assert_int_equal(webhook_rules_check("https://a/,http://b:8/c,http://[::1]", NULL), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (webhook_rules_check(bad[i], NULL) == 0)
            fail_msg("\"%s\" is taken", bad[i]);
    memset(large, 'a', sizeof(large));
    memcpy(large, "http://a/", 9);
    large[sizeof(large) - 1] = '\0';
    assert_true(webhook_rules_check(large, NULL) < 0);
}

static void test_what_is_allowed(void **state)
{
    static const char rules[] = "https://a.example/hook,http://b:8080/in/,http://[::1]:9";
    static const struct {
        const char *url;
        bool allowed;
    } cases[] = {
        {"https://a.example/hook", true},
        {"https://A.EXAMPLE:443/hook", true},
        {"https://a.example/hook/x?y", true},
        {"https://a.example/hook?y", true},
        {"https://a.example/hooks", false},
        {"https://a.example/", false},
        {"https://a.example", false},
        {"http://a.example/hook", false},
        {"http://a.example:443/hook", false},
        {"https://a.example:80/hook", false},
        {"https://b.a.example/hook", false},
        {"https://a.example.b/hook", false},
        {"https://a.example./hook", false},
        {"http://b:8080/in/", true},
        {"http://b:8080/in/x", true},
        {"http://b:8080/in", false},
        {"http://b:8080/In/", false},
        {"http://b:808/in/", false},
        {"http://b/in/", false},
        {"http://[::1]:9", true},
        {"http://[::1]:9/anything", true},
        {"http://[::1]/", false},
        {"http://[0::1]:9/", false},
        {"http://b:8080/in/../x", false},
        {"", false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (webhook_url_is_allowed(cases[i].url, rules) != cases[i].allowed)
            fail_msg("\"%s\"", cases[i].url);
    assert_false(webhook_url_is_allowed("https://a.example/hook", ""));
    assert_true(webhook_url_is_allowed("http://a", "http://a/"));
    assert_true(webhook_url_is_allowed("http://a/b", "http://a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_what_is_allowed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
