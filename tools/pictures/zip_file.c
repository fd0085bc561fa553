#include "tools/pictures/zip_file.h"
#include "engine/base/error.h"
#include "tools/pictures/inflate.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Records of an archive: what they begin with, and how long they are without names and the like. */
enum { LOCAL_BYTES = 30, MEMBER_BYTES = 46, END_BYTES = 22, END64_BYTES = 56, LOCATOR_BYTES = 20 };
#define LOCAL_MAGIC   0x04034b50u
#define MEMBER_MAGIC  0x02014b50u
#define END_MAGIC     0x06054b50u
#define END64_MAGIC   0x06064b50u
#define LOCATOR_MAGIC 0x07064b50u

enum { METHOD_STORED = 0, METHOD_DEFLATED = 8, FLAG_ENCRYPTED = 1, EXTRA_64 = 1 };
enum { COMMENT_MAX = 65535 };

static const uint64_t directory_bytes_max = UINT64_C(1) << 30;

struct member {
    char *name; /* in `names` */
    uint64_t packed, size, local;
    uint32_t crc;
    unsigned method, flags;
};

struct zip_file {
    int fd;
    uint64_t size;
    int n;
    struct member *members;
    char *names;
};

/* What is in the end of an archive. */
struct end {
    uint64_t n, size, offset; /* of the directory */
};

static uint64_t take(const uint8_t *p, int n_bytes)
{
    uint64_t value = 0;

    for (int i = 0; i < n_bytes; i++)
        value |= (uint64_t)p[i] << 8 * i;
    return value;
}

/* All of these bytes, or an error: a file that is cut meanwhile is one. */
static int read_at(const struct zip_file *z, uint64_t offset, void *out, size_t size,
                   struct error *err)
{
    size_t done = 0;

    if (offset > z->size || size > z->size - offset)
        return error_set(err, -EINVAL, "it is damaged: it says that there is more than it has");
    while (done < size) {
        ssize_t n = pread(z->fd, (char *)out + done, size - done, (off_t)(offset + done));

        if (n == 0)
            return error_set(err, -EIO, "it has become shorter while it was read");
        if (n < 0 && errno != EINTR)
            return error_set(err, -errno, "could not read it: %s", strerror(errno));
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* The record of archives that are too large for the one at `at`, if there is one. */
static int read_end64(const struct zip_file *z, uint64_t at, struct end *end, struct error *err)
{
    uint8_t locator[LOCATOR_BYTES], record[END64_BYTES];
    int rc;

    if (at < LOCATOR_BYTES || read_at(z, at - LOCATOR_BYTES, locator, sizeof(locator), NULL) < 0 ||
        take(locator, 4) != LOCATOR_MAGIC)
        return 0;
    rc = read_at(z, take(locator + 8, 8), record, sizeof(record), err);
    if (rc < 0)
        return rc;
    if (take(record, 4) != END64_MAGIC)
        return error_set(err, -EINVAL, "it is damaged: its end is not where it says");
    *end = (struct end){take(record + 32, 8), take(record + 40, 8), take(record + 48, 8)};
    return 0;
}

/* The end is the last record, before a comment of unknown length. */
static int find_end(const struct zip_file *z, struct end *end, struct error *err)
{
    size_t most = END_BYTES + COMMENT_MAX, n = z->size < most ? (size_t)z->size : most;
    uint8_t *tail = malloc(n + 1);
    int rc = tail ? read_at(z, z->size - n, tail, n, err)
                  : error_set(err, -ENOMEM, "out of memory for the end of an archive");
    const uint8_t *found = NULL;

    for (size_t i = n; rc == 0 && !found && i >= END_BYTES; i--) {
        const uint8_t *p = tail + i - END_BYTES;

        if (take(p, 4) == END_MAGIC && take(p + 20, 2) == n - i)
            found = p;
    }
    if (rc == 0 && !found)
        rc = error_set(err, -EINVAL, "it is no ZIP archive, or its end is missing");
    if (rc == 0 && (take(found + 4, 2) != take(found + 6, 2) || take(found + 4, 2) == 1))
        rc = error_set(err, -EINVAL, "it is one part of several");
    if (rc == 0) {
        *end = (struct end){take(found + 10, 2), take(found + 12, 4), take(found + 16, 4)};
        rc = read_end64(z, z->size - n + (uint64_t)(found - tail), end, err);
    }
    free(tail);
    return rc;
}

/* Numbers that do not fit their place are in an extra field, those alone and in this order. */
static int take_large(struct member *m, const uint8_t *extra, size_t n, struct error *err)
{
    uint64_t *const places[] = {&m->size, &m->packed, &m->local};

    while (n >= 4 && take(extra, 2) != EXTRA_64) {
        size_t length = 4 + (size_t)take(extra + 2, 2);

        if (length > n)
            break;
        extra += length;
        n -= length;
    }
    if (n < 4 || take(extra, 2) != EXTRA_64 || take(extra + 2, 2) > n - 4) {
        n = 4; /* none */
    } else {
        n = 4 + (size_t)take(extra + 2, 2);
    }
    for (size_t i = 0, at = 4; i < 3; i++) {
        if (*places[i] != UINT32_MAX)
            continue;
        if (at + 8 > n)
            return error_set(err, -EINVAL, "it is damaged: a size is missing");
        *places[i] = take(extra + at, 8);
        at += 8;
    }
    return 0;
}

/* What is no file: folders, and what begins with a dot or is for another system. */
static bool is_passed_over(const char *name)
{
    size_t n = strlen(name);

    if (n == 0 || name[n - 1] == '/' || strncmp(name, "__MACOSX/", 9) == 0 || name[0] == '.')
        return true;
    return strstr(name, "/.") != NULL;
}

/* Takes the directory apart; names get their ends in z->names, which is as long as it. */
static int parse_directory(struct zip_file *z, const uint8_t *p, size_t n, uint64_t n_members,
                           struct error *err)
{
    char *names = z->names;

    for (uint64_t i = 0; i < n_members; i++) {
        size_t name, extra, comment;
        struct member *m = &z->members[z->n];
        int rc;

        if (n < MEMBER_BYTES || take(p, 4) != MEMBER_MAGIC)
            return error_set(err, -EINVAL, "it is damaged: its directory ends early");
        name = (size_t)take(p + 28, 2);
        extra = (size_t)take(p + 30, 2);
        comment = (size_t)take(p + 32, 2);
        if (name + extra + comment > n - MEMBER_BYTES)
            return error_set(err, -EINVAL, "it is damaged: its directory ends early");
        *m = (struct member){.name = names,
                             .flags = (unsigned)take(p + 8, 2),
                             .method = (unsigned)take(p + 10, 2),
                             .crc = (uint32_t)take(p + 16, 4),
                             .packed = take(p + 20, 4),
                             .size = take(p + 24, 4),
                             .local = take(p + 42, 4)};
        rc = take_large(m, p + MEMBER_BYTES + name, extra, err);
        if (rc < 0)
            return rc;
        memcpy(names, p + MEMBER_BYTES, name);
        names[name] = '\0';
        if (strlen(names) == name && !is_passed_over(names)) {
            names += name + 1;
            z->n++;
        }
        p += MEMBER_BYTES + name + extra + comment;
        n -= MEMBER_BYTES + name + extra + comment;
    }
    return 0;
}

static int compare_members(const void *a, const void *b)
{
    return strcmp(((const struct member *)a)->name, ((const struct member *)b)->name);
}

static int read_directory(struct zip_file *z, struct error *err)
{
    uint8_t *directory = NULL;
    struct end end = {0};
    int rc = find_end(z, &end, err);

    if (rc < 0)
        return rc;
    if (end.size > directory_bytes_max || end.size > z->size || end.n > end.size / MEMBER_BYTES ||
        end.n > INT_MAX)
        return error_set(err, -EINVAL, "it is damaged: its directory cannot be so large");
    directory = malloc((size_t)end.size + 1);
    z->names = malloc((size_t)end.size + 1);
    z->members = calloc((size_t)end.n + 1, sizeof(*z->members));
    if (!directory || !z->names || !z->members)
        rc = error_set(err, -ENOMEM, "out of memory for %llu members", (unsigned long long)end.n);
    if (rc == 0)
        rc = read_at(z, end.offset, directory, (size_t)end.size, err);
    if (rc == 0)
        rc = parse_directory(z, directory, (size_t)end.size, end.n, err);
    free(directory);
    if (rc == 0 && z->n > 0)
        qsort(z->members, (size_t)z->n, sizeof(*z->members), compare_members);
    return rc;
}

int zip_file_open(const char *path, struct zip_file **out, struct error *err)
{
    struct zip_file *z = calloc(1, sizeof(*z));
    struct stat info = {0};
    int rc = 0;

    if (!z)
        return error_set(err, -ENOMEM, "out of memory for \"%s\"", path);
    z->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (z->fd < 0 || fstat(z->fd, &info) < 0)
        rc = error_set(err, -errno, "could not open it: %s", strerror(errno));
    else if (!S_ISREG(info.st_mode))
        rc = error_set(err, -EINVAL, "it is not a regular file");
    z->size = (uint64_t)info.st_size;
    if (rc == 0)
        rc = read_directory(z, err);
    if (rc < 0) {
        error_prefix(err, "archive \"%s\": ", path);
        zip_file_close(z);
        return rc;
    }
    *out = z;
    return 0;
}

void zip_file_close(struct zip_file *z)
{
    if (!z)
        return;
    if (z->fd >= 0)
        close(z->fd);
    free(z->members);
    free(z->names);
    free(z);
}

int zip_file_n(const struct zip_file *z)
{
    return z->n;
}

const char *zip_file_name(const struct zip_file *z, int i)
{
    return z->members[i].name;
}

/* Where a member's bytes begin: behind a header of its own, whose name and extra field may be longer. */
static int find_data(const struct zip_file *z, const struct member *m, uint64_t *at,
                     struct error *err)
{
    uint8_t local[LOCAL_BYTES];
    int rc = read_at(z, m->local, local, sizeof(local), err);

    if (rc < 0)
        return rc;
    if (take(local, 4) != LOCAL_MAGIC)
        return error_set(err, -EINVAL, "it is damaged: it is not where the archive says");
    *at = m->local + LOCAL_BYTES + take(local + 26, 2) + take(local + 28, 2);
    if (m->flags & FLAG_ENCRYPTED)
        return error_set(err, -EINVAL, "it is encrypted");
    if (m->method != METHOD_STORED && m->method != METHOD_DEFLATED)
        return error_set(err, -EINVAL, "it is compressed by method %u, which is not known",
                         m->method);
    return 0;
}

size_t zip_file_head(const struct zip_file *z, int i, uint8_t head[ZIP_HEAD_BYTES])
{
    enum { PACKED_BYTES = 512 };
    const struct member *m = &z->members[i];
    size_t n = m->packed < PACKED_BYTES ? (size_t)m->packed : PACKED_BYTES;
    uint8_t packed[PACKED_BYTES];
    uint64_t at;

    if (find_data(z, m, &at, NULL) < 0 || read_at(z, at, packed, n, NULL) < 0)
        return 0;
    if (m->method == METHOD_DEFLATED)
        return inflate_head(packed, n, head, ZIP_HEAD_BYTES);
    n = n < ZIP_HEAD_BYTES ? n : ZIP_HEAD_BYTES;
    memcpy(head, packed, n);
    return n;
}

int zip_file_read(const struct zip_file *z, int i, size_t size_max, uint8_t **out, size_t *size,
                  struct error *err)
{
    const struct member *m = &z->members[i];
    uint8_t *packed, *bytes = NULL;
    uint64_t at;
    int rc = find_data(z, m, &at, err);

    if (rc < 0)
        return rc;
    if (m->size > size_max || m->packed > size_max)
        return error_set(err, -EFBIG, "it has more than %zu bytes", size_max);
    if (m->packed > z->size)
        return error_set(err, -EINVAL, "it is damaged: it is larger than the archive");
    if (m->method == METHOD_STORED && m->packed != m->size)
        return error_set(err, -EINVAL, "it is damaged: it has two sizes");
    packed = malloc((size_t)m->packed + 1);
    if (packed && m->method == METHOD_DEFLATED)
        bytes = malloc((size_t)m->size + 1);
    if (!packed || (m->method == METHOD_DEFLATED && !bytes))
        rc = error_set(err, -ENOMEM, "out of memory for a member of an archive");
    if (rc == 0)
        rc = read_at(z, at, packed, (size_t)m->packed, err);
    if (rc == 0 && m->method == METHOD_DEFLATED)
        rc = inflate_member(packed, (size_t)m->packed, m->crc, bytes, (size_t)m->size, err);
    else if (rc == 0)
        rc = inflate_stored(packed, (size_t)m->packed, m->crc, err);
    if (rc == 0) {
        *out = bytes ? bytes : packed;
        *size = (size_t)m->size;
    }
    if (rc < 0 || bytes)
        free(packed);
    if (rc < 0)
        free(bytes);
    return rc;
}
