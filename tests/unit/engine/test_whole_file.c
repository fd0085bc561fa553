/* Files read whole, and replaced in one step whatever happens to the writer. */
#include "engine/base/whole_file.h"
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { MANY = 300000 };

static void expect(const char *name, const char *text)
{
    unsigned char *bytes = NULL;
    size_t size = 0;

    assert_int_equal(whole_file_read(files_path(name), 1000, &bytes, &size, NULL), 0);
    assert_int_equal(size, strlen(text));
    assert_memory_equal(bytes, text, size + 1); /* with a NUL */
    free(bytes);
}

static void put(const char *name, const char *text)
{
    struct error err;

    if (whole_file_put(files_path(name), text, strlen(text), true, &err) < 0)
        fail_msg("%s", err.text);
}

static void what_is_put_is_read(void **state)
{
    int n = files_count();

    put("a", "one");
    expect("a", "one");
    put("a", "and two");
    expect("a", "and two");
    put("a", "");
    expect("a", "");
    assert_int_equal(files_count(), n + 1);
}

static void other_kinds_are_not_read(void **state)
{
    unsigned char *bytes = NULL;
    struct error err;
    size_t size;

    put("a", "four");
    assert_int_equal(whole_file_read(files_path("none"), 9, &bytes, &size, &err), -ENOENT);
    assert_int_equal(whole_file_read(files_path("."), 9, &bytes, &size, &err), -EINVAL);
    assert_int_equal(whole_file_read("/dev/zero", 9, &bytes, &size, &err), -EINVAL);
    assert_int_equal(whole_file_read(files_path("a"), 3, &bytes, &size, &err), -EFBIG);
    assert_null(bytes);
    assert_int_equal(whole_file_read(files_path("a"), 4, &bytes, &size, &err), 0);
    free(bytes);
}

/* More than there is memory, without a byte on the disk. */
static void a_sparse_giant_is_refused(void **state)
{
    unsigned char *bytes = NULL;
    struct error err;
    size_t size;

    put("giant", "x");
    if (truncate(files_path("giant"), (off_t)1 << 43) < 0)
        skip(); /* this filesystem has no such files */
    assert_int_equal(whole_file_read(files_path("giant"), SIZE_MAX / 2, &bytes, &size, &err),
                     -EFBIG);
    assert_non_null(strstr(err.text, "memory"));
    assert_null(bytes);
    unlink(files_path("giant"));
}

/* Files whose length is not what they say, as if somebody cut or wrote them meanwhile. */
static void a_length_that_is_not_true_is_an_error(void **state)
{
    static const char *const paths[] = {"/sys/devices/system/cpu/online", "/proc/self/status"};
    static const char *const texts[] = {"cut while it was read", "written to while it was read"};

    for (int i = 0; i < 2; i++) {
        unsigned char *bytes = NULL;
        struct error err = {""};
        size_t size;
        int rc;

        if (access(paths[i], R_OK) < 0)
            continue;
        rc = whole_file_read(paths[i], MANY, &bytes, &size, &err);
        if (rc != -EINVAL || !strstr(err.text, texts[i]) || bytes)
            fail_msg("%s: %d \"%s\"", paths[i], rc, err.text);
    }
}

static void an_unfinished_file_changes_nothing(void **state)
{
    struct whole_file *f;
    int n;

    put("kept", "old");
    n = files_count();
    assert_int_equal(whole_file_create(files_path("kept"), &f, NULL), 0);
    assert_int_equal(whole_file_write(f, "new", 3), 0);
    expect("kept", "old");
    whole_file_abandon(f);
    expect("kept", "old");
    assert_int_equal(files_count(), n);
    whole_file_abandon(NULL);
}

static void a_full_disk_leaves_the_old_file(void **state)
{
    struct error err = {""};
    int n, rc;

    put("full", "old");
    n = files_count();
    files_limit(10);
    rc = whole_file_put(files_path("full"), "0123456789a", 11, true, &err);
    files_limit(0);
    assert_int_equal(rc, -EFBIG);
    assert_non_null(strstr(err.text, "full"));
    expect("full", "old");
    assert_int_equal(files_count(), n);
}

/* What a killed writer left is taken by the next one of that file; nothing piles up. */
static void a_killed_writer_leaves_nothing_for_good(void **state)
{
    int n, status;

    put("killed", "old");
    n = files_count();
    for (int i = 0; i < 3; i++) {
        pid_t child = fork();

        if (child == 0) {
            struct whole_file *f;

            if (whole_file_create(files_path("killed"), &f, NULL) == 0)
                whole_file_write(f, "half of something longer", 24);
            raise(SIGKILL);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        expect("killed", "old");
        assert_int_equal(files_count(), n + 1);
    }
    put("killed", "new");
    expect("killed", "new");
    assert_int_equal(files_count(), n);
}

/* Two at a time: every one ends well, and one of them is what is there. */
static void writers_of_one_file_wait_for_each_other(void **state)
{
    enum { WRITERS = 6, ROUNDS = 20 };
    unsigned char *bytes;
    size_t size;
    int n, status;

    put("shared", "");
    n = files_count();
    for (int i = 0; i < WRITERS; i++) {
        if (fork() == 0) {
            char *mine = malloc(MANY);
            int rc = 0;

            memset(mine, 'a' + i, MANY);
            for (int round = 0; round < ROUNDS && rc == 0; round++)
                rc = whole_file_put(files_path("shared"), mine, (size_t)MANY - (size_t)i, false,
                                    NULL);
            _exit(rc == 0 ? 0 : 1);
        }
    }
    for (int i = 0; i < WRITERS; i++) {
        assert_true(wait(&status) > 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    assert_int_equal(whole_file_read(files_path("shared"), MANY, &bytes, &size, NULL), 0);
    assert_int_equal(size, MANY - (bytes[0] - 'a'));
    for (size_t i = 0; i < size; i++)
        assert_int_equal(bytes[i], bytes[0]);
    free(bytes);
    assert_int_equal(files_count(), n);
}

/* A name may be as long as the filesystem allows. */
static void names_may_be_long(void **state)
{
    char name[300];

    memset(name, 'n', sizeof(name));
    name[255] = '\0';
    put(name, "long");
    expect(name, "long");
    name[255] = 'n';
    name[256] = '\0';
    assert_int_equal(whole_file_put(files_path(name), "x", 1, false, NULL), -ENAMETOOLONG);
}

static void links_are_followed(void **state)
{
    struct stat status;

    put("target", "old");
    assert_int_equal(symlink("target", files_path("link")), 0);
    put("link", "new");
    expect("target", "new");
    assert_int_equal(lstat(files_path("link"), &status), 0);
    assert_true(S_ISLNK(status.st_mode));
    assert_int_equal(symlink("nowhere/at/all", files_path("dangling")), 0);
    assert_int_equal(whole_file_put(files_path("dangling"), "x", 1, false, NULL), -ENOENT);
}

/* Replaced, /dev/null would be gone for everybody. */
static void pipes_and_devices_are_written_to(void **state)
{
    char got[8] = "", path[64];
    struct stat status;
    struct error err;
    int ends[2];

    assert_int_equal(whole_file_put("/dev/null", "x", 1, true, &err), 0);
    assert_int_equal(stat("/dev/null", &status), 0);
    assert_true(S_ISCHR(status.st_mode));
    assert_int_equal(whole_file_put("/dev/full", "x", 1, true, &err), -ENOSPC);
    assert_non_null(strstr(err.text, "/dev/full"));
    assert_int_equal(pipe(ends), 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[1]);
    if (access(path, W_OK) == 0) { /* as /dev/stdout into a pipe */
        assert_int_equal(whole_file_put(path, "piped", 5, true, &err), 0);
        assert_int_equal(read(ends[0], got, sizeof(got)), 5);
        assert_string_equal(got, "piped");
    }
    close(ends[0]);
    close(ends[1]);
}

static void folders_are_not_written(void **state)
{
    struct error err;

    assert_int_equal(whole_file_put(files_path("."), "x", 1, false, &err), -EISDIR);
    assert_int_equal(whole_file_put(files_path(""), "x", 1, false, &err), -EISDIR);
    assert_int_equal(whole_file_put(files_path("no/such"), "x", 1, false, &err), -ENOENT);
    assert_non_null(strstr(err.text, "no/such"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_is_read),
        cmocka_unit_test(other_kinds_are_not_read),
        cmocka_unit_test(a_sparse_giant_is_refused),
        cmocka_unit_test(a_length_that_is_not_true_is_an_error),
        cmocka_unit_test(an_unfinished_file_changes_nothing),
        cmocka_unit_test(a_full_disk_leaves_the_old_file),
        cmocka_unit_test(a_killed_writer_leaves_nothing_for_good),
        cmocka_unit_test(writers_of_one_file_wait_for_each_other),
        cmocka_unit_test(names_may_be_long),
        cmocka_unit_test(links_are_followed),
        cmocka_unit_test(pipes_and_devices_are_written_to),
        cmocka_unit_test(folders_are_not_written),
    };

    return cmocka_run_group_tests(tests, files_set_up, files_tear_down);
}
