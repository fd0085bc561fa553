#include "tools/pictures/dataset.h"
#include "engine/base/error.h"
#include "engine/base/hash.h"
#include "engine/base/watch.h"
#include "engine/base/whole_file.h"
#include "tools/pictures/pack.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 256 << 20 };

int dataset_read_file(const char *path, const struct dataset_options *options, uint8_t *out,
                      struct error *err)
{
    uint8_t *bytes = NULL;
    size_t n = 0;
    int rc;

    rc = whole_file_read(path, FILE_BYTES_MAX, &bytes, &n, err);
    if (rc == 0)
        rc = source_decode(bytes, n, options, out, err);
    if (rc < 0)
        error_prefix(err, "picture \"%s\": ", path);
    free(bytes);
    return rc;
}

/* The good pictures side by side, in their order, and their labels. */
static void close_gaps(struct dataset *d, const struct source *s, const bool *bad)
{
    size_t image_bytes = (size_t)d->side * (size_t)d->side * 3;

    for (int i = 0; i < s->n; i++) {
        if (bad[i]) {
            d->n_skipped++;
            continue;
        }
        if (d->n < i)
            memcpy(d->pixels + (size_t)d->n * image_bytes, d->pixels + (size_t)i * image_bytes,
                   image_bytes);
        if (d->labels)
            d->labels[d->n] = d->labels[i];
        d->n++;
    }
}

/* Reads the pictures of the list into d. */
static int read_all(struct dataset *d, const struct source *s,
                    const struct dataset_options *options, struct pool *pool, struct error *err)
{
    size_t image_bytes = (size_t)d->side * (size_t)d->side * 3;
    bool *bad = calloc((size_t)s->n, sizeof(*bad));
    struct error last = {""};
    int rc;

    d->pixels = malloc((size_t)s->n * image_bytes);
    if (bad && d->pixels)
        rc = source_read(s, 0, s->n, options, pool, d->pixels, bad, &last, err);
    else
        rc = error_set(err, -ENOMEM, "out of memory for %d images", s->n);
    if (rc == 0)
        close_gaps(d, s, bad);
    if (rc == 0 && d->n == 0)
        rc = error_set(err, -EINVAL, "%s", last.text);
    if (rc == 0)
        d->digest = hash_bytes(HASH_START, d->pixels, (size_t)d->n * image_bytes);
    free(bad);
    return rc;
}

static int open_source(const char *path, const struct dataset_options *options, struct pool *pool,
                       struct dataset *d, struct error *err)
{
    struct source s = {0};
    int rc = source_open(path, options, &s, err);

    if (rc < 0)
        return rc;
    snprintf(d->name, sizeof(d->name), "%s", s.name);
    d->n_skipped = s.n_skipped;
    if (options->labels) { /* they become the data set's */
        d->n_labels = s.n_labels;
        d->labels = s.labels;
        d->label_names = s.label_names;
        s.labels = NULL;
        s.label_names = NULL;
    }
    rc = read_all(d, &s, options, pool, err);
    source_close(&s);
    return rc;
}

/* Copies of what the data set is said to have, so that they have one owner. */
static int copy_labels(struct dataset *d, const struct pack_about *a, struct error *err)
{
    d->labels = calloc((size_t)a->n, sizeof(*d->labels));
    d->label_names = calloc((size_t)a->n_labels, sizeof(*d->label_names));
    d->n_labels = d->label_names ? a->n_labels : 0;
    for (int i = 0; i < d->n_labels; i++)
        d->label_names[i] = strdup(a->label_names[i]);
    for (int i = 0; i < d->n_labels; i++) {
        if (!d->label_names[i])
            return error_set(err, -ENOMEM, "out of memory for labels");
    }
    if (!d->labels || !d->label_names)
        return error_set(err, -ENOMEM, "out of memory for labels");
    memcpy(d->labels, a->labels, (size_t)a->n * sizeof(*d->labels));
    return 0;
}

static int open_pack(const char *path, const struct dataset_options *o, struct dataset *d,
                     bool any_crop, struct error *err)
{
    const struct pack_about *a;
    int rc = pack_open(path, &d->pack, err);

    if (rc < 0)
        return rc;
    a = pack_about(d->pack);
    if (a->side != o->side || (a->crop != o->crop && !any_crop))
        return error_set(err, -EINVAL,
                         "data set \"%s\" was packed with %d px and crop %d, not %d px and crop "
                         "%d: pack it anew",
                         path, a->side, a->crop, o->side, o->crop);
    if (o->labels && a->n_labels == 0)
        return error_set(err, -EINVAL, "the pictures in \"%s\" have no labels", path);
    d->n = a->n;
    d->digest = a->digest;
    memcpy(d->name, a->name, sizeof(d->name));
    return o->labels ? copy_labels(d, a, err) : 0;
}

static int open_any(const char *path, const struct dataset_options *options, struct pool *pool,
                    bool any_crop, struct dataset **out, struct error *err)
{
    struct dataset *d = calloc(1, sizeof(*d));
    int rc;

    if (!d)
        return error_set(err, -ENOMEM, "out of memory for the images");
    d->side = options->side;
    rc = pack_is(path) ? open_pack(path, options, d, any_crop, err)
                       : open_source(path, options, pool, d, err);
    if (rc < 0) {
        dataset_close(d);
        return rc;
    }
    for (int i = 0; i < d->n_labels; i++)
        d->digest = hash_text(d->digest, d->label_names[i]);
    if (d->labels)
        d->digest = hash_bytes(d->digest, d->labels, (size_t)d->n * sizeof(*d->labels));
    *out = d;
    return 0;
}

int dataset_open(const char *path, const struct dataset_options *options, struct pool *pool,
                 struct dataset **out, struct error *err)
{
    return open_any(path, options, pool, false, out, err);
}

/* Reads all pictures of a packed data set. */
static int take_pixels(struct dataset *d, const struct dataset_options *options, struct error *err)
{
    size_t image_bytes = (size_t)d->side * (size_t)d->side * 3;
    int rc = 0;

    d->pixels = malloc((size_t)d->n * image_bytes);
    if (!d->pixels)
        return error_set(err, -ENOMEM, "out of memory for %d images", d->n);
    for (int i = 0; i < d->n && rc == 0; i++) {
        if (watch_stop(options->watch))
            return error_set(err, -ECANCELED, "stopped with %d of %d pictures read", i, d->n);
        rc = pack_read(d->pack, i, d->pixels + (size_t)i * image_bytes, err);
        if (options->tally)
            atomic_fetch_add(&options->tally->raw, rc == 0);
        watch_progress(options->watch, "reading pictures", i + 1, d->n);
    }
    pack_close(d->pack);
    d->pack = NULL;
    return rc;
}

int dataset_load(const char *path, const struct dataset_options *options, struct pool *pool,
                 struct dataset **out, struct error *err)
{
    struct dataset *d = NULL;
    int rc = open_any(path, options, pool, true, &d, err);

    if (rc == 0 && d->pack)
        rc = take_pixels(d, options, err);
    if (rc < 0) {
        dataset_close(d);
        return rc;
    }
    *out = d;
    return 0;
}

void dataset_close(struct dataset *d)
{
    if (!d)
        return;
    for (int i = 0; d->label_names && i < d->n_labels; i++)
        free(d->label_names[i]);
    free(d->label_names);
    free(d->labels);
    free(d->pixels);
    pack_close(d->pack);
    free(d);
}

bool dataset_all_alike(const struct dataset *d)
{
    size_t image_bytes = (size_t)d->side * (size_t)d->side * 3;

    if (d->pack)
        return pack_all_alike(d->pack);
    for (int i = 1; i < d->n; i++) {
        if (memcmp(d->pixels, d->pixels + (size_t)i * image_bytes, image_bytes) != 0)
            return false;
    }
    return true;
}

static void to_numbers(int side, const uint8_t *src, bool mirrored, float *out)
{
    for (int y = 0; y < side; y++) {
        for (int x = 0; x < side; x++) {
            int column = mirrored ? side - 1 - x : x;

            for (int c = 0; c < 3; c++)
                out[(y * side + x) * 3 + c] = (float)src[(y * side + column) * 3 + c] / 255;
        }
    }
}

int dataset_image(const struct dataset *d, int i, bool mirrored, float *out, struct error *err)
{
    size_t image_bytes = (size_t)d->side * (size_t)d->side * 3;
    uint8_t *bytes;
    int rc;

    if (!d->pack) {
        to_numbers(d->side, d->pixels + (size_t)i * image_bytes, mirrored, out);
        return 0;
    }
    bytes = malloc(image_bytes);
    if (!bytes)
        return error_set(err, -ENOMEM, "out of memory for a picture");
    rc = pack_read(d->pack, i, bytes, err);
    if (rc == 0)
        to_numbers(d->side, bytes, mirrored, out);
    free(bytes);
    return rc;
}
