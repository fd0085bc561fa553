/* Addresses of images and their queries: what is one, and that what is written is read. */
#include "api/permalink.h"

#include "api/query.h"
#include "api/response.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static struct samples_response image(void)
{
    return (struct samples_response){
        .model = "faces",
        .checkpoint = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        .precision = "fp32",
        .corruption = "blur",
        .sampler = "pf-2m",
        .nfe = 20,
        .determinism = "0011223344556677",
        .seed = UINT64_MAX,
        .n = 2,
    };
}

static void test_written_and_read(void **state)
{
    struct samples_response r = image();
    char address[PERMALINK_BYTES];
    struct permalink link;

    permalink_write(&r, 0, address);
    assert_string_equal(address, "/v1/models/faces@0123456789ab/samples/18446744073709551615.png"
                                 "?sampler=pf-2m&nfe=20&determinism=0011223344556677");
    *strchr(address, '?') = '\0';
    assert_int_equal(permalink_parse(address, &link), 0);
    assert_string_equal(link.model, "faces");
    assert_string_equal(link.checkpoint, "0123456789ab");
    assert_true(link.seed == UINT64_MAX);
    permalink_write(&r, 1, address); /* seeds wrap */
    assert_non_null(strstr(address, "/samples/0.png?"));
}

static void test_longest_address(void **state)
{
    struct samples_response r = image();
    char name[LIMITS_NAME_BYTES + 1], address[PERMALINK_BYTES];

    memset(name, 'm', LIMITS_NAME_BYTES);
    name[LIMITS_NAME_BYTES] = '\0';
    r.model = name;
    r.sampler = "probability-flow";
    r.nfe = 10000;
    permalink_write(&r, 0, address);
    assert_non_null(strstr(address, "&determinism=0011223344556677"));
}

static void test_what_is_no_address(void **state)
{
    static const char *const paths[] = {
        "",
        "/",
        "/v1/models/",
        "/v1/models/faces",
        "/v1/models/faces/samples",
        "/v1/models/faces/samples/",
        "/v1/models/faces/samples/.png",
        "/v1/models/faces/samples/png",
        "/v1/models/faces/samples/1",
        "/v1/models/faces/samples/1.pngx",
        "/v1/models/faces/samples/x1.png",
        "/v1/models/faces/samples/1/2.png",
        "/v1/models/faces/samples/00.png",
        "/v1/models/faces/samples/%31.png",
        "/v1/models//samples/1.png",
        "/v1/models/@0123456789ab/samples/1.png",
        "/v1/models/faces@/samples/1.png",
        "/v1/models/faces@0123456789a/samples/1.png",
        "/v1/models/faces@0123456789ag/samples/1.png",
        "/v1/models/fa%2/samples/1.png",
        "/v1/models/fa%00ces/samples/1.png",
    };
    struct permalink link;

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        assert_int_equal(permalink_parse(paths[i], &link), -EINVAL);
    assert_int_equal(permalink_parse("/v1/models/a%40b%40/samples/1.png", &link), -EINVAL);
    assert_int_equal(permalink_parse("/v1/models/a%400123456789ab/samples/0.png", &link), 0);
    assert_string_equal(link.checkpoint, "0123456789ab");
}

static void test_keys(void **state)
{
    struct samples_response r = image(), other = image();
    uint8_t a[PERMALINK_KEY_BYTES], b[PERMALINK_KEY_BYTES];
    char etag[PERMALINK_ETAG_BYTES];

    permalink_key(&r, 1, a);
    other.seed = 0;
    permalink_key(&other, 0, b);
    assert_memory_equal(a, b, sizeof(a)); /* however it is reached */
    other.determinism = "0011223344556678";
    permalink_key(&other, 0, b);
    assert_memory_not_equal(a, b, sizeof(a));
    other = image();
    other.precision = "bf16";
    permalink_key(&other, 1, b);
    assert_memory_not_equal(a, b, sizeof(a));
    permalink_etag(a, etag);
    assert_int_equal(strlen(etag), 34);
    assert_true(permalink_matches(etag, etag));
    assert_false(permalink_matches(NULL, etag));
    assert_false(permalink_matches("", etag));
    assert_false(permalink_matches("\"", etag));
    assert_false(permalink_matches(", ,\"a", etag));
}

static void test_queries(void **state)
{
    static const struct {
        const char *query;
        const char *pairs; /* as name=value; */
        int rc;
    } rows[] = {
        {NULL, "", 0},
        {"", "", 0},
        {"&&", "", 0},
        {"a=1&b=2", "a=1;b=2;", 0},
        {"a&b=&=c", "a=;b=;=c;", 0},
        {"a=b=c", "a=b=c;", 0},
        {"a+b=%2B+%20", "a b=+  ;", 0},
        {"a=%", "", -EINVAL},
        {"a=1&b=%4", "a=1;", -EINVAL},
        {"a=%4g", "", -EINVAL},
        {"a=%00", "", -EINVAL},
        {"%ff=1", "", -EINVAL},
    };
    char seen[QUERY_TEXT_BYTES];
    struct query_pair pair;
    const char *query;
    size_t used;
    int rc;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        query = rows[i].query;
        seen[0] = '\0';
        used = 0;
        while ((rc = query_next(&query, &pair)) > 0)
            used +=
                (size_t)snprintf(seen + used, sizeof(seen) - used, "%s=%s;", pair.name, pair.value);
        assert_int_equal(rc, rows[i].rc);
        assert_string_equal(seen, rows[i].pairs);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_and_read),
        cmocka_unit_test(test_longest_address),
        cmocka_unit_test(test_what_is_no_address),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_queries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
