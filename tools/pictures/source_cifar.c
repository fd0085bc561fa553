/* CIFAR-10, binary version: records of a label and a picture of 32x32 px, red, green and blue one after the
 * other (Krizhevsky 2009, "Learning multiple layers of features from tiny images").
 */
#include "engine/base/error.h"
#include "engine/base/whole_file.h"
#include "tools/pictures/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 32, PIXELS = SIDE * SIDE, RECORD = 1 + 3 * PIXELS, LABELS = 10, BATCHES_MAX = 5 };

/* Of a batch, which has 10,000 pictures. */
enum { FILE_BYTES_MAX = 1 << 30 };

static const char *const label_names[LABELS] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                                "dog",      "frog",       "horse", "ship", "truck"};

struct batches {
    int n;
    uint8_t *bytes[BATCHES_MAX];
    int end[BATCHES_MAX]; /* number of the picture after its last */
};

static const uint8_t *find_record(const struct batches *b, int i)
{
    int k = 0;

    while (i >= b->end[k])
        k++;
    return b->bytes[k] + (size_t)(i - (k ? b->end[k - 1] : 0)) * RECORD;
}

static int read_picture(const struct source *s, int i, const struct dataset_options *o,
                        uint8_t *out, struct error *err)
{
    const uint8_t *planes = find_record(s->data, i) + 1;
    uint8_t rgb[3 * PIXELS];
    int rc;

    for (int e = 0; e < 3 * PIXELS; e++)
        rgb[e] = planes[e % 3 * PIXELS + e / 3];
    rc = source_fit(rgb, SIDE, SIDE, o, out, err);
    if (rc < 0)
        error_prefix(err, "picture %d of \"%s\": ", i, s->name);
    return rc;
}

static void close_batches(void *data)
{
    struct batches *b = data;

    for (int i = 0; i < b->n; i++)
        free(b->bytes[i]);
    free(b);
}

static const struct source_ops cifar_ops = {"cifar10", read_picture, close_batches};

static int add_batch(struct source *s, struct batches *b, const char *path, struct error *err)
{
    uint8_t *bytes;
    size_t size;
    int rc = whole_file_read(path, FILE_BYTES_MAX, &bytes, &size, err);

    if (rc < 0) {
        error_prefix(err, "batch \"%s\": ", path);
        return rc;
    }
    b->bytes[b->n] = bytes;
    s->n += (int)(size / RECORD);
    b->end[b->n++] = s->n;
    if (size == 0 || size % RECORD != 0)
        return error_set(err, -EINVAL,
                         "batch \"%s\": its %zu bytes are not records of %d, as those of CIFAR-10",
                         path, size, RECORD);
    return 0;
}

static int read_labels(struct source *s, const struct batches *b, struct error *err)
{
    s->labels = calloc((size_t)s->n, sizeof(*s->labels));
    if (!s->labels)
        return error_set(err, -ENOMEM, "out of memory for labels");
    for (int i = 0; i < s->n; i++) {
        uint8_t label = *find_record(b, i);

        if (label >= LABELS)
            return error_set(err, -EINVAL, "picture %d of \"%s\" has label %d, CIFAR-10 has %d", i,
                             s->name, label, LABELS);
        s->labels[i] = (uint16_t)(label + 1);
    }
    return source_name_labels(s, LABELS, label_names, err);
}

int source_open_cifar(const char *path, bool folder, const struct dataset_options *o,
                      struct source *s, struct error *err)
{
    struct batches *b = calloc(1, sizeof(*b));
    int n = folder && !o->test ? BATCHES_MAX : 1, rc = 0;

    if (!b)
        return error_set(err, -ENOMEM, "out of memory for \"%s\"", path);
    s->ops = &cifar_ops;
    s->data = b;
    s->side = SIDE;
    for (int i = 0; i < n && rc == 0; i++) {
        char *file;
        int used = !folder   ? asprintf(&file, "%s", path)
                   : o->test ? asprintf(&file, "%s/test_batch.bin", path)
                             : asprintf(&file, "%s/data_batch_%d.bin", path, i + 1);

        if (used < 0)
            return error_set(err, -ENOMEM, "out of memory for a path");
        rc = add_batch(s, b, file, err);
        free(file);
    }
    return rc < 0 ? rc : read_labels(s, b, err);
}
