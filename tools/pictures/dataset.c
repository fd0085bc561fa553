#include "tools/pictures/dataset.h"
#include "api/pictures/picture.h"
#include "api/pictures/resize.h"
#include "engine/base/error.h"
#include "engine/base/hash.h"
#include "engine/base/log.h"
#include "engine/base/pool.h"
#include "engine/base/watch.h"
#include "engine/base/whole_file.h"
#include "tools/pictures/folder.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 256 << 20 };

int dataset_read_file(const char *path, const struct dataset_options *options, uint8_t *out,
                      struct error *err)
{
    uint8_t *bytes = NULL, *pixels = NULL;
    size_t n = 0;
    int w, h, rc;

    rc = whole_file_read(path, FILE_BYTES_MAX, &bytes, &n, err);
    if (rc == 0)
        rc = picture_decode(bytes, n, SIZE_MAX, &w, &h, &pixels, err);
    if (rc == 0)
        rc = resize_square(pixels, w, h, 3, options->crop, options->side, out, err);
    if (rc < 0)
        error_prefix(err, "picture \"%s\": ", path);
    free(bytes);
    free(pixels);
    return rc;
}

/* Reading on several threads. */
struct reading {
    const struct dataset_options *options;
    const struct folder *folder;
    uint8_t *pixels;
    size_t image_bytes;
    bool *bad; /* [n] */
    pthread_mutex_t mutex;
    int n_done;
    int first_failed; /* the first file, in order, that ends the reading; n: none */
    int rc;
    struct error err; /* of first_failed, else of the last that was left out */
};

static void note_bad(struct reading *r, int i, int rc, const struct error *err)
{
    bool skip = r->options->skip_bad && rc != -ENOMEM;

    r->bad[i] = true;
    if (skip)
        log_write(LOG_WARN, "event=skipped reason=%s", LOG_TEXT(err->text));
    if (i > r->first_failed || (skip && r->first_failed < r->folder->n))
        return;
    r->first_failed = skip ? r->first_failed : i;
    r->rc = rc;
    r->err = *err;
}

static void read_task(void *arg, int i, int worker)
{
    struct reading *r = arg;
    struct error err;
    bool over;
    int rc;

    pthread_mutex_lock(&r->mutex);
    over = i > r->first_failed || watch_stop(r->options->watch);
    pthread_mutex_unlock(&r->mutex);
    if (over)
        return;
    rc = dataset_read_file(r->folder->paths[i], r->options, r->pixels + (size_t)i * r->image_bytes,
                           &err);
    pthread_mutex_lock(&r->mutex);
    r->n_done++;
    watch_progress(r->options->watch, "reading pictures", r->n_done, r->folder->n);
    if (rc < 0)
        note_bad(r, i, rc, &err);
    pthread_mutex_unlock(&r->mutex);
}

static void set_name(struct dataset *d, const char *folder)
{
    size_t end = strlen(folder), start;

    while (end > 1 && folder[end - 1] == '/')
        end--;
    start = end;
    while (start > 0 && folder[start - 1] != '/')
        start--;
    snprintf(d->name, sizeof(d->name), "%.*s", (int)(end - start), folder + start);
}

/* The good pictures side by side, in their order. */
static void close_gaps(struct dataset *d, const struct reading *r)
{
    for (int i = 0; i < r->folder->n; i++) {
        if (r->bad[i]) {
            d->n_skipped++;
            continue;
        }
        if (d->n < i)
            memcpy(d->pixels + (size_t)d->n * r->image_bytes,
                   d->pixels + (size_t)i * r->image_bytes, r->image_bytes);
        d->n++;
    }
}

/* Reads the pictures of the list into d. */
static int read_all(struct dataset *d, struct reading *r, struct pool *pool, struct error *err)
{
    int n = r->folder->n;

    r->image_bytes = (size_t)d->side * (size_t)d->side * 3;
    r->first_failed = n;
    r->bad = calloc((size_t)n, sizeof(*r->bad));
    d->pixels = malloc((size_t)n * r->image_bytes);
    r->pixels = d->pixels;
    if (!r->bad || !d->pixels)
        return error_set(err, -ENOMEM, "out of memory for %d images", n);
    pool_run(pool, n, read_task, r);
    if (watch_stop(r->options->watch))
        return error_set(err, -ECANCELED, "stopped with %d of %d pictures read", r->n_done, n);
    close_gaps(d, r);
    if (r->first_failed < n || d->n == 0)
        return error_set(err, r->rc, "%s", r->err.text);
    d->digest = hash_bytes(HASH_START, d->pixels, (size_t)d->n * r->image_bytes);
    return 0;
}

/* What is no PNG or JPEG, in one line of the log or in the error that nothing is left. */
static int tell_others(const char *path, const struct folder *folder, struct error *err)
{
    char others[128];
    int n = folder_describe_others(folder, others, sizeof(others));

    if (folder->n == 0)
        return error_set(err, -EINVAL, "no PNG or JPEG pictures below \"%s\"%s%s%s", path,
                         n ? ", only " : "", others, n ? ", which cannot be read" : "");
    if (n > 0)
        log_write(LOG_WARN, "event=not_read pictures=%d formats=%s", n, LOG_TEXT(others));
    return 0;
}

int dataset_open(const char *path, const struct dataset_options *options, struct pool *pool,
                 struct dataset **out, struct error *err)
{
    struct dataset *d = calloc(1, sizeof(*d));
    struct folder folder = {0};
    struct reading r = {.options = options, .folder = &folder, .mutex = PTHREAD_MUTEX_INITIALIZER};
    int rc;

    if (!d)
        return error_set(err, -ENOMEM, "out of memory for the images");
    d->side = options->side;
    set_name(d, path);
    rc = folder_open(path, options->skip_bad, options->watch, &folder, err);
    if (rc == 0)
        rc = tell_others(path, &folder, err);
    if (rc == 0)
        rc = read_all(d, &r, pool, err);
    d->n_skipped += folder.n_skipped;
    free(r.bad);
    folder_close(&folder);
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
    free(d->pixels);
    free(d);
}

bool dataset_all_alike(const struct dataset *d)
{
    size_t image_bytes = (size_t)d->side * (size_t)d->side * 3;

    for (int i = 1; i < d->n; i++) {
        if (memcmp(d->pixels, d->pixels + (size_t)i * image_bytes, image_bytes) != 0)
            return false;
    }
    return true;
}

void dataset_image(const struct dataset *d, int i, bool mirrored, float *out)
{
    const uint8_t *src = d->pixels + (size_t)i * (size_t)d->side * (size_t)d->side * 3;

    for (int y = 0; y < d->side; y++) {
        for (int x = 0; x < d->side; x++) {
            int column = mirrored ? d->side - 1 - x : x;

            for (int c = 0; c < 3; c++)
                out[(y * d->side + x) * 3 + c] = (float)src[(y * d->side + column) * 3 + c] / 255;
        }
    }
}
