#include "engine/base/error.h"
#include "engine/base/hash.h"
#include "engine/base/whole_file.h"
#include "tools/pictures/pack.h"
#include "tools/pictures/pack_format.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct pack_writer {
    struct whole_file *file;
    size_t image_bytes;
    int side, n, room;
    uint64_t digest;
    uint8_t *sums;   /* [n] as they are written */
    uint8_t *labels; /* the same, [n]; 0: none */
};

int pack_create(const char *path, int side, struct pack_writer **out, struct error *err)
{
    struct pack_writer *w = calloc(1, sizeof(*w));
    uint8_t head[PACK_HEAD_BYTES];
    int rc = w ? 0 : error_set(err, -ENOMEM, "out of memory for \"%s\"", path);

    if (rc == 0)
        rc = whole_file_create(path, &w->file, err);
    if (rc < 0) {
        free(w);
        return rc;
    }
    w->side = side;
    w->image_bytes = (size_t)side * (size_t)side * 3;
    w->digest = HASH_START;
    pack_put_head(head, side);
    (void)whole_file_write(w->file, head, sizeof(head)); /* a failure is told at the end */
    *out = w;
    return 0;
}

static int make_room(struct pack_writer *w, int n, struct error *err)
{
    int room = w->room ? w->room : 4096;
    uint8_t *sums, *labels;

    while (room - w->n < n && room < 1 << 30)
        room *= 2;
    if (room - w->n < n)
        return error_set(err, -EINVAL, "more than %d pictures", room);
    sums = realloc(w->sums, 8 * (size_t)room);
    if (sums)
        w->sums = sums;
    labels = realloc(w->labels, 2 * (size_t)room);
    if (labels)
        w->labels = labels;
    if (!sums || !labels)
        return error_set(err, -ENOMEM, "out of memory for the sums of %d pictures", room);
    w->room = room;
    return 0;
}

int pack_add(struct pack_writer *w, int n, const uint8_t *pixels, const uint16_t *labels,
             struct error *err)
{
    int rc = w->room - w->n < n ? make_room(w, n, err) : 0;

    if (rc < 0)
        return rc;
    for (int i = 0; i < n; i++) {
        const uint8_t *image = pixels + (size_t)i * w->image_bytes;

        w->digest = hash_bytes(w->digest, image, w->image_bytes);
        pack_put(w->sums + 8 * (size_t)w->n, 8, hash_bytes(HASH_START, image, w->image_bytes));
        pack_put(w->labels + 2 * (size_t)w->n, 2, labels ? labels[i] : 0);
        w->n++;
    }
    rc = whole_file_write(w->file, pixels, (size_t)n * w->image_bytes);
    return rc < 0 ? error_set(err, rc, "could not write pictures: %s", strerror(-rc)) : 0;
}

/* The document as text, owned by the caller; NULL without memory. */
static char *describe(const struct pack_about *a)
{
    json_t *labels = json_array(), *json;
    char *text;

    for (int i = 0; labels && i < a->n_labels; i++)
        json_array_append_new(labels, json_string(a->label_names[i]));
    json = json_pack("{s:i, s:s, s:s, s:i, s:i, s:o}", "format", 1, "name", a->name, "source",
                     a->source, "crop", a->crop, "skipped", a->n_skipped, "labels", labels);
    text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

/* What follows the pixels. */
static int write_rest(struct pack_writer *w, const struct pack_about *a, const char *document,
                      struct error *err)
{
    uint8_t head[PACK_HEAD_BYTES], end[PACK_END_BYTES];
    size_t n_labels = a->n_labels > 0 ? 2 * (size_t)w->n : 0;
    struct digest *sum = digest_begin();
    char text[DIGEST_TEXT];

    if (!sum)
        return error_set(err, -ENOMEM, "out of memory for a digest");
    pack_put_head(head, w->side);
    pack_put(end, 8, (uint64_t)w->n);
    pack_put(end + 8, 8, w->digest);
    pack_put(end + 16, 4, (uint64_t)a->n_labels);
    pack_put(end + 20, 4, strlen(document));
    digest_add(sum, head, sizeof(head));
    digest_add(sum, w->sums, 8 * (size_t)w->n);
    digest_add(sum, w->labels, n_labels);
    digest_add(sum, document, strlen(document));
    digest_add(sum, end, PACK_DIGEST_AT);
    digest_end(sum, text);
    memcpy(end + PACK_DIGEST_AT, text, DIGEST_TEXT - 1);
    memcpy(end + PACK_END_BYTES - PACK_MAGIC_BYTES, PACK_END_MAGIC, PACK_MAGIC_BYTES);
    (void)whole_file_write(w->file, w->sums, 8 * (size_t)w->n);
    (void)whole_file_write(w->file, w->labels, n_labels);
    (void)whole_file_write(w->file, document, strlen(document));
    (void)whole_file_write(w->file, end, sizeof(end)); /* failures are told at the end */
    return 0;
}

int pack_finish(struct pack_writer *w, const struct pack_about *about, struct error *err)
{
    char *document = describe(about);
    int rc = document ? 0 : error_set(err, -ENOMEM, "out of memory for a data set's document");

    if (rc == 0 && strlen(document) > PACK_DOCUMENT_MAX)
        rc = error_set(err, -EINVAL, "the names of labels are too long");
    if (rc == 0)
        rc = write_rest(w, about, document, err);
    if (rc == 0) {
        rc = whole_file_end(w->file, true, err);
        w->file = NULL;
    }
    free(document);
    pack_abandon(w);
    return rc;
}

void pack_abandon(struct pack_writer *w)
{
    if (!w)
        return;
    whole_file_abandon(w->file);
    free(w->sums);
    free(w->labels);
    free(w);
}
