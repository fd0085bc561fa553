#include "tools/line_file.h"
#include "engine/base/error.h"
#include "engine/base/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct line_file {
    char *path; /* owned */
    int fd;     /* -1: the file is not there yet */
    off_t size; /* of the lines that are whole */
};

/* Keeps in `bytes`, which end with a NUL, what judge wants; *kept: its size. */
static int judge_lines(unsigned char *bytes, size_t size, line_file_judge *judge, void *arg,
                       size_t *kept, struct error *err)
{
    char *text = (char *)bytes, *end = text + size, *next;

    *kept = 0;
    for (int number = 1; text < end; number++, text = next) {
        char *feed = memchr(text, '\n', (size_t)(end - text));
        size_t length = (size_t)((feed ? feed : end) - text);
        bool whole;
        int rc;

        next = feed ? feed + 1 : end;
        text[length] = '\0';
        whole = feed && strlen(text) == length;
        rc = judge(arg, text, number, whole, err);
        if (rc < 0)
            return rc;
        if (rc == 0 || !whole)
            continue;
        memmove(bytes + *kept, text, length);
        *kept += length;
        bytes[(*kept)++] = '\n';
    }
    return 0;
}

/* What is in the file and stays; a file that loses lines is replaced. */
static int repair(const char *path, line_file_judge *judge, void *arg, size_t *kept,
                  struct error *err)
{
    unsigned char *bytes = NULL;
    size_t size = 0;
    int rc = whole_file_read(path, SIZE_MAX / 2, &bytes, &size, err);

    *kept = 0;
    if (rc == -ENOENT)
        return 0;
    if (rc < 0) {
        error_prefix(err, "could not read \"%s\": ", path);
        return rc;
    }
    rc = judge_lines(bytes, size, judge, arg, kept, err);
    if (rc == 0 && *kept < size)
        rc = whole_file_put(path, bytes, *kept, true, err);
    free(bytes);
    return rc;
}

/* A file that is there, *fd -1 if it is not but could be. */
static int open_file(const char *path, int *fd, struct error *err)
{
    *fd = open(path, O_WRONLY | O_CLOEXEC);
    if (*fd >= 0)
        return 0;
    if (errno == ENOENT)
        return whole_file_try(path, err);
    return error_set(err, -errno, "could not open \"%s\": %s", path, strerror(errno));
}

int line_file_open(const char *path, line_file_judge *judge, void *arg, struct line_file **out,
                   struct error *err)
{
    struct line_file *f = calloc(1, sizeof(*f));
    size_t kept;
    int rc;

    if (f)
        f->path = strdup(path);
    if (!f || !f->path) {
        free(f);
        return error_set(err, -ENOMEM, "out of memory opening \"%s\"", path);
    }
    f->fd = -1;
    rc = repair(path, judge, arg, &kept, err);
    if (rc == 0) {
        f->size = (off_t)kept;
        rc = open_file(path, &f->fd, err);
    }
    if (rc < 0) {
        line_file_close(f);
        return rc;
    }
    *out = f;
    return 0;
}

void line_file_close(struct line_file *f)
{
    if (!f)
        return;
    if (f->fd >= 0)
        close(f->fd);
    free(f->path);
    free(f);
}

static int write_at(int fd, const char *bytes, size_t size, off_t offset)
{
    while (size > 0) {
        ssize_t n = pwrite(fd, bytes, size, offset);

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            bytes += n;
            size -= (size_t)n;
            offset += n;
        }
    }
    return 0;
}

/* Makes the file, with its first line in it. */
static int begin(struct line_file *f, const char *text, size_t size, struct error *err)
{
    int rc = whole_file_put(f->path, text, size, false, err);

    return rc < 0 ? rc : open_file(f->path, &f->fd, err);
}

static int append(struct line_file *f, const char *text, size_t size, struct error *err)
{
    int rc = write_at(f->fd, text, size, f->size);

    if (rc == 0)
        return 0;
    /* Should this fail, the next line is written over it, and what is left goes at the next open. */
    if (ftruncate(f->fd, f->size) < 0)
        return error_set(err, rc, "could not write \"%s\" and left half a line: %s", f->path,
                         strerror(-rc));
    return error_set(err, rc, "could not write \"%s\": %s", f->path, strerror(-rc));
}

int line_file_add(struct line_file *f, const char *line, struct error *err)
{
    size_t length = strlen(line);
    char *text = malloc(length + 1);
    int rc;

    if (!text)
        return error_set(err, -ENOMEM, "out of memory for a line of \"%s\"", f->path);
    memcpy(text, line, length);
    text[length] = '\n';
    rc = f->fd < 0 ? begin(f, text, length + 1, err) : append(f, text, length + 1, err);
    free(text);
    if (rc == 0)
        f->size += (off_t)length + 1;
    return rc;
}
