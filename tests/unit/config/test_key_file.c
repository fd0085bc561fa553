/* Files of keys. */
#include "config/key_file.h"

#include "engine/base/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define DIGEST "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1f"
#define OTHER  "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

/* Reads a file of these bytes. */
static int read_bytes(const char *bytes, size_t size, struct key_entry **out, int *n,
                      struct error *err)
{
    char path[] = "/tmp/key_file.XXXXXX";
    int fd = mkstemp(path), rc;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), (ssize_t)size);
    close(fd);
    rc = key_file_read(path, out, n, err);
    unlink(path);
    return rc;
}

static void test_good(void **state)
{
    static const char text[] = "# who may\n"
                               "\n"
                               "alice " DIGEST "\r\n"
                               "  b.o-b_2\t" OTHER "   rate=5/s concurrent=4 # and why\n"
                               "c 11" DIGEST "\n";
    struct key_entry *list;
    int n;

    /* The last line has two digits too many. */
    assert_int_equal(read_bytes(text, strlen(text), &list, &n, NULL), -EINVAL);
    assert_int_equal(read_bytes(text, strstr(text, "\nc ") - text, &list, &n, NULL), 0);
    assert_int_equal(n, 2);
    assert_string_equal(list[0].name, "alice");
    for (int i = 0; i < KEY_DIGEST_BYTES; i++)
        assert_int_equal(list[0].digest[i], i);
    assert_int_equal(list[0].rate, 0);
    assert_int_equal(list[0].concurrent, 0);
    assert_string_equal(list[1].name, "b.o-b_2");
    assert_int_equal(list[1].digest[0], 255);
    assert_int_equal(list[1].rate, 5);
    assert_int_equal(list[1].period_s, 1);
    assert_int_equal(list[1].concurrent, 4);
    free(list);
    assert_int_equal(read_bytes("# nobody", 8, &list, &n, NULL), 0);
    assert_int_equal(n, 0);
}

static void test_periods(void **state)
{
    static const struct {
        const char *text;
        int period_s;
    } rows[] = {{"a " DIGEST " rate=1/s", 1},
                {"a " DIGEST " rate=1/m", 60},
                {"a " DIGEST " rate=1/h", 3600}};
    struct key_entry *list;
    int n;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(read_bytes(rows[i].text, strlen(rows[i].text), &list, &n, NULL), 0);
        assert_int_equal(list->period_s, rows[i].period_s);
        free(list);
    }
}

static void test_bad(void **state)
{
    static const char *const rows[] = {
        "alice",
        "alice " DIGEST "0",
        "alice 0001",
        "alice x" OTHER,
        "-alice " DIGEST,
        "al/ice " DIGEST,
        "alice " DIGEST " rate=5",
        "alice " DIGEST " rate=5/s rate=6/s",
        "alice " DIGEST " rate=5/s rate=rrent=4",
        "alice " DIGEST " concurrent=4 rate=5/s concurrent=5",
        "alice " DIGEST " rate=0/s",
        "alice " DIGEST " rate=-1/s",
        "alice " DIGEST " rate=5/d",
        "alice " DIGEST " rate=99999999999999999999/s",
        "alice " DIGEST " concurrent=0",
        "alice " DIGEST " concurrent=4x",
        "alice " DIGEST " burst=4",
        "alice " DIGEST "\nalice " OTHER, /* whose key? */
        "alice " DIGEST "\nbob " DIGEST,  /* who? */
    };
    struct key_entry *list;
    struct error err;
    int n;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(read_bytes(rows[i], strlen(rows[i]), &list, &n, &err), -EINVAL);
        assert_non_null(strstr(err.text, strchr(rows[i], '\n') ? "line 2: " : "line 1: "));
    }
    assert_int_equal(read_bytes("a " DIGEST "\0", sizeof("a " DIGEST "\0") - 1, &list, &n, &err),
                     -EINVAL);
    assert_int_equal(key_file_read("/nowhere/keys", &list, &n, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/nowhere/keys"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_periods),
        cmocka_unit_test(test_bad),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
