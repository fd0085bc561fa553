/* Pictures in a ZIP archive. */
#include "api/pictures/picture.h"
#include "engine/base/error.h"
#include "engine/base/watch.h"
#include "tools/pictures/folder.h"
#include "tools/pictures/source.h"
#include "tools/pictures/zip_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 256 << 20 };

struct archive {
    struct zip_file *file;
    int *members; /* [n] those that are pictures */
    char **names; /* [n] theirs, of file */
};

static int read_picture(const struct source *s, int i, const struct dataset_options *o,
                        uint8_t *out, struct error *err)
{
    const struct archive *a = s->data;
    uint8_t *bytes = NULL;
    size_t n = 0;
    int rc;

    rc = zip_file_read(a->file, a->members[i], FILE_BYTES_MAX, &bytes, &n, err);
    if (rc == 0)
        rc = source_decode(bytes, n, o, out, err);
    if (rc < 0)
        error_prefix(err, "picture \"%s\" in \"%s\": ", a->names[i], s->name);
    free(bytes);
    return rc;
}

static void close_archive(void *data)
{
    struct archive *a = data;

    zip_file_close(a->file);
    free(a->members);
    free(a->names);
    free(a);
}

static const struct source_ops zip_ops = {"zip", read_picture, close_archive};

/* Fills the list of pictures; *others gets their counts, and those of what cannot be read. */
static int list_pictures(struct archive *a, const struct watch *watch, struct folder *others,
                         struct error *err)
{
    int n = zip_file_n(a->file);

    for (int i = 0; i < n; i++) {
        char *name = (char *)zip_file_name(a->file, i);
        uint8_t head[ZIP_HEAD_BYTES];
        size_t size = zip_file_head(a->file, i, head);
        enum picture_format format = size ? picture_format_of(head, size) : PICTURE_NONE;

        if (watch_stop(watch))
            return error_set(err, -ECANCELED, "stopped listing an archive");
        if (format > PICTURE_READ) {
            others->n_others[format]++;
        } else if (format != PICTURE_NONE || folder_is_called_picture(name)) {
            a->members[others->n] = i;
            a->names[others->n++] = name;
        }
    }
    return 0;
}

/* How long the folder is that all names begin with, with its '/'. */
static size_t common_folder(int n, char *const *names)
{
    const char *slash = strchr(names[0], '/');
    size_t length = 0;

    for (; slash; slash = strchr(slash + 1, '/')) {
        size_t longer = (size_t)(slash - names[0]) + 1;

        for (int i = 1; i < n; i++) {
            if (strncmp(names[0], names[i], longer) != 0)
                return length;
        }
        length = longer;
    }
    return length;
}

int source_open_zip(const char *path, const struct dataset_options *o, struct source *s,
                    struct error *err)
{
    struct archive *a = calloc(1, sizeof(*a));
    struct folder others = {0};
    size_t n;
    int rc;

    if (!a)
        return error_set(err, -ENOMEM, "out of memory for \"%s\"", path);
    s->ops = &zip_ops;
    s->data = a;
    rc = zip_file_open(path, &a->file, err);
    if (rc < 0)
        return rc;
    n = (size_t)zip_file_n(a->file) + 1;
    a->members = calloc(n, sizeof(*a->members));
    a->names = calloc(n, sizeof(*a->names));
    if (!a->members || !a->names)
        return error_set(err, -ENOMEM, "out of memory for \"%s\"", path);
    rc = list_pictures(a, o->watch, &others, err);
    if (rc == 0)
        rc = source_tell_others(path, &others, err);
    s->n = others.n;
    if (rc < 0 || !o->labels)
        return rc;
    return source_label_folders(s, a->names, common_folder(s->n, a->names), err);
}
