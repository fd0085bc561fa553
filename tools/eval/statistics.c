#include "tools/eval/statistics.h"
#include "engine/base/error.h"
#include "model/digest.h"
#include "model/safetensors.h"
#include "tools/eval/distance.h"
#include "tools/eval/extractor.h"
#include "tools/eval/feature_network.h"
#include "tools/pictures/dataset.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char metadata_key[] = "softdiff_statistics";

enum { FORMAT = 2 };

static int no_memory(struct error *err)
{
    return error_set(err, -ENOMEM, "out of memory for the statistics of pictures");
}

/* With room for all but the features. */
static int statistics_create(const struct feature_network *network, int n, int side,
                             struct statistics **out, struct error *err)
{
    struct statistics *s = calloc(1, sizeof(*s));
    size_t width = (size_t)network->n_features;

    if (!s)
        return no_memory(err);
    s->network = network;
    s->n = n;
    s->side = side;
    s->kernel = NAN;
    s->mean = malloc(width * sizeof(*s->mean));
    s->covariance = malloc(width * width * sizeof(*s->covariance));
    if (!s->mean || !s->covariance) {
        statistics_destroy(s);
        return no_memory(err);
    }
    *out = s;
    return 0;
}

void statistics_destroy(struct statistics *s)
{
    if (!s)
        return;
    free(s->mean);
    free(s->covariance);
    free(s->features);
    free(s);
}

size_t statistics_width(const struct statistics *s)
{
    return (size_t)s->network->n_features;
}

/* x: of n pictures, by e; tally: of them. */
static int statistics_of_features(const struct extractor *e, struct pool *pool,
                                  const struct watch *watch, int n, const float *x,
                                  const struct source_tally *tally, struct statistics **out,
                                  struct error *err)
{
    const struct feature_network *network = extractor_network(e);
    const int width = network->n_features;
    const size_t count = (size_t)n * (size_t)width;
    struct statistics *s = NULL;
    int rc;

    if (n < 2)
        return error_set(err, -EINVAL, "%d picture%s no covariance: 2 are the least", n,
                         n == 1 ? " has" : "s have");
    rc = statistics_create(network, n, extractor_side(e), &s, err);
    if (rc < 0)
        return rc;
    provenance_of(e, tally, n, &s->provenance);
    s->features = malloc(count * sizeof(*s->features));
    if (!s->features) {
        statistics_destroy(s);
        return no_memory(err);
    }
    for (size_t i = 0; i < count; i++)
        s->features[i] = (double)x[i];
    rc = distance_moments(pool, watch, s->features, n, width, s->mean, s->covariance, err);
    if (rc == 0)
        rc = distance_kernel_within(pool, watch, s->features, n, width, &s->kernel, err);
    if (rc < 0) {
        statistics_destroy(s);
        return rc;
    }
    *out = s;
    return 0;
}

int statistics_of_pixels(struct extractor *e, struct pool *pool, int n, const uint8_t *pixels,
                         const struct watch *watch, struct statistics **out, struct error *err)
{
    float *x = malloc((size_t)n * (size_t)extractor_network(e)->n_features * sizeof(*x));
    int rc = x ? extractor_compute(e, n, pixels, watch, x, err) : no_memory(err);

    if (rc == 0)
        rc = statistics_of_features(e, pool, watch, n, x, NULL, out, err);
    free(x);
    return rc;
}

/* Adds the features of a folder to x, which may move. */
static int add_folder(struct extractor *e, struct pool *pool, const char *folder, bool skip_bad,
                      const struct watch *watch, struct source_tally *tally, float **x, int *n,
                      struct error *err)
{
    const struct dataset_options options = {.side = extractor_side(e),
                                            .skip_bad = skip_bad,
                                            .watch = watch,
                                            .tally = tally};
    const size_t width = (size_t)extractor_network(e)->n_features;
    struct dataset *d;
    float *longer;
    int rc = dataset_load(folder, &options, pool, &d, err);

    if (rc < 0)
        return rc;
    longer = realloc(*x, ((size_t)*n + (size_t)d->n) * width * sizeof(*longer));
    if (!longer) {
        dataset_close(d);
        return no_memory(err);
    }
    *x = longer;
    rc = extractor_compute(e, d->n, d->pixels, watch, *x + (size_t)*n * width, err);
    *n += d->n;
    dataset_close(d);
    return rc;
}

int statistics_of_folders(struct extractor *e, struct pool *pool, int n_folders,
                          const char *const *folders, bool skip_bad, const struct watch *watch,
                          struct statistics **out, struct error *err)
{
    struct source_tally tally = {0};
    float *x = NULL;
    int n = 0, rc = 0;

    for (int i = 0; i < n_folders && rc == 0; i++)
        rc = add_folder(e, pool, folders[i], skip_bad, watch, &tally, &x, &n, err);
    if (rc == 0) {
        rc = statistics_of_features(e, pool, watch, n, x, &tally, out, err);
        if (rc == -EINVAL)
            error_prefix(err, "folder \"%s\": ", folders[0]);
    }
    free(x);
    return rc;
}

int statistics_compare(const struct statistics *a, const struct statistics *b, struct error *err)
{
    if (a->network != b->network)
        return error_set(err, -EINVAL, "features of \"%s\" and of \"%s\" cannot be compared",
                         a->network->name, b->network->name);
    if (a->side != b->side)
        return error_set(err, -EINVAL, "pictures of %d px and of %d px cannot be compared", a->side,
                         b->side);
    return provenance_compare(&a->provenance, &b->provenance, err);
}

int statistics_digest(const struct statistics *s, char out[STATISTICS_DIGEST], struct error *err)
{
    const int numbers[3] = {s->n, s->side, s->features != NULL};
    const size_t width = statistics_width(s);
    struct digest *d = digest_begin();
    char text[DIGEST_TEXT];

    if (!d)
        return no_memory(err);
    digest_add(d, numbers, sizeof(numbers));
    digest_add(d, s->mean, width * sizeof(*s->mean));
    digest_add(d, s->covariance, width * width * sizeof(*s->covariance));
    provenance_add(&s->provenance, d);
    digest_end(d, text);
    memcpy(out, text, STATISTICS_DIGEST - 1);
    out[STATISTICS_DIGEST - 1] = '\0';
    return 0;
}

/* The metadata, the caller's; NULL without memory. What was read of format 1 stays of it. */
static char *describe(const struct statistics *s, struct error *err)
{
    bool known = s->provenance.weights[0] != '\0';
    json_t *json = json_pack("{s:i, s:s, s:i, s:i}", "format", known ? FORMAT : 1, "network",
                             s->network->name, "side", s->side, "n", s->n);
    char *text = NULL;

    if (json && (!known || provenance_write(&s->provenance, json, err) == 0))
        text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text;
}

int statistics_write(const char *path, const struct statistics *s, bool small, struct error *err)
{
    const size_t width = statistics_width(s), count = (size_t)s->n * width;
    bool whole = s->features && !small;
    char *text = describe(s, err);
    float *features = whole ? malloc(count * sizeof(*features)) : NULL;
    int rc;

    if (!text || (whole && !features)) {
        rc = no_memory(err);
    } else {
        const char *const metadata[][2] = {{metadata_key, text}};
        const struct safetensors_tensor tensors[] = {
            {"mean", SAFETENSORS_F64, 1, {width}, s->mean},
            {"covariance", SAFETENSORS_F64, 2, {width, width}, s->covariance},
            {"kernel", SAFETENSORS_F64, 1, {1}, &s->kernel},
            {"features", SAFETENSORS_F32, 2, {(size_t)s->n, width}, features},
        };

        for (size_t i = 0; features && i < count; i++)
            features[i] = (float)s->features[i]; /* they came as float32 */
        rc = safetensors_write(path, whole ? 4 : 2, tensors, 1, metadata, err);
    }
    free(features);
    free(text);
    return rc;
}

/* The metadata of a file of ours. */
static int read_metadata(const struct safetensors *file, const struct feature_network **network,
                         int *n, int *side, struct provenance *made, struct error *err)
{
    const char *text = safetensors_metadata(file, metadata_key), *name;
    json_t *json = text ? json_loads(text, 0, NULL) : NULL;
    int format, rc = 0;

    if (!json || json_unpack(json, "{s:i, s:s, s:i, s:i}", "format", &format, "network", &name,
                             "side", side, "n", n) < 0)
        rc = error_set(err, -EINVAL, "not the statistics of pictures");
    else if (format < 1 || format > FORMAT)
        rc = error_set(err, -EINVAL, "of format %d, and this softdiff-eval knows 1 to %d", format,
                       FORMAT);
    else if (*n < 2 || *side < 1)
        rc = error_set(err, -EINVAL, "statistics of %d pictures of %d px", *n, *side);
    else
        rc = feature_network_parse(name, network, err);
    if (rc == 0 && format > 1)
        rc = provenance_read(json, made, err);
    json_decref(json);
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

int statistics_read(const char *path, struct statistics **out, struct error *err)
{
    struct safetensors *file;
    struct statistics *s = NULL;
    const struct feature_network *network;
    struct provenance made = {0};
    size_t width = 0;
    int n, side, rc = safetensors_open(path, &file, err);

    if (rc < 0)
        return rc;
    rc = read_metadata(file, &network, &n, &side, &made, err);
    if (rc == 0)
        rc = statistics_create(network, n, side, &s, err);
    if (rc == 0) {
        s->provenance = made;
        width = statistics_width(s);
        rc = read_tensor(file, "mean", width, s->mean, err);
    }
    if (rc == 0)
        rc = read_tensor(file, "covariance", width * width, s->covariance, err);
    if (rc == 0 && safetensors_find(file, "features")) {
        const struct safetensors_tensor *tensor = safetensors_find(file, "features");

        s->features = malloc(safetensors_count(tensor) * sizeof(*s->features) + 1);
        rc = s->features ? read_tensor(file, "features", (size_t)n * width, s->features, err)
                         : no_memory(err);
        if (rc == 0)
            rc = read_tensor(file, "kernel", 1, &s->kernel, err);
    }
    safetensors_close(file);
    if (rc < 0) {
        error_prefix(err, "statistics \"%s\": ", path);
        statistics_destroy(s);
        return rc;
    }
    *out = s;
    return 0;
}
