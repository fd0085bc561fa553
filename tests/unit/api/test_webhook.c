/* Webhooks: secrets, signatures, and what is said. */
#include "api/webhook.h"

#include "api/job_status.h"
#include "engine/base/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define OTHER  "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static struct webhook_secrets *parse(const char *text)
{
    struct webhook_secrets *s = NULL;
    struct error err = {""};
    char *copy = strdup(text);

    assert_non_null(copy);
    if (webhook_secrets_parse(copy, strlen(copy), &s, &err) < 0)
        fail_msg("%s", err.text);
    free(copy);
    return s;
}

/* Made with the package standardwebhooks of PyPI, 1.1.0. */
static void test_a_signature(void **state)
{
    struct webhook_secrets *s = parse(SECRET "\n");
    char signature[WEBHOOK_SIGNATURE_BYTES];

    webhook_sign(s, "", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, "{\"test\": 2432232314}",
                 signature);
    assert_string_equal(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    webhook_secrets_destroy(s);
}

static void test_whose_secrets_sign(void **state)
{
    struct webhook_secrets *s =
        parse("# comment\n\n \t" SECRET " # of all\nalice " OTHER "\r\nalice\t" SECRET);
    char of_all[WEBHOOK_SIGNATURE_BYTES], alice[WEBHOOK_SIGNATURE_BYTES],
        bob[WEBHOOK_SIGNATURE_BYTES];

    webhook_sign(s, "", "i", 1, "b", of_all);
    webhook_sign(s, "bob", "i", 1, "b", bob);
    webhook_sign(s, "alice", "i", 1, "b", alice);
    assert_string_equal(of_all, bob);
    assert_int_equal(strlen(of_all), 47);
    assert_int_equal(strlen(alice), 95);
    assert_string_equal(alice + 48, of_all);
    assert_true(strncmp(alice, of_all, 47) != 0);
    webhook_secrets_destroy(s);

    s = parse("alice " SECRET);
    assert_true(webhook_secrets_have(s, "alice"));
    assert_false(webhook_secrets_have(s, "bob"));
    assert_false(webhook_secrets_have(s, ""));
    webhook_sign(s, "bob", "i", 1, "b", bob);
    assert_string_equal(bob, "");
    webhook_secrets_destroy(s);
    webhook_secrets_destroy(NULL);
}

static void test_what_is_no_file_of_secrets(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "no secret"},
        {"# nothing\n", "no secret"},
        {"alice\n", "line 1: a secret begins"},
        {SECRET "\nalice bob " SECRET "\n", "line 2: there are more than two words"},
        {"whsec_\n", "line 1: a secret is"},
        {"whsec_c2hvcnQ=\n", "line 1: a secret is"},
        {"whsec_????????????????????????????????\n", "line 1: a secret is"},
        {SECRET "\n" SECRET "\n" SECRET "\n" SECRET "\n" SECRET "\n",
         "line 5: there are more than 4"},
    };
    char text[512], longer[200];
    struct webhook_secrets *s;
    struct error err;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(text, sizeof(text), "%s", cases[i].text);
        assert_int_equal(webhook_secrets_parse(text, strlen(text), &s, &err), -EINVAL);
        if (!strstr(err.text, cases[i].says) || strstr(err.text, "c2hvcnQ"))
            fail_msg("\"%s\" says %s", cases[i].text, err.text);
    }
    memset(longer, 'a', sizeof(longer)); /* more than 64 bytes, and a name of more than 64 */
    longer[sizeof(longer) - 1] = '\0';
    snprintf(text, sizeof(text), "whsec_%s", longer);
    assert_int_equal(webhook_secrets_parse(text, strlen(text), &s, &err), -EINVAL);
    snprintf(text, sizeof(text), "%s %s", longer, SECRET);
    assert_int_equal(webhook_secrets_parse(text, strlen(text), &s, &err), -EINVAL);
    memcpy(text, SECRET "\0\n", sizeof(SECRET) + 2);
    assert_int_equal(webhook_secrets_parse(text, sizeof(SECRET) + 1, &s, &err), -EINVAL);
}

static void test_a_message(void **state)
{
    struct job_status status = {.id = "0123",
                                .state = JOB_CANCELLED,
                                .created_s = 1700000000,
                                .order = {.model = "m",
                                          .checkpoint = "0123456789abcdef",
                                          .sampler = "s",
                                          .nfe = 2,
                                          .determinism = "d",
                                          .n = 1},
                                .eta_ms = -1};
    char *job = job_status_to_json(&status), *body = webhook_body(&status, 1764330000),
         expected[1024], id[WEBHOOK_ID_BYTES];

    assert_non_null(job);
    assert_non_null(body);
    snprintf(expected, sizeof(expected),
             "{\"type\":\"job.cancelled\",\"timestamp\":\"2025-11-28T11:40:00Z\",\"data\":%s}",
             job);
    assert_string_equal(body, expected);
    webhook_id("0123", id);
    assert_string_equal(id, "msg_0123");
    free(job);
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_signature),
        cmocka_unit_test(test_whose_secrets_sign),
        cmocka_unit_test(test_what_is_no_file_of_secrets),
        cmocka_unit_test(test_a_message),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
