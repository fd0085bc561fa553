/* Traces: which spans are kept, and what the file says of them. */
#include "engine/base/trace.h"
#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/base/whole_file.h"
#include "tests/unit/model/files.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const keys[TRACE_NUMBERS] = {"image", "part"};

static struct trace_track *track(struct trace *t, const char *name)
{
    struct trace_track *found;

    assert_int_equal(trace_find_track(t, name, &found, NULL), 0);
    return found;
}

static const struct trace_label *label(struct trace *t, const char *name, const char *text)
{
    const struct trace_label *made;

    assert_int_equal(trace_add_label(t, name, text, keys, &made, NULL), 0);
    return made;
}

/* What is written; to be freed. */
static char *text_of(const struct trace *t)
{
    const char *path = files_path("trace.json");
    unsigned char *bytes = NULL;
    struct error err;
    size_t size;

    if (trace_write(t, path, &err) < 0 || whole_file_read(path, 1 << 20, &bytes, &size, &err) < 0)
        fail_msg("%s", err.text);
    return (char *)bytes;
}

static int count(const char *text, const char *what)
{
    int n = 0;

    for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

static void test_file(void **state)
{
    struct trace *t;
    double now;
    char *text;

    assert_int_equal(trace_create(8, &t, NULL), 0);
    now = clock_seconds();
    assert_ptr_equal(track(t, "a"), track(t, "a"));
    assert_ptr_not_equal(track(t, "a"), track(t, "b"));
    trace_add(track(t, "b"), label(t, "silu", NULL), now + 2, now + 3, (const int[4]){-1, -1});
    trace_add(track(t, "b"), label(t, "add \"1\"\\\n", "2x2"), now + 4, now + 4 + 1.5e-6,
              (const int[4]){7, 0});
    text = text_of(t);
    assert_int_equal(count(text, "\"ph\":\"X\",\"pid\":1,\"tid\":1,"), 2);
    assert_int_equal(count(text, "\"thread_name\",\"args\":{\"name\":\"a\"}"), 1);
    assert_int_equal(count(text, "\"dur\":1000000.000,\"name\":\"silu\",\"args\":{}}"), 1);
    assert_int_equal(count(text, "\"dur\":1.500,\"name\":\"add ?1???\",\"args\":"
                                 "{\"what\":\"2x2\",\"image\":7,\"part\":0}}"),
                     1);
    free(text);
    trace_destroy(t);
}

/* A full track loses its oldest, and then nothing is shown that others have from before that. */
static void test_full_track(void **state)
{
    struct trace *t;
    double now;
    char *text;

    assert_int_equal(trace_create(4, &t, NULL), 0);
    now = clock_seconds();
    for (int i = 0; i < 10; i++) { /* of which 6 .. 9 are left; the first of them ends at 13 */
        trace_add(track(t, "full"), label(t, "often", NULL), now + 2 * i, now + 2 * i + 1,
                  (const int[4]){i, -1});
    }
    trace_add(track(t, "other"), label(t, "early", NULL), now + 11, now + 11.5,
              (const int[4]){-1, -1});
    trace_add(track(t, "other"), label(t, "late", NULL), now + 13.5, now + 14,
              (const int[4]){-1, -1});
    text = text_of(t);
    assert_int_equal(count(text, "often"), 3);
    for (int i = 7; i < 10; i++) {
        char number[32];

        snprintf(number, sizeof(number), "{\"image\":%d}", i);
        assert_int_equal(count(text, number), 1);
    }
    assert_int_equal(count(text, "early"), 0);
    assert_int_equal(count(text, "late"), 1);
    free(text);
    trace_destroy(t);
}

/* More text than is gathered before it is written. */
static void test_many(void **state)
{
    enum { N = 5000 };
    struct trace *t;
    char *text;

    assert_int_equal(trace_create(N, &t, NULL), 0);
    for (int i = 0; i < N; i++)
        trace_add(track(t, "a"), label(t, "span", "of some length"), clock_seconds(),
                  clock_seconds(), (const int[4]){i, -1});
    text = text_of(t);
    assert_int_equal(count(text, "\"name\":\"span\",\"args\":{\"what\":\"of some length\","), N);
    assert_int_equal(count(text, ",\n"), N + 2); /* between events */
    assert_string_equal(text + strlen(text) - 4, "}}]\n");
    free(text);
    trace_destroy(t);
}

static void test_mistakes(void **state)
{
    struct trace *t;
    struct error err;

    assert_int_equal(trace_create(0, &t, &err), -EINVAL);
    assert_int_equal(trace_create(TRACE_SPANS_MAX + 1, &t, &err), -EINVAL);
    assert_int_equal(trace_create(1, &t, &err), 0);
    assert_int_equal(trace_write(t, files_path("none/trace.json"), &err), -ENOENT);
    assert_non_null(strstr(err.text, "none/trace.json"));
    files_limit(10);
    assert_int_equal(trace_write(t, files_path("trace.json"), &err), -EFBIG);
    files_limit(0);
    trace_destroy(t);
    trace_destroy(NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_full_track),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_mistakes),
    };

    return cmocka_run_group_tests_name("trace", tests, files_set_up, files_tear_down);
}
