/* MNIST, IDX files: big-endian sizes, then bytes (LeCun, Cortes, Burges: the MNIST database). Those of
 * pictures have three sizes (how many, height, width) and are grey, those of labels have one.
 */
#include "engine/base/error.h"
#include "engine/base/whole_file.h"
#include "tools/pictures/inflate.h"
#include "tools/pictures/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LABELS = 10, SIDE_MAX = 1024, IMAGES = 3, NAMES = 1 }; /* sizes of either */

static const size_t file_bytes_max = (size_t)1 << 30;

static const char *const label_names[LABELS] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};

struct idx {
    uint8_t *bytes; /* the whole file */
    const uint8_t *values;
    int sizes[IMAGES];
};

/* Reads a file, maybe one of gzip. */
static int read_file(const char *path, uint8_t **bytes, size_t *size, struct error *err)
{
    uint8_t *packed;
    int rc = whole_file_read(path, file_bytes_max, bytes, size, err);

    if (rc == 0 && *size > 2 && (*bytes)[0] == 0x1f && (*bytes)[1] == 0x8b) {
        packed = *bytes;
        *bytes = NULL;
        rc = inflate_gzip(packed, *size, file_bytes_max, bytes, size, err);
        free(packed);
    }
    return rc;
}

/* Takes apart a file with so many sizes; its bytes are owned by *out, on success. */
static int read_idx(const char *path, int n_sizes, struct idx *out, struct error *err)
{
    struct idx idx = {.sizes = {1, 1, 1}};
    size_t size = 0, head = 4 + 4 * (size_t)n_sizes, count = 1;
    int rc = read_file(path, &idx.bytes, &size, err);

    if (rc == 0 && (size < head || idx.bytes[0] || idx.bytes[1] || idx.bytes[2] != 8 ||
                    idx.bytes[3] != n_sizes))
        rc = error_set(err, -EINVAL, "it is no IDX file of %s",
                       n_sizes == IMAGES ? "pictures" : "labels");
    for (int i = 0; rc == 0 && i < n_sizes; i++) {
        const uint8_t *b = idx.bytes + 4 + 4 * i;
        uint32_t value = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];

        if (value == 0 || value > (i ? SIDE_MAX : file_bytes_max))
            rc = error_set(err, -EINVAL, "its sizes are out of range");
        idx.sizes[i] = (int)value;
        count *= value; /* at most 2^50 */
    }
    if (rc == 0 && size - head != count)
        rc = error_set(err, -EINVAL, "it has %zu bytes of data, not %zu", size - head, count);
    if (rc < 0) {
        error_prefix(err, "\"%s\": ", path);
        free(idx.bytes);
        return rc;
    }
    idx.values = idx.bytes + head;
    *out = idx;
    return 0;
}

static int read_picture(const struct source *s, int i, const struct dataset_options *o,
                        uint8_t *out, struct error *err)
{
    const struct idx *images = s->data;
    int h = images->sizes[1], w = images->sizes[2], rc;
    size_t pixels = (size_t)h * (size_t)w;
    const uint8_t *grey = images->values + (size_t)i * pixels;
    uint8_t *rgb = malloc(3 * pixels);

    if (!rgb)
        return error_set(err, -ENOMEM, "out of memory for a picture");
    for (size_t e = 0; e < 3 * pixels; e++)
        rgb[e] = grey[e / 3];
    rc = source_fit(rgb, w, h, o, out, err);
    if (rc < 0)
        error_prefix(err, "picture %d of \"%s\": ", i, s->name);
    free(rgb);
    return rc;
}

static void close_images(void *data)
{
    struct idx *images = data;

    free(images->bytes);
    free(images);
}

static const struct source_ops idx_ops = {"mnist", read_picture, close_images};

static int read_labels(struct source *s, const char *path, struct error *err)
{
    struct idx labels;
    int rc = read_idx(path, NAMES, &labels, err);

    if (rc < 0)
        return rc;
    s->labels = calloc((size_t)s->n, sizeof(*s->labels));
    if (!s->labels)
        rc = error_set(err, -ENOMEM, "out of memory for labels");
    else if (labels.sizes[0] != s->n)
        rc = error_set(err, -EINVAL, "\"%s\" has %d labels for %d pictures", path, labels.sizes[0],
                       s->n);
    for (int i = 0; rc == 0 && i < s->n; i++) {
        s->labels[i] = (uint16_t)(labels.values[i] + 1);
        if (labels.values[i] >= LABELS)
            rc = error_set(err, -EINVAL, "\"%s\": label %d is %d, MNIST has %d", path, i,
                           labels.values[i], LABELS);
    }
    free(labels.bytes);
    return rc < 0 ? rc : source_name_labels(s, LABELS, label_names, err);
}

/* "<folder>/<part>-<what>-ubyte", or that with .gz if it is there. */
static char *name_file(const char *folder, const struct dataset_options *o, const char *what)
{
    char *path;
    int n = asprintf(&path, "%s/%s-%s-ubyte.gz", folder, o->test ? "t10k" : "train", what);

    if (n < 0)
        return NULL;
    if (access(path, F_OK) < 0)
        path[n - 3] = '\0';
    return path;
}

/* The labels of a file of pictures that is called ...images-idx3..., or NULL where there are none. */
static char *name_labels_beside(const char *path)
{
    static const char images[] = "images-idx3", labels[] = "labels-idx1";
    const char *found = strstr(path, images), *next = found;
    char *beside;

    while (next) { /* the last */
        found = next;
        next = strstr(next + 1, images);
    }
    beside = found ? strdup(path) : NULL;
    if (!beside)
        return NULL;
    for (size_t i = 0; i < sizeof(labels) - 1; i++)
        beside[(size_t)(found - path) + i] = labels[i];
    if (access(beside, F_OK) == 0)
        return beside;
    free(beside);
    return NULL;
}

int source_open_idx(const char *path, bool folder, const struct dataset_options *o,
                    struct source *s, struct error *err)
{
    struct idx *images = calloc(1, sizeof(*images));
    char *file = folder ? name_file(path, o, "images-idx3") : strdup(path);
    char *labels = folder ? name_file(path, o, "labels-idx1") : name_labels_beside(path);
    int rc = images && file ? 0 : error_set(err, -ENOMEM, "out of memory for \"%s\"", path);

    if (rc == 0)
        rc = read_idx(file, IMAGES, images, err);
    if (rc == 0) {
        s->ops = &idx_ops;
        s->data = images;
        s->n = images->sizes[0];
        s->side = images->sizes[1] == images->sizes[2] ? images->sizes[1] : 0;
        rc = labels ? read_labels(s, labels, err) : 0;
    } else {
        free(images);
    }
    free(file);
    free(labels);
    return rc;
}
