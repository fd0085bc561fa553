#include "engine/base/whole_file.h"
#include "engine/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PART_NAME_SIZE = 32, PART_TRIES = 1000 };

struct whole_file {
    char *path;                /* owned */
    const char *name;          /* in it, without the folder */
    char part[PART_NAME_SIZE]; /* in the same folder; empty: a pipe or a device, written directly */
    int folder, fd;            /* -1: none */
    int rc;                    /* the first error of a write */
};

/* Up to size bytes; fewer at the end of the file. */
static int read_bytes(int fd, unsigned char *bytes, size_t size, size_t *n)
{
    *n = 0;
    while (*n < size) {
        ssize_t got = read(fd, bytes + *n, size - *n);

        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            break;
        *n += got > 0 ? (size_t)got : 0;
    }
    return 0;
}

static int check_size(const struct stat *status, size_t size_max, struct error *err)
{
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

    if (!S_ISREG(status->st_mode))
        return error_set(err, -EINVAL, "not a regular file");
    if ((uint64_t)status->st_size > size_max)
        return error_set(err, -EFBIG, "%lld bytes are more than %zu", (long long)status->st_size,
                         size_max);
    if ((uint64_t)status->st_size > memory)
        return error_set(err, -EFBIG, "%lld bytes are more than this machine's memory",
                         (long long)status->st_size);
    return 0;
}

/* Reads a byte more than there should be, so that a file that grew is found out. */
static int read_all(int fd, const struct stat *before, unsigned char *bytes, struct error *err)
{
    size_t size = (size_t)before->st_size, n;
    struct stat after;
    int rc = read_bytes(fd, bytes, size + 1, &n);

    if (rc == 0 && fstat(fd, &after) < 0)
        rc = -errno;
    if (rc < 0)
        return error_set(err, rc, "%s", strerror(-rc));
    if (n < size)
        return error_set(err, -EINVAL, "it was cut while it was read: %zu of %zu bytes", n, size);
    if (n > size || after.st_size != before->st_size ||
        after.st_mtim.tv_sec != before->st_mtim.tv_sec ||
        after.st_mtim.tv_nsec != before->st_mtim.tv_nsec)
        return error_set(err, -EINVAL, "it was written to while it was read");
    return 0;
}

int whole_file_read(const char *path, size_t size_max, unsigned char **bytes, size_t *size,
                    struct error *err)
{
    /* Without O_NONBLOCK a pipe would wait here for somebody to write. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc;
    unsigned char *memory = NULL;
    struct stat status;

    if (fd < 0 || fstat(fd, &status) < 0) {
        rc = -errno;
        error_set(err, rc, "%s", strerror(-rc));
        goto done;
    }
    rc = check_size(&status, size_max, err);
    if (rc < 0)
        goto done;
    memory = malloc((size_t)status.st_size + 1);
    if (!memory)
        rc = error_set(err, -ENOMEM, "out of memory for %lld bytes", (long long)status.st_size);
    else
        rc = read_all(fd, &status, memory, err);

done:
    if (fd >= 0)
        close(fd);
    if (rc < 0) {
        free(memory);
        return rc;
    }
    memory[status.st_size] = '\0';
    *bytes = memory;
    *size = (size_t)status.st_size;
    return 0;
}

/* FNV-1a. Two names of a folder with one hash would wait for each other and come out right. */
static void name_part(struct whole_file *f)
{
    uint64_t hash = 0xcbf29ce484222325;

    for (const char *c = f->name; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 0x100000001b3;
    snprintf(f->part, sizeof(f->part), ".%016" PRIx64 ".part", hash);
}

static int open_folder(struct whole_file *f)
{
    char *slash = strrchr(f->path, '/');

    f->name = slash ? slash + 1 : f->path;
    if (!slash) {
        f->folder = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    } else if (slash == f->path) {
        f->folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    } else {
        *slash = '\0';
        f->folder = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        *slash = '/';
    }
    return f->folder < 0 ? -errno : 0;
}

/* Waits for the lock, if the filesystem has locks. */
static int lock(int fd)
{
    while (flock(fd, LOCK_EX) < 0) {
        if (errno == EOPNOTSUPP || errno == ENOLCK)
            return 0;
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

/* Whether the part file is still the one that was opened: while this waited for its lock, the writer
 * before may have put it in place. A second name would be somebody else's file. */
static bool is_ours(const struct whole_file *f, int fd)
{
    struct stat opened, named;

    return fstat(fd, &opened) == 0 && opened.st_nlink == 1 &&
           fstatat(f->folder, f->part, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

static int open_part(struct whole_file *f)
{
    int rc = -EAGAIN;

    for (int i = 0; i < PART_TRIES && rc == -EAGAIN; i++) {
        int fd = openat(f->folder, f->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);

        if (fd < 0)
            return -errno;
        rc = lock(fd);
        if (rc == 0 && !is_ours(f, fd))
            rc = -EAGAIN;
        if (rc == 0 && ftruncate(fd, 0) < 0)
            rc = -errno;
        if (rc < 0)
            close(fd);
        else
            f->fd = fd;
    }
    return rc;
}

/* A link to where it leads; what is no link stays. */
static int follow_links(struct whole_file *f)
{
    struct stat status;
    char *path;

    if (lstat(f->path, &status) < 0 || !S_ISLNK(status.st_mode))
        return 0;
    path = realpath(f->path, NULL);
    if (!path)
        return -errno;
    free(f->path);
    f->path = path;
    return 0;
}

static int open_target(struct whole_file *f)
{
    struct stat status;
    bool there = stat(f->path, &status) == 0;
    int rc;

    if (!there && errno != ENOENT)
        return -errno;
    if (there && S_ISDIR(status.st_mode))
        return -EISDIR;
    if (there && !S_ISREG(status.st_mode)) { /* its name may lead nowhere: /dev/stdout in a pipe */
        f->fd = open(f->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        return f->fd < 0 ? -errno : 0;
    }
    rc = follow_links(f);
    if (rc == 0)
        rc = open_folder(f);
    if (rc == 0 && !*f->name)
        rc = -EISDIR;
    if (rc < 0)
        return rc;
    name_part(f);
    return open_part(f);
}

static int not_written(const struct whole_file *f, int rc, struct error *err)
{
    return error_set(err, rc, "could not write \"%s\": %s", f->path, strerror(-rc));
}

int whole_file_create(const char *path, struct whole_file **out, struct error *err)
{
    struct whole_file *f = calloc(1, sizeof(*f));
    int rc;

    if (f)
        f->path = strdup(path);
    if (!f || !f->path) {
        free(f);
        return error_set(err, -ENOMEM, "out of memory writing \"%s\"", path);
    }
    f->folder = f->fd = -1;
    rc = open_target(f);
    if (rc < 0) {
        not_written(f, rc, err);
        whole_file_abandon(f);
        return rc;
    }
    *out = f;
    return 0;
}

int whole_file_write(struct whole_file *f, const void *bytes, size_t size)
{
    const char *p = bytes;

    while (size > 0 && f->rc == 0) {
        ssize_t n = write(f->fd, p, size);

        if (n < 0 && errno != EINTR)
            f->rc = -errno;
        if (n > 0) {
            p += n;
            size -= (size_t)n;
        }
    }
    return f->rc;
}

static void release(struct whole_file *f)
{
    if (f->fd >= 0)
        close(f->fd); /* and with it the lock */
    if (f->folder >= 0)
        close(f->folder);
    free(f->path);
    free(f);
}

/* Removes the part file. It is locked, so it is nobody else's. */
static void remove_part(struct whole_file *f)
{
    if (f->fd >= 0 && *f->part)
        unlinkat(f->folder, f->part, 0);
}

static int put_in_place(struct whole_file *f, bool durable)
{
    if (!*f->part)
        return 0;
    if (durable && fsync(f->fd) < 0)
        return -errno;
    return renameat(f->folder, f->part, f->folder, f->name) < 0 ? -errno : 0;
}

int whole_file_end(struct whole_file *f, bool durable, struct error *err)
{
    int rc = f->rc < 0 ? f->rc : put_in_place(f, durable);

    if (rc < 0)
        remove_part(f);
    else if (durable && *f->part && fsync(f->folder) < 0 && errno != EINVAL) /* not all can */
        rc = -errno;
    if (rc < 0)
        not_written(f, rc, err);
    release(f);
    return rc;
}

void whole_file_abandon(struct whole_file *f)
{
    if (!f)
        return;
    remove_part(f);
    release(f);
}

int whole_file_try(const char *path, struct error *err)
{
    struct whole_file *f = NULL;
    int rc = whole_file_create(path, &f, err);

    if (rc == 0)
        whole_file_abandon(f);
    return rc;
}

int whole_file_put(const char *path, const void *bytes, size_t size, bool durable,
                   struct error *err)
{
    struct whole_file *f;
    int rc = whole_file_create(path, &f, err);

    if (rc < 0)
        return rc;
    whole_file_write(f, bytes, size);
    return whole_file_end(f, durable, err);
}
