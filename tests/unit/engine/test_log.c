/* The log: values in quotes, and a writer that never makes anybody wait. Standard error is a pipe
 * during each test.
 */
#include "engine/base/log.h"
#include "engine/base/log_writer.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    int standard_error; /* the real one */
    int reading;        /* end of the pipe */
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    int ends[2];

    *state = f;
    if (!f || pipe(ends) < 0)
        return -1;
    f->standard_error = dup(STDERR_FILENO);
    f->reading = ends[0];
    if (dup2(ends[1], STDERR_FILENO) < 0)
        return -1;
    close(ends[1]);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    dup2(f->standard_error, STDERR_FILENO);
    close(f->standard_error);
    close(f->reading);
    free(f);
    return 0;
}

/* Reads until the pipe is closed: malloc'ed text. A thread's function. */
static void *read_all(void *arg)
{
    const struct fixture *f = arg;
    size_t used = 0, room = 4 << 20;
    char *text = malloc(room);
    ssize_t n;

    while (text && (n = read(f->reading, text + used, room - used - 1)) > 0)
        used += (size_t)n;
    if (text)
        text[used] = '\0';
    return text;
}

static void values_are_quoted(void **state)
{
    static const struct {
        const char *text, *value;
    } rows[] = {
        {"", "\"\""},
        {"two words", "\"two words\""},
        {"model \"a\": no", "\"model \\\"a\\\": no\""},
        {"a\\", "\"a\\\\\""},
    };
    char long_text[2000];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_string_equal(LOG_TEXT(rows[i].text), rows[i].value);
    memset(long_text, '"', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    assert_true(strlen(LOG_TEXT(long_text)) < LOG_TEXT_BYTES);
}

static void lines_come_in_their_order(void **state)
{
    struct fixture *f = *state;
    char *text, *line;

    assert_int_equal(log_writer_start(NULL), 0);
    for (int i = 0; i < 500; i++)
        log_write(LOG_INFO, "event=test number=%d", i);
    log_writer_stop(10000);
    log_write(LOG_INFO, "event=test number=500"); /* without a writer */
    dup2(f->standard_error, STDERR_FILENO);
    text = read_all(f);
    assert_non_null(text);
    line = text;
    for (int i = 0; i <= 500; i++) {
        char want[40];
        char *end = strchr(line, '\n');

        assert_non_null(end);
        *end = '\0';
        snprintf(want, sizeof(want), "event=test number=%d", i);
        assert_non_null(strstr(line, want));
        line = end + 1;
    }
    assert_string_equal(line, "");
    assert_true(log_writer_dropped() == 0);
    free(text);
}

/* Nobody reads: every call returns, what does not fit is counted, and the end is not waited for. Then
 * somebody does: the lines that are left are whole, and the next one tells how many are missing. */
static void an_unread_pipe_stops_nobody(void **state)
{
    enum { LINES = 20000 };
    static const char what[] = "level=warn event=log_dropped lines=";
    struct fixture *f = *state;
    uint64_t dropped, before, n_lines = LINES;
    char *told, *line, *end;
    pthread_t reader;
    void *text;

    assert_int_equal(log_writer_start(NULL), 0);
    for (int i = 0; i < LINES; i++)
        log_write(LOG_INFO, "event=test number=%05d %0100d", i, 0);
    before = log_writer_dropped();
    log_writer_stop(50);

    assert_int_equal(pthread_create(&reader, NULL, read_all, f), 0);
    do {
        dropped = log_writer_dropped();
        log_write(LOG_INFO, "event=again %0900d", 0);
        n_lines++;
    } while (log_writer_dropped() > dropped);
    log_writer_stop(60000);
    dup2(f->standard_error, STDERR_FILENO);
    pthread_join(reader, &text);
    assert_non_null(text);
    assert_true(before > 0 && before < LINES);
    n_lines -= dropped;
    for (told = text; (told = strstr(told, what)); n_lines++) {
        told += strlen(what);
        dropped -= strtoull(told, NULL, 10);
    }
    assert_true(dropped == 0);
    for (line = text; (end = strchr(line, '\n')); line = end + 1)
        n_lines--;
    assert_string_equal(line, "");
    assert_true(n_lines == 0);
    free(text);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_quoted),
        cmocka_unit_test_setup_teardown(lines_come_in_their_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_unread_pipe_stops_nobody, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
