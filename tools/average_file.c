#include "tools/average_file.h"
#include "engine/base/error.h"
#include "model/json_fields.h"
#include "model/safetensors.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char metadata_key[] = "softdiff_average";

enum { FORMAT = 1 };

struct average_file {
    struct safetensors *file;
    struct average_mark mark;
    const struct safetensors_tensor *tensors[UPDATE_AVERAGES_MAX];
};

char *average_file_path(const char *folder, uint64_t step)
{
    char *path;

    return asprintf(&path, "%s/average-%06" PRIu64 ".safetensors", folder, step) < 0 ? NULL : path;
}

static int compare_steps(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

int average_file_list(const char *folder, uint64_t **steps, struct error *err)
{
    DIR *dir = opendir(folder);
    uint64_t *list = NULL;
    struct dirent *entry;
    int n = 0;

    if (!dir)
        return error_set(err, -errno, "could not open folder \"%s\": %s", folder, strerror(errno));
    while ((entry = readdir(dir))) {
        uint64_t step, *longer;
        int end = 0;

        if (sscanf(entry->d_name, "average-%" SCNu64 ".safetensors%n", &step, &end) != 1 ||
            end == 0 || entry->d_name[end])
            continue;
        longer = realloc(list, ((size_t)n + 1) * sizeof(*list));
        if (!longer) {
            free(list);
            closedir(dir);
            return error_set(err, -ENOMEM, "out of memory for the averages of a training");
        }
        list = longer;
        list[n++] = step;
    }
    closedir(dir);
    if (n > 0)
        qsort(list, (size_t)n, sizeof(*list), compare_steps);
    *steps = list;
    return n;
}

int average_file_write(const char *path, const struct average_mark *mark, size_t count,
                       float *const *values, struct error *err)
{
    struct safetensors_tensor tensors[UPDATE_AVERAGES_MAX] = {0};
    json_t *json =
        json_pack("{s:i, s:I, s:I, s:o, s:s}", "format", FORMAT, "step", (json_int_t)mark->step,
                  "images", (json_int_t)mark->images, "lengths",
                  json_from_doubles(mark->lengths, mark->n), "start_digest", mark->start_digest);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    const char *metadata[1][2] = {{metadata_key, text}};
    int rc;

    json_decref(json);
    if (!text)
        return error_set(err, -ENOMEM, "out of memory writing \"%s\"", path);
    for (int i = 0; i < mark->n; i++) {
        tensors[i].name = update_average_names[i];
        tensors[i].dtype = SAFETENSORS_F32;
        tensors[i].n_dims = 1;
        tensors[i].dims[0] = count;
        tensors[i].data = values[i];
    }
    rc = safetensors_write(path, mark->n, tensors, 1, metadata, err);
    free(text);
    return rc;
}

static int read_mark(const char *text, struct average_mark *out, struct error *err)
{
    json_t *json = text ? json_loads(text, 0, NULL) : NULL, *lengths;
    json_int_t step, images;
    const char *digest;
    int format, rc = 0;

    if (!json || json_unpack(json, "{s:i, s:I, s:I, s:o, s:s !}", "format", &format, "step", &step,
                             "images", &images, "lengths", &lengths, "start_digest", &digest) < 0)
        rc = error_set(err, -EINVAL, "it has no averages of a training");
    else if (format != FORMAT || step < 1 || images < 0 || json_array_size(lengths) < 1 ||
             json_array_size(lengths) > UPDATE_AVERAGES_MAX ||
             strlen(digest) >= sizeof(out->start_digest))
        rc = error_set(err, -EINVAL, "what it says of itself is out of range");
    if (rc == 0) {
        *out = (struct average_mark){.step = (uint64_t)step,
                                     .images = (uint64_t)images,
                                     .n = (int)json_array_size(lengths)};
        snprintf(out->start_digest, sizeof(out->start_digest), "%s", digest);
        for (int i = 0; i < out->n; i++)
            out->lengths[i] = json_number_value(json_array_get(lengths, (size_t)i));
    }
    json_decref(json);
    return rc;
}

static int read_file(struct average_file *f, size_t count, struct error *err)
{
    int rc = read_mark(safetensors_metadata(f->file, metadata_key), &f->mark, err);

    for (int i = 0; i < f->mark.n && rc == 0; i++) {
        f->tensors[i] = safetensors_find(f->file, update_average_names[i]);
        if (!f->tensors[i] || safetensors_count(f->tensors[i]) != count)
            rc = error_set(err, -EINVAL, "it has no \"%s\" of %zu numbers", update_average_names[i],
                           count);
    }
    return rc;
}

int average_file_open(const char *path, size_t count, struct average_file **out, struct error *err)
{
    struct average_file *f = calloc(1, sizeof(*f));
    int rc;

    if (!f)
        return error_set(err, -ENOMEM, "out of memory opening \"%s\"", path);
    rc = safetensors_open(path, &f->file, err);
    if (rc == 0) {
        rc = read_file(f, count, err);
        if (rc < 0)
            error_prefix(err, "\"%s\": ", path);
    }
    if (rc < 0) {
        average_file_close(f);
        return rc;
    }
    *out = f;
    return 0;
}

void average_file_close(struct average_file *f)
{
    if (!f)
        return;
    if (f->file)
        safetensors_close(f->file);
    free(f);
}

const struct average_mark *average_file_mark(const struct average_file *f)
{
    return &f->mark;
}

int average_file_add(const struct average_file *f, int average, double factor, double *sum,
                     float *scratch, struct error *err)
{
    size_t count = safetensors_count(f->tensors[average]);
    int rc = safetensors_read_floats(f->tensors[average], scratch, err);

    for (size_t i = 0; i < count && rc == 0; i++)
        sum[i] += factor * (double)scratch[i];
    return rc;
}
