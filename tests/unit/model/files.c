#include "tests/unit/model/files.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[128];

int files_set_up(void **state)
{
    const char *base = getenv("TMPDIR");

    snprintf(folder, sizeof(folder), "%s/softdiff-test-XXXXXX", base ? base : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

/* Calls unlink() for every file if asked to; returns how many there are. */
static int walk(int remove_them)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    int n = 0;

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        n++;
        if (remove_them)
            unlink(files_path(entry->d_name));
    }
    closedir(dir);
    return n;
}

int files_tear_down(void **state)
{
    walk(1);
    return rmdir(folder);
}

const char *files_path(const char *name)
{
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

int files_count(void)
{
    return walk(0);
}

void files_write(const char *name, const void *data, size_t size)
{
    FILE *file = fopen(files_path(name), "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

unsigned char *files_read(const char *name, size_t *size)
{
    FILE *file = fopen(files_path(name), "rb");
    unsigned char *data;
    long end;

    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    end = ftell(file);
    rewind(file);
    data = malloc((size_t)end + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, (size_t)end, file), end);
    fclose(file);
    *size = (size_t)end;
    return data;
}

void files_limit(size_t bytes)
{
    struct rlimit limit;

    signal(SIGXFSZ, bytes ? SIG_IGN : SIG_DFL); /* so that write() fails with EFBIG instead */
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}
