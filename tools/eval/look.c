#include "tools/eval/look.h"
#include "engine/base/error.h"
#include "model/safetensors.h"
#include "tools/eval/feature_network.h"
#include "tools/eval/statistics.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char metadata_key[] = "softdiff_look";

enum { FORMAT = 1 };

void look_fini(struct look *look)
{
    statistics_destroy(look->statistics);
    free(look->second);
    *look = (struct look){0};
}

static char *describe(const struct look *look, const char *second)
{
    const struct statistics *s = look->statistics;
    json_t *json = json_pack("{s:i, s:s, s:s, s:i, s:i, s:f, s:f, s:f}", "format", FORMAT,
                             "network", s->network->name, "second", second, "side", s->side, "n",
                             look->n, "kernel", s->kernel, "second_kernel", look->second_within,
                             "clipped", look->appearance.clipped);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

    json_decref(json);
    return text;
}

int look_write(const char *path, const struct look *look, const char *second, int second_width,
               struct error *err)
{
    const size_t n = (size_t)look->n, d = statistics_width(look->statistics);
    const size_t bands = (size_t)look->appearance.n_bands;
    float *features = malloc(n * d * sizeof(*features));
    char *text = describe(look, second);
    int rc;

    if (!features || !text) {
        rc = error_set(err, -ENOMEM, "out of memory for what is known of %d pictures", look->n);
    } else {
        const char *const metadata[][2] = {{metadata_key, text}};
        const struct safetensors_tensor tensors[] = {
            {"features", SAFETENSORS_F32, 2, {n, d}, features},
            {"second", SAFETENSORS_F64, 2, {n, (size_t)second_width}, look->second},
            {"luma", SAFETENSORS_F64, 1, {bands}, look->appearance.luma},
            {"chroma", SAFETENSORS_F64, 1, {bands}, look->appearance.chroma},
            {"mean", SAFETENSORS_F64, 1, {GIST_FEATURES}, look->mean},
            {"deviation", SAFETENSORS_F64, 1, {GIST_FEATURES}, look->deviation},
        };

        for (size_t i = 0; i < n * d; i++)
            features[i] = (float)look->statistics->features[i]; /* they came as float32 */
        rc = safetensors_write(path, sizeof(tensors) / sizeof(tensors[0]), tensors, 1, metadata,
                               err);
    }
    free(features);
    free(text);
    return rc;
}

static int read_tensor(const struct safetensors *file, const char *name, size_t count, double *out,
                       struct error *err)
{
    const struct safetensors_tensor *tensor = safetensors_find(file, name);

    if (!tensor || safetensors_count(tensor) != count)
        return error_set(err, -EINVAL, "tensor \"%s\" is missing or of another size", name);
    return safetensors_read_doubles(tensor, out, err);
}

/* The document, and room for what it tells of. */
static int read_document(const struct safetensors *file, const char *second, int side,
                         struct look *out, struct error *err)
{
    const char *text = safetensors_metadata(file, metadata_key), *network, *name;
    json_t *json = text ? json_loads(text, 0, NULL) : NULL;
    struct statistics *s = out->statistics;
    int format, rc = 0;

    if (!json ||
        json_unpack(json, "{s:i, s:s, s:s, s:i, s:i, s:f, s:f, s:f}", "format", &format, "network",
                    &network, "second", &name, "side", &s->side, "n", &out->n, "kernel", &s->kernel,
                    "second_kernel", &out->second_within, "clipped", &out->appearance.clipped) < 0)
        rc = error_set(err, -EINVAL, "not what --keep writes");
    else if (format != FORMAT || out->n < 2)
        rc = error_set(err, -EINVAL, "of format %d, of %d pictures", format, out->n);
    else if (strcmp(name, second) != 0)
        rc = error_set(err, -EINVAL, "its second features are of \"%s\", not \"%s\"", name, second);
    else if (s->side != side)
        rc = error_set(err, -EINVAL, "its pictures are of %d px, not %d", s->side, side);
    else
        rc = feature_network_parse(network, &s->network, err);
    json_decref(json);
    s->n = out->n;
    return rc;
}

static int read_tensors(const struct safetensors *file, int second_width, struct look *out,
                        struct error *err)
{
    const struct safetensors_tensor *luma = safetensors_find(file, "luma");
    const size_t bands = luma ? safetensors_count(luma) : 0;
    const size_t count = (size_t)out->n * statistics_width(out->statistics);
    const size_t second = (size_t)out->n * (size_t)second_width;
    int rc;

    if (bands < 1 || bands > GAUSSIAN_BANDS_MAX)
        return error_set(err, -EINVAL, "tensor \"luma\" is missing or of another size");
    out->appearance.n_bands = (int)bands;
    out->statistics->features = malloc(count * sizeof(double));
    out->second = malloc(second * sizeof(double));
    rc = out->statistics->features && out->second
             ? read_tensor(file, "features", count, out->statistics->features, err)
             : error_set(err, -ENOMEM, "out of memory for %d pictures", out->n);
    if (rc == 0)
        rc = read_tensor(file, "second", second, out->second, err);
    if (rc == 0)
        rc = read_tensor(file, "luma", bands, out->appearance.luma, err);
    if (rc == 0)
        rc = read_tensor(file, "chroma", bands, out->appearance.chroma, err);
    if (rc == 0)
        rc = read_tensor(file, "mean", GIST_FEATURES, out->mean, err);
    return rc < 0 ? rc : read_tensor(file, "deviation", GIST_FEATURES, out->deviation, err);
}

int look_read(const char *path, const char *second, int second_width, int side, struct look *out,
              struct error *err)
{
    struct look look = {.statistics = calloc(1, sizeof(*look.statistics))};
    struct safetensors *file = NULL;
    int rc = look.statistics
                 ? safetensors_open(path, &file, err)
                 : error_set(err, -ENOMEM, "out of memory for what is known of pictures");

    if (rc == 0)
        rc = read_document(file, second, side, &look, err);
    if (rc == 0)
        rc = read_tensors(file, second_width, &look, err);
    safetensors_close(file);
    if (rc < 0) {
        error_prefix(err, "\"%s\": ", path);
        look_fini(&look);
        return rc;
    }
    *out = look;
    return 0;
}
