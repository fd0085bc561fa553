/* Pictures in a folder. */
#include "engine/base/error.h"
#include "engine/base/whole_file.h"
#include "tools/pictures/folder.h"
#include "tools/pictures/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 256 << 20 };

static int read_picture(const struct source *s, int i, const struct dataset_options *o,
                        uint8_t *out, struct error *err)
{
    const struct folder *folder = s->data;
    uint8_t *bytes = NULL;
    size_t n = 0;
    int rc;

    rc = whole_file_read(folder->paths[i], FILE_BYTES_MAX, &bytes, &n, err);
    if (rc == 0)
        rc = source_decode(bytes, n, o, out, err);
    if (rc < 0)
        error_prefix(err, "picture \"%s\": ", folder->paths[i]);
    free(bytes);
    return rc;
}

static void close_folder(void *data)
{
    struct folder *folder = data;

    folder_close(folder);
    free(folder);
}

static const struct source_ops folder_ops = {"folder", read_picture, close_folder};

int source_open_folder(const char *path, const struct dataset_options *o, struct source *s,
                       struct error *err)
{
    struct folder *folder = calloc(1, sizeof(*folder));
    size_t skip = strlen(path) + 1; /* paths begin with it and a '/' */
    int rc;

    if (!folder)
        return error_set(err, -ENOMEM, "out of memory for the pictures in \"%s\"", path);
    s->ops = &folder_ops;
    s->data = folder;
    rc = folder_open(path, o->skip_bad, o->watch, folder, err);
    if (rc == 0)
        rc = source_tell_others(path, folder, err);
    s->n = folder->n;
    s->n_skipped = folder->n_skipped;
    return rc == 0 && o->labels ? source_label_folders(s, folder->paths, skip, err) : rc;
}
