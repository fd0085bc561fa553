/* Lines are there whole or not at all, whatever happened to the process that wrote them. */
#include "tools/line_file.h"
#include "engine/base/error.h"
#include "tests/unit/model/files.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

/* Lines that begin with '-' go, those with '!' are errors. */
static int judge(void *arg, const char *line, int number, bool whole, struct error *err)
{
    int *n = arg;

    assert_int_equal(number, ++*n);
    if (line[0] == '!')
        return error_set(err, -EINVAL, "line %d", number);
    return whole && line[0] != '-';
}

static struct line_file *open_lines(const char *name)
{
    struct line_file *f;
    struct error err;
    int n = 0;

    if (line_file_open(files_path(name), judge, &n, &f, &err) < 0)
        fail_msg("%s", err.text);
    return f;
}

static void expect(const char *name, const char *text)
{
    size_t size;
    unsigned char *bytes = files_read(name, &size);

    assert_int_equal(size, strlen(text));
    assert_memory_equal(bytes, text, size);
    free(bytes);
}

static void what_is_torn_goes_and_what_is_whole_stays(void **state)
{
    static const struct {
        const char *before, *after; /* after, with "new" added */
        size_t size;                /* of before, 0: strlen() */
    } rows[] = {
        {"", "new\n", 0},
        {"\n", "\nnew\n", 0},
        {"one\n", "one\nnew\n", 0},
        {"one", "new\n", 0},
        {"one\ntw", "one\nnew\n", 0},
        {"-one\ntwo\n-three\n", "two\nnew\n", 0},
        {"one\n\0\0\0\0two\nthree\n", "one\nthree\nnew\n", 18},
        {"one\n\0\0\0\0", "one\nnew\n", 8},
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        struct line_file *f;
        int n = files_count();

        files_write("lines", rows[i].before, rows[i].size ? rows[i].size : strlen(rows[i].before));
        f = open_lines("lines");
        assert_int_equal(line_file_add(f, "new", NULL), 0);
        line_file_close(f);
        expect("lines", rows[i].after);
        assert_true(files_count() <= n + 1);
    }
}

static void a_file_that_is_refused_stays(void **state)
{
    static const char text[] = "-one\n!two\nthr";
    struct line_file *f = NULL;
    struct error err;
    int n = 0;

    files_write("mine", text, strlen(text));
    assert_int_equal(line_file_open(files_path("mine"), judge, &n, &f, &err), -EINVAL);
    assert_null(f);
    expect("mine", text);
    n = 0;
    assert_int_equal(line_file_open(files_path("."), judge, &n, &f, &err), -EINVAL);
    assert_int_equal(line_file_open(files_path("no/such"), judge, &n, &f, &err), -ENOENT);
    assert_non_null(strstr(err.text, "no/such"));
    line_file_close(NULL);
}

static void a_file_comes_with_its_first_line(void **state)
{
    struct line_file *f;
    struct error err;
    int n = files_count();

    f = open_lines("late");
    assert_int_equal(files_count(), n);
    files_limit(3);
    assert_int_equal(line_file_add(f, "1234", &err), -EFBIG);
    files_limit(0);
    assert_int_equal(files_count(), n);
    assert_int_equal(line_file_add(f, "one\ntwo", NULL), 0);
    expect("late", "one\ntwo\n");
    assert_int_equal(line_file_add(f, "three", NULL), 0);
    line_file_close(f);
    expect("late", "one\ntwo\nthree\n");
}

/* Whichever byte the disk is full at, the line before is the last, and writing goes on later. */
static void a_full_disk_tears_no_line(void **state)
{
    for (size_t limit = 9; limit < 18; limit++) {
        struct error err = {""};
        struct line_file *f;
        int rc;

        files_write("full", "12345678\n", 9);
        f = open_lines("full");
        files_limit(limit);
        rc = line_file_add(f, "a longer one", &err);
        files_limit(0);
        assert_int_equal(rc, -EFBIG);
        assert_non_null(strstr(err.text, "full"));
        expect("full", "12345678\n");
        assert_int_equal(line_file_add(f, "after", NULL), 0);
        line_file_close(f);
        expect("full", "12345678\nafter\n");
    }
}

static void a_killed_writer_leaves_whole_lines(void **state)
{
    struct line_file *f;
    char *text, *rest;
    size_t size;
    int status, n = 0;
    pid_t child;

    files_write("killed", "", 0);
    child = fork();
    if (child == 0) {
        f = open_lines("killed");
        for (;;)
            line_file_add(f, "0123456789012345678901234567890123456789", NULL);
    }
    while (text = (char *)files_read("killed", &size), size < 4000)
        free(text);
    free(text);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);

    f = open_lines("killed");
    assert_int_equal(line_file_add(f, "the end", NULL), 0);
    line_file_close(f);
    text = (char *)files_read("killed", &size);
    text[size] = '\0';
    rest = text;
    for (char *line; (line = strsep(&rest, "\n")) && rest; n++)
        assert_true(strlen(line) == 40 || strcmp(line, "the end") == 0);
    assert_true(n >= 98);
    free(text);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_torn_goes_and_what_is_whole_stays),
        cmocka_unit_test(a_file_that_is_refused_stays),
        cmocka_unit_test(a_file_comes_with_its_first_line),
        cmocka_unit_test(a_full_disk_tears_no_line),
        cmocka_unit_test(a_killed_writer_leaves_whole_lines),
    };

    return cmocka_run_group_tests(tests, files_set_up, files_tear_down);
}
