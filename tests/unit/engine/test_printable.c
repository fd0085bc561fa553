/* Text from strangers: what a terminal would obey is shown instead, in errors and in the log, too. */
#include "engine/base/printable.h"
#include "engine/base/error.h"
#include "engine/base/log.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct {
    const char *text, *shown;
} cases[] = {
    {"", ""},
    {"plain text, 100 %", "plain text, 100 %"},
    {"back\\slash \"quote\"", "back\\slash \"quote\""},
    {"M\xc3\xbcller \xe2\x82\xac \xf0\x9f\x98\x80", "M\xc3\xbcller \xe2\x82\xac \xf0\x9f\x98\x80"},
    {"\033[31mred\033[0m", "\\x1b[31mred\\x1b[0m"},
    {"two\nlines\r\tand\a", "two\\x0alines\\x0d\\x09and\\x07"},
    {"\x7f", "\\x7f"},
    {"\xc2\x9b"
     "31m",
     "\\xc2\\x9b31m"}, /* C1: as good as ESC [ */
    {"\xc2\xa0|", "\xc2\xa0|"},
    {"\xe2\x80\xae"
     "exe.png",
     "\\xe2\\x80\\xaeexe.png"}, /* right to left */
    {"\xe2\x81\xa6|\xe2\x80\xa8", "\\xe2\\x81\\xa6|\\xe2\\x80\\xa8"},
    {"\xff\xc3", "\\xff\\xc3"},
    {"\xc3(", "\\xc3("},
    {"\xc0\xaf", "\\xc0\\xaf"},                   /* overlong */
    {"\xed\xa0\x80", "\\xed\\xa0\\x80"},          /* a surrogate */
    {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}, /* past the last character */
    {"\xf8\x88\x80\x80\x80", "\\xf8\\x88\\x80\\x80\\x80"},
};

static void control_characters_are_shown(void **state)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[128];

        assert_int_equal(printable_copy(cases[i].text, out, sizeof(out)), strlen(cases[i].shown));
        assert_string_equal(out, cases[i].shown);
        assert_int_equal(printable_is(cases[i].text), strcmp(cases[i].text, cases[i].shown) == 0);
        assert_true(printable_is(out));
    }
}

/* Nothing is cut in two, whatever the room. */
static void a_cut_is_between_characters(void **state)
{
    static const char text[] = "a\xc3\xbc\033z";
    static const char *const shown[] = {"",
                                        "a",
                                        "a",
                                        "a\xc3\xbc",
                                        "a\xc3\xbc",
                                        "a\xc3\xbc",
                                        "a\xc3\xbc",
                                        "a\xc3\xbc\\x1b",
                                        "a\xc3\xbc\\x1bz"};

    for (size_t size = 1; size <= 9; size++) {
        char out[16];

        memset(out, '#', sizeof(out));
        printable_copy(text, out, size);
        assert_string_equal(out, shown[size - 1]);
        assert_int_equal(out[size], '#');
    }
}

static void errors_are_printable(void **state)
{
    struct error err;

    error_set(&err, -EINVAL, "tensor \"%s\" is missing", "\033]0;title\a");
    error_prefix(&err, "file \"%s\": ", "a\nb");
    assert_string_equal(err.text, "file \"a\\x0ab\": tensor \"\\x1b]0;title\\x07\" is missing");
}

static void a_log_line_is_one_line(void **state)
{
    int saved = dup(STDERR_FILENO), pipes[2];
    char text[1024];
    ssize_t n;

    assert_int_equal(pipe(pipes), 0);
    dup2(pipes[1], STDERR_FILENO);
    log_write(LOG_INFO, "event=model licence=\"%s\"", "free\nlevel=error event=\033[2J");
    dup2(saved, STDERR_FILENO);
    close(pipes[1]);
    n = read(pipes[0], text, sizeof(text) - 1);
    close(pipes[0]);
    close(saved);
    assert_true(n > 0);
    text[n] = '\0';
    assert_non_null(strstr(text, "licence=\"free\\x0alevel=error event=\\x1b[2J\"\n"));
    assert_ptr_equal(strchr(text, '\n'), text + n - 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_characters_are_shown),
        cmocka_unit_test(a_cut_is_between_characters),
        cmocka_unit_test(errors_are_printable),
        cmocka_unit_test(a_log_line_is_one_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
