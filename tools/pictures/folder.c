#include "tools/pictures/folder.h"
#include "engine/base/error.h"
#include "engine/base/log.h"
#include "engine/base/watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEPTH_MAX = 32 };

struct walk {
    struct folder *folder;
    int room; /* of its paths */
    bool skip_bad;
    const struct watch *watch;
    struct stat inside[DEPTH_MAX]; /* the folders on the way */
};

/* Takes path, also on failure. */
static int add(struct walk *w, char *path, struct error *err)
{
    struct folder *f = w->folder;

    if (f->n == w->room) {
        int room = w->room ? 2 * w->room : 1024;
        char **paths = realloc(f->paths, (size_t)room * sizeof(*paths));

        if (!paths) {
            free(path);
            return error_set(err, -ENOMEM, "out of memory for the names of pictures");
        }
        f->paths = paths;
        w->room = room;
    }
    f->paths[f->n++] = path;
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

bool folder_is_called_picture(const char *path)
{
    static const char *const suffixes[] = {".png", ".jpg", ".jpeg"};
    const char *dot = strrchr(path, '.');

    for (int i = 0; dot && i < 3; i++) {
        if (strcasecmp(dot, suffixes[i]) == 0)
            return true;
    }
    return false;
}

/* Of a file that may be opened, else PICTURE_NONE. */
static enum picture_format format_of(const char *path)
{
    uint8_t head[PICTURE_HEAD_BYTES];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t n = fd < 0 ? 0 : read(fd, head, sizeof(head));

    if (fd >= 0)
        close(fd);
    return n > 0 ? picture_format_of(head, (size_t)n) : PICTURE_NONE;
}

/* Takes path, also on failure. */
static int look_at_file(struct walk *w, char *path, struct error *err)
{
    enum picture_format format = format_of(path);

    if (format > PICTURE_READ)
        w->folder->n_others[format]++;
    else if (format != PICTURE_NONE || folder_is_called_picture(path))
        return add(w, path, err);
    free(path);
    return 0;
}

/* A failure to look at something, which may be passed over. */
static int note_bad(struct walk *w, int rc, struct error *err)
{
    if (!w->skip_bad || rc == -ENOMEM || rc == -ECANCELED)
        return rc;
    log_write(LOG_WARN, "event=skipped reason=%s", LOG_TEXT(err->text));
    w->folder->n_skipped++;
    return 0;
}

static int walk_folder(struct walk *w, const char *path, int depth, struct error *err);

/* An entry of a folder, `depth` of them deep. Takes path. */
static int look_at(struct walk *w, char *path, int depth, struct error *err)
{
    struct stat info;
    int rc = 0;

    if (stat(path, &info) < 0) {
        rc = -errno;
        error_set(err, rc, "could not look at \"%s\": %s", path, strerror(-rc));
    } else if (S_ISREG(info.st_mode)) {
        return look_at_file(w, path, err);
    } else if (S_ISDIR(info.st_mode)) {
        rc = walk_folder(w, path, depth + 1, err);
    }
    free(path);
    return rc < 0 ? note_bad(w, rc, err) : 0;
}

/* Notes where the walk is; -ELOOP where it has come back. */
static int enter(struct walk *w, int fd, const char *path, int depth, struct error *err)
{
    struct stat *here;

    if (depth == DEPTH_MAX)
        return error_set(err, -EINVAL, "folder \"%s\" is too deep", path);
    here = &w->inside[depth];
    if (fstat(fd, here) < 0)
        return error_set(err, -errno, "could not look at \"%s\": %s", path, strerror(errno));
    for (int i = 0; i < depth; i++) {
        if (w->inside[i].st_ino == here->st_ino && w->inside[i].st_dev == here->st_dev)
            return error_set(err, -ELOOP, "link \"%s\" leads back to a folder that it is in", path);
    }
    return 0;
}

static int walk_folder(struct walk *w, const char *path, int depth, struct error *err)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    int rc;

    if (!dir) {
        rc = -errno;
        return error_set(err, rc, "could not open folder \"%s\": %s", path, strerror(-rc));
    }
    rc = enter(w, dirfd(dir), path, depth, err);
    while (rc == 0 && (entry = readdir(dir))) {
        char *name;

        if (entry->d_name[0] == '.')
            continue;
        if (watch_stop(w->watch))
            rc = error_set(err, -ECANCELED, "stopped listing \"%s\"", path);
        else if (asprintf(&name, "%s/%s", path, entry->d_name) < 0)
            rc = error_set(err, -ENOMEM, "out of memory listing \"%s\"", path);
        else
            rc = look_at(w, name, depth, err);
    }
    closedir(dir);
    return rc;
}

int folder_open(const char *path, bool skip_bad, const struct watch *watch, struct folder *out,
                struct error *err)
{
    struct walk w = {.folder = out, .skip_bad = skip_bad, .watch = watch};
    int rc;

    *out = (struct folder){0};
    rc = walk_folder(&w, path, 0, err);
    if (rc < 0) {
        folder_close(out);
        return rc;
    }
    if (out->n > 0)
        qsort(out->paths, (size_t)out->n, sizeof(*out->paths), compare);
    return 0;
}

void folder_close(struct folder *f)
{
    for (int i = 0; i < f->n; i++)
        free(f->paths[i]);
    free(f->paths);
    *f = (struct folder){0};
}

int folder_describe_others(const struct folder *f, char *text, size_t size)
{
    size_t used = 0;
    int n = 0;

    text[0] = '\0';
    for (int i = PICTURE_READ + 1; i < PICTURE_FORMATS; i++) {
        if (f->n_others[i] == 0)
            continue;
        used += (size_t)snprintf(text + used, size - used, "%s%d %s", n ? ", " : "", f->n_others[i],
                                 picture_format_name((enum picture_format)i));
        if (used >= size)
            used = size - 1;
        n += f->n_others[i];
    }
    return n;
}
