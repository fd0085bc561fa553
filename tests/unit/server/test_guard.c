/* The guard against the requests that HTTP parsers disagree about. */
#include "server/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

enum { FIELDS_MAX = 6 };

struct probe {
    const char *what;
    const char *method, *target, *version;
    const char *fields[2 * FIELDS_MAX]; /* name, value, name, value, ... */
    int status;
};

#define HOST "Host", "a"

static const struct probe probes[] = {
    {"plain", "GET", "/", "HTTP/1.1", {HOST}, 0},
    {"body", "POST", "/", "HTTP/1.1", {HOST, "Content-Length", "5"}, 0},
    {"chunked", "POST", "/", "HTTP/1.1", {HOST, "Transfer-Encoding", "chunked"}, 0},
    {"chunked, other case", "POST", "/", "HTTP/1.1", {HOST, "transfer-encoding", "Chunked"}, 0},
    {"query", "GET", "/x?a=b&c=%20d", "HTTP/1.1", {HOST}, 0},
    {"absolute form", "GET", "http://a/x", "HTTP/1.1", {HOST}, 0},
    {"absolute form, other case", "GET", "HTTPS://a/x", "HTTP/1.1", {HOST}, 0},
    {"old without host", "GET", "/", "HTTP/1.0", {NULL}, 0},
    {"minor version of the future", "GET", "/", "HTTP/1.9", {HOST}, 0},
    {"expectation",
     "POST",
     "/",
     "HTTP/1.1",
     {HOST, "Content-Length", "5", "Expect", "100-Continue"},
     0},
    {"get with an empty body", "GET", "/", "HTTP/1.1", {HOST, "Content-Length", "0"}, 0},
    {"empty value", "GET", "/", "HTTP/1.1", {HOST, "X", ""}, 0},
    {"get with a body", "GET", "/", "HTTP/1.1", {HOST, "Content-Length", "5"}, 0},
    {"head with a chunked body",
     "HEAD",
     "/",
     "HTTP/1.1",
     {HOST, "Transfer-Encoding", "chunked"},
     0},
    {"delete without a length", "DELETE", "/", "HTTP/1.1", {HOST}, 0},
    {"body encoded as it is",
     "POST",
     "/",
     "HTTP/1.1",
     {HOST, "Content-Length", "5", "Content-Encoding", "Identity"},
     0},
    {"encoding of nothing",
     "POST",
     "/",
     "HTTP/1.1",
     {HOST, "Content-Length", "0", "Content-Encoding", "gzip"},
     0},
    {"tab and high bytes in a value", "GET", "/", "HTTP/1.1", {HOST, "X", "a\tb\xe4"}, 0},

    {"length and coding",
     "POST",
     "/",
     "HTTP/1.1",
     {HOST, "Content-Length", "5", "Transfer-Encoding", "chunked"},
     400},
    {"two lengths",
     "POST",
     "/",
     "HTTP/1.1",
     {HOST, "Content-Length", "5", "content-length", "6"},
     400},
    {"two equal lengths",
     "POST",
     "/",
     "HTTP/1.1",
     {HOST, "Content-Length", "5", "Content-Length", "5"},
     400},
    {"length with a sign", "POST", "/", "HTTP/1.1", {HOST, "Content-Length", "+5"}, 400},
    {"negative length", "POST", "/", "HTTP/1.1", {HOST, "Content-Length", "-1"}, 400},
    {"list of lengths", "POST", "/", "HTTP/1.1", {HOST, "Content-Length", "5, 5"}, 400},
    {"empty length", "POST", "/", "HTTP/1.1", {HOST, "Content-Length", ""}, 400},
    {"length of 2^64",
     "POST",
     "/",
     "HTTP/1.1",
     {HOST, "Content-Length", "18446744073709551616"},
     400},
    {"hexadecimal length", "POST", "/", "HTTP/1.1", {HOST, "Content-Length", "0x5"}, 400},
    {"other coding", "POST", "/", "HTTP/1.1", {HOST, "Transfer-Encoding", "xchunked"}, 501},
    {"two codings in one",
     "POST",
     "/",
     "HTTP/1.1",
     {HOST, "Transfer-Encoding", "gzip, chunked"},
     501},
    {"coding twice",
     "POST",
     "/",
     "HTTP/1.1",
     {HOST, "Transfer-Encoding", "chunked", "Transfer-Encoding", "chunked"},
     501},
    {"coding before its time",
     "POST",
     "/",
     "HTTP/1.0",
     {HOST, "Transfer-Encoding", "chunked"},
     400},
    {"space before the colon",
     "POST",
     "/",
     "HTTP/1.1",
     {HOST, "Transfer-Encoding ", "chunked"},
     400},
    {"empty name", "GET", "/", "HTTP/1.1", {HOST, "", "x"}, 400},
    {"name in brackets", "GET", "/", "HTTP/1.1", {HOST, "(X)", "x"}, 400},
    {"two hosts", "GET", "/", "HTTP/1.1", {HOST, "host", "b"}, 400},
    {"two hosts, old", "GET", "/", "HTTP/1.0", {HOST, HOST}, 400},
    {"no host", "GET", "/", "HTTP/1.1", {NULL}, 400},
    {"return in a value", "GET", "/", "HTTP/1.1", {HOST, "X", "a\rb"}, 400},
    {"escape in a value", "GET", "/", "HTTP/1.1", {HOST, "X", "a\033b"}, 400},
    {"lower-case method", "get", "/", "HTTP/1.1", {HOST}, 501},
    {"unknown method", "BREW", "/", "HTTP/1.1", {HOST}, 501},
    {"empty method", "", "/", "HTTP/1.1", {HOST}, 501},
    {"other expectation", "POST", "/", "HTTP/1.1", {HOST, "Expect", "200-ok"}, 417},
    {"post without a length", "POST", "/", "HTTP/1.1", {HOST}, 411},
    {"put without a length", "PUT", "/", "HTTP/1.1", {HOST}, 411},
    {"patch without a length", "PATCH", "/", "HTTP/1.1", {HOST}, 411},
    {"query without a length", "QUERY", "/", "HTTP/1.1", {HOST}, 411},
    {"old post without a length", "POST", "/", "HTTP/1.0", {HOST}, 411},
    {"encoded body",
     "POST",
     "/",
     "HTTP/1.1",
     {HOST, "Content-Length", "5", "Content-Encoding", "gzip"},
     415},
    {"body encoded twice",
     "POST",
     "/",
     "HTTP/1.1",
     {HOST, "Transfer-Encoding", "chunked", "content-encoding", "identity, br"},
     415},
    {"encoding of any name",
     "POST",
     "/",
     "HTTP/1.1",
     {HOST, "Content-Length", "5", "Content-Encoding", "identity", "Content-Encoding", "x"},
     415},
    {"space in the target", "GET", "/a b", "HTTP/1.1", {HOST}, 400},
    {"two spaces before the target", "GET", " /", "HTTP/1.1", {HOST}, 400},
    {"tab in the target", "GET", "/a\tb", "HTTP/1.1", {HOST}, 400},
    {"no path", "GET", "x", "HTTP/1.1", {HOST}, 400},
    {"asterisk", "OPTIONS", "*", "HTTP/1.1", {HOST}, 400},
    {"authority form", "CONNECT", "a:80", "HTTP/1.1", {HOST}, 400},
    {"other scheme", "GET", "ftp://a/", "HTTP/1.1", {HOST}, 400},
    {"next major version", "GET", "/", "HTTP/2.0", {HOST}, 505},
    {"version without a dot", "GET", "/", "HTTP/11", {HOST}, 505},
    {"version with more", "GET", "/", "HTTP/1.10", {HOST}, 505},
    {"no version", "GET", "/", "", {HOST}, 505},
    {"other protocol", "GET", "/", "HTCPCP/1.1", {HOST}, 505},
};

static int check(const struct probe *p, const char **why)
{
    struct guard_field fields[FIELDS_MAX];
    struct guard_request request = {p->method, p->target, p->version, fields, 0};
    size_t i;

    for (i = 0; i < FIELDS_MAX && p->fields[2 * i]; i++) {
        fields[i].name = p->fields[2 * i];
        fields[i].name_size = strlen(fields[i].name);
        fields[i].value = p->fields[2 * i + 1];
        fields[i].value_size = strlen(fields[i].value);
    }
    request.n_fields = i;
    return guard_check(&request, why);
}

static void test_probes(void **state)
{
    const char *why;

    for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++) {
        print_message("# %s\n", probes[i].what);
        why = NULL;
        assert_int_equal(check(&probes[i], &why), probes[i].status);
        assert_int_equal(why != NULL, probes[i].status != 0);
    }
}

/* A value may hold anything, also a NUL, and may be absent. */
static void test_raw_fields(void **state)
{
    struct guard_field fields[2] = {{"Host", 4, "a", 1}, {"X", 1, "a\0b", 3}};
    struct guard_request request = {"GET", "/", "HTTP/1.1", fields, 2};
    const char *why;

    assert_int_equal(guard_check(&request, &why), 400);
    fields[1] = (struct guard_field){"X", 1, NULL, 0};
    assert_int_equal(guard_check(&request, &why), 0);
    fields[1] = (struct guard_field){"Expect", 6, NULL, 0};
    assert_int_equal(guard_check(&request, &why), 417);
}

static void test_framing(void **state)
{
    static const struct {
        const char *name;
        bool framed;
    } rows[] = {{"Content-Length", true},
                {"transfer-encoding", true},
                {"Content-Length2", false},
                {"Content-Lengt", false},
                {"Host", false}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct guard_field field = {rows[i].name, strlen(rows[i].name), "5", 1};
        struct guard_request request = {"POST", "/", "HTTP/1.1", &field, 1};

        assert_int_equal(guard_is_framed(&request), rows[i].framed);
    }
}

static void test_methods(void **state)
{
    assert_true(guard_knows_method("GET"));
    assert_true(guard_knows_method("CONNECT"));
    assert_false(guard_knows_method("get"));
    assert_false(guard_knows_method("GET\033[31m"));
    assert_false(guard_knows_method(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_probes),
        cmocka_unit_test(test_raw_fields),
        cmocka_unit_test(test_framing),
        cmocka_unit_test(test_methods),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
