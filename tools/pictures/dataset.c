#include "tools/pictures/dataset.h"
#include "api/pictures/jpeg.h"
#include "api/pictures/png.h"
#include "api/pictures/resize.h"
#include "engine/base/error.h"
#include "engine/base/log.h"
#include "engine/base/pool.h"
#include "engine/base/whole_file.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { FILE_BYTES_MAX = 256 << 20, DEPTH_MAX = 32 };

struct paths {
    int n, room;
    char **items; /* owned */
};

static void paths_fini(struct paths *paths)
{
    for (int i = 0; i < paths->n; i++)
        free(paths->items[i]);
    free(paths->items);
}

/* Takes path, also on failure. */
static int paths_add(struct paths *paths, char *path)
{
    if (paths->n == paths->room) {
        int room = paths->room ? 2 * paths->room : 1024;
        char **items = realloc(paths->items, (size_t)room * sizeof(*items));

        if (!items) {
            free(path);
            return -ENOMEM;
        }
        paths->items = items;
        paths->room = room;
    }
    paths->items[paths->n++] = path;
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool has_suffix(const char *path, const char *suffix)
{
    size_t n = strlen(path), n_suffix = strlen(suffix);

    return n > n_suffix && strcasecmp(path + n - n_suffix, suffix) == 0;
}

static bool is_picture(const char *path)
{
    return has_suffix(path, ".png") || has_suffix(path, ".jpg") || has_suffix(path, ".jpeg");
}

static int walk(const char *folder, int depth, struct paths *paths, struct error *err)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    int rc = 0;

    if (!dir) {
        rc = -errno;
        return error_set(err, rc, "could not open folder \"%s\": %s", folder, strerror(-rc));
    }
    while (rc == 0 && (entry = readdir(dir))) {
        struct stat info;
        char *path;

        if (entry->d_name[0] == '.')
            continue;
        if (asprintf(&path, "%s/%s", folder, entry->d_name) < 0) {
            rc = error_set(err, -ENOMEM, "out of memory listing \"%s\"", folder);
        } else if (stat(path, &info) < 0) {
            rc = -errno;
            error_set(err, rc, "could not look at \"%s\": %s", path, strerror(-rc));
            free(path);
        } else if (S_ISDIR(info.st_mode)) {
            if (depth == DEPTH_MAX)
                rc = error_set(err, -EINVAL, "folder \"%s\" is too deep", path);
            else
                rc = walk(path, depth + 1, paths, err);
            free(path);
        } else if (S_ISREG(info.st_mode) && is_picture(path)) {
            rc = paths_add(paths, path);
            if (rc < 0)
                error_set(err, rc, "out of memory listing \"%s\"", folder);
        } else {
            free(path);
        }
    }
    closedir(dir);
    return rc;
}

int dataset_read_file(const char *path, const struct dataset_options *options, uint8_t *out,
                      struct error *err)
{
    uint8_t *bytes = NULL, *pixels = NULL;
    size_t n = 0;
    int w, h, rc;

    rc = whole_file_read(path, FILE_BYTES_MAX, &bytes, &n, err);
    if (rc == 0 && has_suffix(path, ".png"))
        rc = png_decode(bytes, n, &w, &h, &pixels, err);
    else if (rc == 0)
        rc = jpeg_decode(bytes, n, &w, &h, &pixels, err);
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
    const struct paths *paths;
    uint8_t *pixels;
    size_t image_bytes;
    bool *bad; /* [n] */
    pthread_mutex_t mutex;
    int first_bad; /* the first file that failed, in order; n: none */
    int rc;
    struct error err; /* of first_bad */
};

static void read_task(void *arg, int i, int worker)
{
    struct reading *r = arg;
    struct error err;
    int rc = dataset_read_file(r->paths->items[i], r->options,
                               r->pixels + (size_t)i * r->image_bytes, &err);

    if (rc == 0)
        return;
    r->bad[i] = true;
    pthread_mutex_lock(&r->mutex);
    if (r->options->skip_bad)
        log_write(LOG_WARN, "event=skipped reason=%s", LOG_TEXT(err.text));
    if (i < r->first_bad) {
        r->first_bad = i;
        r->rc = rc;
        r->err = err;
    }
    pthread_mutex_unlock(&r->mutex);
}

static void digest(struct dataset *d, size_t image_bytes)
{
    d->digest = 0xcbf29ce484222325u;
    for (size_t i = 0; i < (size_t)d->n * image_bytes; i++)
        d->digest = (d->digest ^ d->pixels[i]) * 0x100000001b3u;
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

int dataset_open(const char *folder, const struct dataset_options *options, struct pool *pool,
                 struct dataset **out, struct error *err)
{
    struct dataset *d = calloc(1, sizeof(*d));
    struct paths paths = {0};
    struct reading r = {.options = options, .paths = &paths, .mutex = PTHREAD_MUTEX_INITIALIZER};
    int rc;

    if (!d)
        return error_set(err, -ENOMEM, "out of memory for the images");
    rc = walk(folder, 0, &paths, err);
    if (rc < 0)
        goto fail;
    if (paths.n == 0) {
        rc = error_set(err, -EINVAL, "no PNG or JPEG pictures below \"%s\"", folder);
        goto fail;
    }
    qsort(paths.items, (size_t)paths.n, sizeof(*paths.items), compare);

    d->side = options->side;
    set_name(d, folder);
    r.image_bytes = (size_t)d->side * (size_t)d->side * 3;
    r.first_bad = paths.n;
    r.bad = calloc((size_t)paths.n, sizeof(*r.bad));
    d->pixels = malloc((size_t)paths.n * r.image_bytes);
    r.pixels = d->pixels;
    if (!r.bad || !d->pixels) {
        rc = error_set(err, -ENOMEM, "out of memory for %d images", paths.n);
        goto fail;
    }
    pool_run(pool, paths.n, read_task, &r);

    for (int i = 0; i < paths.n; i++) {
        if (r.bad[i]) {
            d->n_skipped++;
            continue;
        }
        if (d->n < i)
            memcpy(d->pixels + (size_t)d->n * r.image_bytes, d->pixels + (size_t)i * r.image_bytes,
                   r.image_bytes);
        d->n++;
    }
    if (r.rc < 0 && (!options->skip_bad || d->n == 0)) {
        rc = r.rc;
        error_set(err, rc, "%s", r.err.text);
        goto fail;
    }
    digest(d, r.image_bytes);
    free(r.bad);
    paths_fini(&paths);
    *out = d;
    return 0;

fail:
    free(r.bad);
    paths_fini(&paths);
    dataset_close(d);
    return rc;
}

void dataset_close(struct dataset *d)
{
    if (!d)
        return;
    free(d->pixels);
    free(d);
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
