#include "tools/pictures/source.h"
#include "api/pictures/picture.h"
#include "api/pictures/resize.h"
#include "engine/base/error.h"
#include "engine/base/log.h"
#include "engine/base/pool.h"
#include "engine/base/watch.h"
#include "tools/pictures/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void set_name(struct source *s, const char *path)
{
    size_t end = strlen(path), start;

    while (end > 1 && path[end - 1] == '/')
        end--;
    start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    snprintf(s->name, sizeof(s->name), "%.*s", (int)(end - start), path + start);
}

static bool has_file(const char *folder, const char *name)
{
    char *path;
    bool there = false;

    if (asprintf(&path, "%s/%s", folder, name) >= 0) {
        there = access(path, F_OK) == 0;
        free(path);
    }
    return there;
}

static int open_what_is_there(const char *path, const struct dataset_options *o, struct source *s,
                              struct error *err)
{
    static const char *const idx[] = {"train-images-idx3-ubyte", "train-images-idx3-ubyte.gz",
                                      "t10k-images-idx3-ubyte", "t10k-images-idx3-ubyte.gz"};

    if (has_file(path, "data_batch_1.bin") || has_file(path, "test_batch.bin"))
        return source_open_cifar(path, true, o, s, err);
    for (int i = 0; i < 4; i++) {
        if (has_file(path, idx[i]))
            return source_open_idx(path, true, o, s, err);
    }
    return source_open_folder(path, o, s, err);
}

/* By its first bytes; a batch of CIFAR-10 has none of its own. */
static int open_file(const char *path, const struct stat *info, const struct dataset_options *o,
                     struct source *s, struct error *err)
{
    uint8_t head[4] = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof(head));
    int rc = n < 0 ? -errno : 0;

    if (fd >= 0)
        close(fd);
    if (rc < 0)
        return error_set(err, rc, "could not read \"%s\": %s", path, strerror(-rc));
    if (memcmp(head, "PK\3\4", 4) == 0 || memcmp(head, "PK\5\6", 4) == 0)
        return source_open_zip(path, o, s, err);
    if ((head[0] == 0 && head[1] == 0 && head[2] == 8) || (head[0] == 0x1f && head[1] == 0x8b))
        return source_open_idx(path, false, o, s, err);
    if (info->st_size > 0 && info->st_size % 3073 == 0)
        return source_open_cifar(path, false, o, s, err);
    return error_set(err, -EINVAL,
                     "\"%s\" is no folder, ZIP archive, packed data set, batch of CIFAR-10 or IDX "
                     "file of MNIST",
                     path);
}

int source_open(const char *path, const struct dataset_options *options, struct source *out,
                struct error *err)
{
    struct source s = {0};
    struct stat info;
    int rc;

    set_name(&s, path);
    if (stat(path, &info) < 0) {
        rc = -errno;
        return error_set(err, rc, "could not open \"%s\": %s", path, strerror(-rc));
    }
    rc = S_ISDIR(info.st_mode) ? open_what_is_there(path, options, &s, err)
                               : open_file(path, &info, options, &s, err);
    if (rc == 0 && options->labels && s.n_labels == 0)
        rc = error_set(err, -EINVAL, "the pictures in \"%s\" have no labels", path);
    if (rc < 0) {
        source_close(&s);
        return rc;
    }
    *out = s;
    return 0;
}

void source_close(struct source *s)
{
    if (s->ops)
        s->ops->close(s->data);
    for (int i = 0; s->label_names && i < s->n_labels; i++)
        free(s->label_names[i]);
    free(s->label_names);
    free(s->labels);
    *s = (struct source){0};
}

/* Reading on several threads. */
struct reading {
    const struct source *source;
    const struct dataset_options *options;
    uint8_t *pixels;
    size_t image_bytes;
    int first, n;
    bool *bad; /* [n] */
    pthread_mutex_t mutex;
    int n_done;
    int first_failed; /* the first, in order, that ends the reading; n: none */
    int rc;
    struct error err; /* of first_failed */
    struct error *last;
};

static void note_bad(struct reading *r, int i, int rc, const struct error *err)
{
    r->bad[i] = true;
    if (r->options->skip_bad && rc != -ENOMEM) {
        log_write(LOG_WARN, "event=skipped reason=%s", LOG_TEXT(err->text));
        *r->last = *err;
    } else if (i < r->first_failed) {
        r->first_failed = i;
        r->rc = rc;
        r->err = *err;
    }
}

static void read_task(void *arg, int i, int worker)
{
    struct reading *r = arg;
    struct error err = {""};
    bool over;
    int rc;

    pthread_mutex_lock(&r->mutex);
    over = i > r->first_failed || watch_stop(r->options->watch);
    pthread_mutex_unlock(&r->mutex);
    if (over)
        return;
    rc = r->source->ops->read(r->source, r->first + i, r->options,
                              r->pixels + (size_t)i * r->image_bytes, &err);
    pthread_mutex_lock(&r->mutex);
    r->n_done++;
    watch_progress(r->options->watch, "reading pictures", r->first + r->n_done, r->source->n);
    if (rc < 0)
        note_bad(r, i, rc, &err);
    pthread_mutex_unlock(&r->mutex);
}

int source_read(const struct source *s, int first, int n, const struct dataset_options *options,
                struct pool *pool, uint8_t *out, bool *bad, struct error *last, struct error *err)
{
    struct reading r = {.source = s,
                        .options = options,
                        .pixels = out,
                        .image_bytes = (size_t)options->side * (size_t)options->side * 3,
                        .first = first,
                        .n = n,
                        .bad = bad,
                        .mutex = PTHREAD_MUTEX_INITIALIZER,
                        .first_failed = n,
                        .last = last};

    memset(bad, 0, (size_t)n * sizeof(*bad));
    pool_run(pool, n, read_task, &r);
    if (watch_stop(options->watch))
        return error_set(err, -ECANCELED, "stopped with %d of %d pictures read", first + r.n_done,
                         s->n);
    if (r.first_failed < n)
        return error_set(err, r.rc, "%s", r.err.text);
    return 0;
}

static int fit(const uint8_t *rgb, int w, int h, enum picture_format format,
               const struct dataset_options *o, uint8_t *out, struct error *err)
{
    int rc;

    if ((o->width && w != o->width) || (o->height && h != o->height))
        return error_set(err, -EINVAL, "it is %dx%d, not %dx%d as all must be", w, h, o->width,
                         o->height);
    rc = resize_square(rgb, w, h, 3, o->crop, o->side, out, err);
    if (rc == 0 && o->tally) {
        int square = w < h ? w : h;

        if (o->crop > 0 && o->crop < square)
            square = o->crop;
        atomic_fetch_add(format == PICTURE_PNG    ? &o->tally->png
                         : format == PICTURE_JPEG ? &o->tally->jpeg
                                                  : &o->tally->raw,
                         1);
        atomic_fetch_add(&o->tally->resized, square != o->side);
    }
    return rc;
}

int source_fit(const uint8_t *rgb, int w, int h, const struct dataset_options *o, uint8_t *out,
               struct error *err)
{
    return fit(rgb, w, h, PICTURE_NONE, o, out, err);
}

int source_decode(const uint8_t *bytes, size_t n, const struct dataset_options *o, uint8_t *out,
                  struct error *err)
{
    enum picture_format format = picture_format_of(bytes, n);
    uint8_t *rgb = NULL;
    int w, h, rc = picture_decode(bytes, n, SIZE_MAX, &w, &h, &rgb, err);

    if (rc == 0)
        rc = fit(rgb, w, h, format, o, out, err);
    free(rgb);
    return rc;
}

int source_name_labels(struct source *s, int n, const char *const *names, struct error *err)
{
    s->label_names = calloc((size_t)n, sizeof(*s->label_names));
    s->n_labels = s->label_names ? n : 0;
    for (int i = 0; i < s->n_labels; i++) {
        s->label_names[i] = strdup(names[i]);
        if (!s->label_names[i])
            return error_set(err, -ENOMEM, "out of memory for labels");
    }
    return s->label_names ? 0 : error_set(err, -ENOMEM, "out of memory for labels");
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The different ones of n names, sorted, in place. */
static int keep_different(char **names, int n)
{
    int kept = 0;

    qsort(names, (size_t)n, sizeof(*names), compare_names);
    for (int i = 0; i < n; i++) {
        if (kept == 0 || strcmp(names[kept - 1], names[i]) != 0)
            names[kept++] = names[i];
    }
    return kept;
}

/* The folder's name of every picture, owned; -EINVAL where one is in none. */
static int take_folders(int n, char *const *names, size_t skip, char **out, struct error *err)
{
    for (int i = 0; i < n; i++) {
        const char *end = strchr(names[i] + skip, '/');

        if (!end)
            return error_set(err, -EINVAL,
                             "labels are folders, and picture \"%s\" is in none of them", names[i]);
        out[i] = strndup(names[i] + skip, (size_t)(end - names[i] - (ptrdiff_t)skip));
        if (!out[i])
            return error_set(err, -ENOMEM, "out of memory for labels");
    }
    return 0;
}

/* own: the folder of every picture; room: for as many pointers. */
static int number_folders(struct source *s, char *const *own, char **room, struct error *err)
{
    int n;

    memcpy(room, own, (size_t)s->n * sizeof(*own));
    n = keep_different(room, s->n);
    if (n > SOURCE_LABELS_MAX)
        return error_set(err, -EINVAL, "%d folders are more labels than %d", n, SOURCE_LABELS_MAX);
    for (int i = 0; i < s->n; i++) {
        char **found = bsearch(&own[i], room, (size_t)n, sizeof(*room), compare_names);

        s->labels[i] = (uint16_t)(found - room + 1);
    }
    return source_name_labels(s, n, (const char *const *)room, err);
}

int source_label_folders(struct source *s, char *const *names, size_t skip, struct error *err)
{
    char **own = calloc(2 * (size_t)s->n, sizeof(*own));
    int rc;

    s->labels = calloc((size_t)s->n, sizeof(*s->labels));
    rc = own && s->labels ? 0 : error_set(err, -ENOMEM, "out of memory for labels");
    if (rc == 0)
        rc = take_folders(s->n, names, skip, own, err);
    if (rc == 0)
        rc = number_folders(s, own, own + s->n, err);
    for (int i = 0; own && i < s->n; i++)
        free(own[i]);
    free(own);
    return rc;
}

int source_tell_others(const char *path, const struct folder *folder, struct error *err)
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
