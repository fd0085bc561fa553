#include "tools/pictures/pack.h"
#include "engine/base/error.h"
#include "engine/base/hash.h"
#include "model/json_fields.h"
#include "tools/pictures/pack_format.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LABELS_MAX = 1000 };

struct pack {
    struct pack_about about;
    char *path;
    int fd;
    uint64_t size;
    size_t image_bytes;
    uint64_t *sums; /* [n] */
};

/* All of these bytes, or -EIO. */
static int read_at(const struct pack *p, uint64_t offset, void *out, size_t size, struct error *err)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = pread(p->fd, (char *)out + done, size - done, (off_t)(offset + done));

        if (n == 0)
            return error_set(err, -EIO, "it has become shorter");
        if (n < 0 && errno != EINTR)
            return error_set(err, -errno, "could not read it: %s", strerror(errno));
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

bool pack_is(const char *path)
{
    char head[PACK_MAGIC_BYTES];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    bool is = fd >= 0 && read(fd, head, sizeof(head)) == (ssize_t)sizeof(head) &&
              memcmp(head, PACK_HEAD_MAGIC, sizeof(head)) == 0;

    if (fd >= 0)
        close(fd);
    return is;
}

/* What is behind the pixels, and where its parts are. */
struct rest {
    size_t sums, labels, document, size; /* bytes of the parts and of all, without the end */
    uint8_t *bytes;
    uint8_t end[PACK_END_BYTES];
};

/* Reads the head and the end, and from what they say how long everything is, which must be how long the
 * file is. */
static int read_ends(struct pack *p, struct rest *rest, struct error *err)
{
    uint8_t head[PACK_HEAD_BYTES], expected[PACK_HEAD_BYTES];
    uint64_t side, n, n_labels, document, all;
    int rc;

    if (p->size < PACK_HEAD_BYTES + PACK_END_BYTES)
        return error_set(err, -EINVAL, "it is too short for a packed data set");
    rc = read_at(p, 0, head, sizeof(head), err);
    if (rc == 0)
        rc = read_at(p, p->size - PACK_END_BYTES, rest->end, PACK_END_BYTES, err);
    if (rc < 0)
        return rc;
    side = pack_take(head + PACK_MAGIC_BYTES, 4);
    pack_put_head(expected, side <= PACK_SIDE_MAX ? (int)side : 0);
    if (side == 0 || memcmp(head, expected, sizeof(head)) != 0)
        return error_set(err, -EINVAL, "it is no packed data set of this program");
    if (memcmp(rest->end + PACK_END_BYTES - PACK_MAGIC_BYTES, PACK_END_MAGIC, PACK_MAGIC_BYTES) !=
        0)
        return error_set(err, -EINVAL, "its end is missing: it was cut, or is still being copied");
    n = pack_take(rest->end, 8);
    n_labels = pack_take(rest->end + 16, 4);
    document = pack_take(rest->end + 20, 4);
    p->image_bytes = (size_t)side * (size_t)side * 3;
    if (n == 0 || n > INT_MAX || n > p->size / p->image_bytes || n_labels > LABELS_MAX ||
        document > PACK_DOCUMENT_MAX)
        return error_set(err, -EINVAL, "it is damaged: its numbers are out of range");
    rest->sums = 8 * (size_t)n;
    rest->labels = n_labels > 0 ? 2 * (size_t)n : 0;
    rest->document = (size_t)document;
    rest->size = rest->sums + rest->labels + rest->document;
    all = PACK_HEAD_BYTES + n * p->image_bytes + rest->size + PACK_END_BYTES;
    if (all != p->size)
        return error_set(err, -EINVAL, "it is damaged: it has %llu bytes, not %llu",
                         (unsigned long long)p->size, (unsigned long long)all);
    p->about.n = (int)n;
    p->about.side = (int)side;
    p->about.digest = pack_take(rest->end + 8, 8);
    p->about.n_labels = (int)n_labels;
    return 0;
}

/* That everything but the pixels is as it was written. */
static int check_digest(const struct pack *p, const struct rest *rest, struct error *err)
{
    struct digest *sum = digest_begin();
    uint8_t head[PACK_HEAD_BYTES];
    char text[DIGEST_TEXT];

    if (!sum)
        return error_set(err, -ENOMEM, "out of memory for a digest");
    pack_put_head(head, p->about.side);
    digest_add(sum, head, sizeof(head));
    digest_add(sum, rest->bytes, rest->size);
    digest_add(sum, rest->end, PACK_DIGEST_AT);
    digest_end(sum, text);
    if (memcmp(text, rest->end + PACK_DIGEST_AT, DIGEST_TEXT - 1) != 0)
        return error_set(err, -EINVAL, "it is damaged: its SHA-256 is not what it says");
    return 0;
}

static int take_names(struct pack_about *a, const json_t *labels, struct error *err)
{
    if (json_array_size(labels) != (size_t)a->n_labels)
        return error_set(err, -EINVAL, "its document names %zu labels, not %d",
                         json_array_size(labels), a->n_labels);
    a->label_names = calloc((size_t)a->n_labels + 1, sizeof(*a->label_names));
    for (int i = 0; a->label_names && i < a->n_labels; i++) {
        const char *name = json_string_value(json_array_get(labels, (size_t)i));

        a->label_names[i] = strdup(name ? name : "");
        if (!a->label_names[i])
            return error_set(err, -ENOMEM, "out of memory for labels");
    }
    return a->label_names ? 0 : error_set(err, -ENOMEM, "out of memory for labels");
}

static int read_document(struct pack *p, const char *text, size_t size, struct error *err)
{
    struct pack_about *a = &p->about;
    const char *name = "", *source = "";
    const json_t *labels = NULL;
    json_error_t json_err;
    json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &json_err);
    struct json_fields f;
    int format = 0, rc;

    if (!json)
        return json_refuse(&json_err, "its document", err);
    json_fields_begin(&f, json, "its document", err);
    json_fields_int(&f, "format", JSON_REQUIRED, 1, 1, &format);
    json_fields_string(&f, "name", JSON_REQUIRED, &name);
    json_fields_string(&f, "source", JSON_REQUIRED, &source);
    json_fields_int(&f, "crop", JSON_REQUIRED, 0, PACK_SIDE_MAX, &a->crop);
    json_fields_int(&f, "skipped", JSON_REQUIRED, 0, INT_MAX, &a->n_skipped);
    json_fields_value(&f, "labels", JSON_REQUIRED, &labels);
    rc = json_fields_end(&f);
    if (rc == 0) {
        snprintf(a->name, sizeof(a->name), "%s", name);
        snprintf(a->source, sizeof(a->source), "%s", source);
        rc = take_names(a, labels, err);
    }
    json_decref(json);
    return rc;
}

/* Sums and labels as numbers. */
static int take_arrays(struct pack *p, const struct rest *rest, struct error *err)
{
    struct pack_about *a = &p->about;

    p->sums = calloc((size_t)a->n, sizeof(*p->sums));
    a->labels = rest->labels ? calloc((size_t)a->n, sizeof(*a->labels)) : NULL;
    if (!p->sums || (rest->labels && !a->labels))
        return error_set(err, -ENOMEM, "out of memory for the sums of %d pictures", a->n);
    for (int i = 0; i < a->n; i++)
        p->sums[i] = pack_take(rest->bytes + 8 * (size_t)i, 8);
    for (int i = 0; a->labels && i < a->n; i++) {
        a->labels[i] = (uint16_t)pack_take(rest->bytes + rest->sums + 2 * (size_t)i, 2);
        if (a->labels[i] < 1 || a->labels[i] > a->n_labels)
            return error_set(err, -EINVAL, "picture %d has label %d of %d", i, a->labels[i],
                             a->n_labels);
    }
    return 0;
}

static int read_rest(struct pack *p, struct error *err)
{
    struct rest rest = {0};
    int rc = read_ends(p, &rest, err);

    if (rc < 0)
        return rc;
    rest.bytes = malloc(rest.size + 1);
    rc = rest.bytes ? 0 : error_set(err, -ENOMEM, "out of memory for %d pictures", p->about.n);
    if (rc == 0)
        rc = read_at(p, PACK_HEAD_BYTES + (uint64_t)p->about.n * p->image_bytes, rest.bytes,
                     rest.size, err);
    if (rc == 0)
        rc = check_digest(p, &rest, err);
    if (rc == 0)
        rc = take_arrays(p, &rest, err);
    if (rc == 0)
        rc = read_document(p, (const char *)rest.bytes + rest.sums + rest.labels, rest.document,
                           err);
    free(rest.bytes);
    return rc;
}

int pack_open(const char *path, struct pack **out, struct error *err)
{
    struct pack *p = calloc(1, sizeof(*p));
    struct stat info;
    int rc = 0;

    if (!p)
        return error_set(err, -ENOMEM, "out of memory for \"%s\"", path);
    p->path = strdup(path);
    p->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (p->fd < 0 || fstat(p->fd, &info) < 0)
        rc = error_set(err, -errno, "could not open it: %s", strerror(errno));
    else if (!S_ISREG(info.st_mode))
        rc = error_set(err, -EINVAL, "it is not a regular file");
    else if (!p->path)
        rc = error_set(err, -ENOMEM, "out of memory for its path");
    if (rc == 0) {
        p->size = (uint64_t)info.st_size;
        rc = read_rest(p, err);
    }
    if (rc < 0) {
        error_prefix(err, "data set \"%s\": ", path);
        pack_close(p);
        return rc;
    }
    *out = p;
    return 0;
}

void pack_close(struct pack *p)
{
    if (!p)
        return;
    if (p->fd >= 0)
        close(p->fd);
    for (int i = 0; p->about.label_names && i < p->about.n_labels; i++)
        free(p->about.label_names[i]);
    free(p->about.label_names);
    free(p->about.labels);
    free(p->sums);
    free(p->path);
    free(p);
}

const struct pack_about *pack_about(const struct pack *p)
{
    return &p->about;
}

int pack_read(const struct pack *p, int i, uint8_t *out, struct error *err)
{
    int rc = read_at(p, PACK_HEAD_BYTES + (uint64_t)i * p->image_bytes, out, p->image_bytes, err);

    if (rc == 0 && hash_bytes(HASH_START, out, p->image_bytes) != p->sums[i])
        rc = error_set(err, -EIO, "picture %d is not what was packed", i);
    if (rc < 0)
        error_prefix(err,
                     "data set \"%s\" has changed since it was opened, or is damaged: ", p->path);
    return rc;
}

bool pack_all_alike(const struct pack *p)
{
    for (int i = 1; i < p->about.n; i++) {
        if (p->sums[i] != p->sums[0])
            return false;
    }
    return true;
}
