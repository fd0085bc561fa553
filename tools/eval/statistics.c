#include "tools/eval/statistics.h"
#include "engine/base/error.h"
#include "model/digest.h"
#include "model/safetensors.h"
#include "tools/eval/distance.h"
#include "tools/eval/extractor.h"
#include "tools/eval/squeezenet.h"
#include "tools/pictures/dataset.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char metadata_key[] = "softdiff_statistics", network_name[] = "squeezenet11";

enum { FORMAT = 1, WIDTH = SQUEEZENET_FEATURES };

static int no_memory(struct error *err)
{
    return error_set(err, -ENOMEM, "out of memory for the statistics of pictures");
}

/* With room for all but the features. */
static int statistics_create(int n, int side, struct statistics **out, struct error *err)
{
    struct statistics *s = calloc(1, sizeof(*s));

    if (!s)
        return no_memory(err);
    s->n = n;
    s->side = side;
    s->kernel = NAN;
    s->mean = malloc(WIDTH * sizeof(*s->mean));
    s->covariance = malloc(WIDTH * WIDTH * sizeof(*s->covariance));
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

/* x [n,WIDTH]. */
static int statistics_of_features(struct pool *pool, const struct watch *watch, int n, int side,
                                  const float *x, struct statistics **out, struct error *err)
{
    const size_t count = (size_t)n * WIDTH;
    struct statistics *s = NULL;
    int rc;

    if (n < 2)
        return error_set(err, -EINVAL, "%d picture%s no covariance: 2 are the least", n,
                         n == 1 ? " has" : "s have");
    rc = statistics_create(n, side, &s, err);
    if (rc < 0)
        return rc;
    s->features = malloc(count * sizeof(*s->features));
    if (!s->features) {
        statistics_destroy(s);
        return no_memory(err);
    }
    for (size_t i = 0; i < count; i++)
        s->features[i] = (double)x[i];
    rc = distance_moments(pool, watch, s->features, n, WIDTH, s->mean, s->covariance, err);
    if (rc == 0)
        rc = distance_kernel_within(pool, watch, s->features, n, WIDTH, &s->kernel, err);
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
    float *x = malloc((size_t)n * WIDTH * sizeof(*x));
    int rc = x ? extractor_compute(e, n, pixels, watch, x, err) : no_memory(err);

    if (rc == 0)
        rc = statistics_of_features(pool, watch, n, extractor_side(e), x, out, err);
    free(x);
    return rc;
}

/* Adds the features of a folder to x, which may move. */
static int add_folder(struct extractor *e, struct pool *pool, const char *folder, bool skip_bad,
                      const struct watch *watch, float **x, int *n, struct error *err)
{
    const struct dataset_options options = {.side = extractor_side(e),
                                            .skip_bad = skip_bad,
                                            .watch = watch};
    struct dataset *d;
    float *longer;
    int rc = dataset_open(folder, &options, pool, &d, err);

    if (rc < 0)
        return rc;
    longer = realloc(*x, ((size_t)*n + (size_t)d->n) * WIDTH * sizeof(*longer));
    if (!longer) {
        dataset_close(d);
        return no_memory(err);
    }
    *x = longer;
    rc = extractor_compute(e, d->n, d->pixels, watch, *x + (size_t)*n * WIDTH, err);
    *n += d->n;
    dataset_close(d);
    return rc;
}

int statistics_of_folders(struct extractor *e, struct pool *pool, int n_folders,
                          const char *const *folders, bool skip_bad, const struct watch *watch,
                          struct statistics **out, struct error *err)
{
    float *x = NULL;
    int n = 0, rc = 0;

    for (int i = 0; i < n_folders && rc == 0; i++)
        rc = add_folder(e, pool, folders[i], skip_bad, watch, &x, &n, err);
    if (rc == 0) {
        rc = statistics_of_features(pool, watch, n, extractor_side(e), x, out, err);
        if (rc == -EINVAL)
            error_prefix(err, "folder \"%s\": ", folders[0]);
    }
    free(x);
    return rc;
}

int statistics_digest(const struct statistics *s, char out[STATISTICS_DIGEST], struct error *err)
{
    const int numbers[3] = {s->n, s->side, s->features != NULL};
    struct digest *d = digest_begin();
    char text[DIGEST_TEXT];

    if (!d)
        return no_memory(err);
    digest_add(d, numbers, sizeof(numbers));
    digest_add(d, s->mean, WIDTH * sizeof(*s->mean));
    digest_add(d, s->covariance, WIDTH * WIDTH * sizeof(*s->covariance));
    digest_end(d, text);
    memcpy(out, text, STATISTICS_DIGEST - 1);
    out[STATISTICS_DIGEST - 1] = '\0';
    return 0;
}

int statistics_write(const char *path, const struct statistics *s, bool small, struct error *err)
{
    const size_t count = (size_t)s->n * WIDTH;
    bool whole = s->features && !small;
    json_t *json = json_pack("{s:i, s:s, s:i, s:i}", "format", FORMAT, "network", network_name,
                             "side", s->side, "n", s->n);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    float *features = whole ? malloc(count * sizeof(*features)) : NULL;
    int rc;

    if (!text || (whole && !features)) {
        rc = no_memory(err);
    } else {
        const char *const metadata[][2] = {{metadata_key, text}};
        const struct safetensors_tensor tensors[] = {
            {"mean", SAFETENSORS_F64, 1, {WIDTH}, s->mean},
            {"covariance", SAFETENSORS_F64, 2, {WIDTH, WIDTH}, s->covariance},
            {"kernel", SAFETENSORS_F64, 1, {1}, &s->kernel},
            {"features", SAFETENSORS_F32, 2, {(size_t)s->n, WIDTH}, features},
        };

        for (size_t i = 0; features && i < count; i++)
            features[i] = (float)s->features[i]; /* they came as float32 */
        rc = safetensors_write(path, whole ? 4 : 2, tensors, 1, metadata, err);
    }
    free(features);
    free(text);
    json_decref(json);
    return rc;
}

/* The metadata of a file of ours. */
static int read_metadata(const struct safetensors *file, int *n, int *side, struct error *err)
{
    const char *text = safetensors_metadata(file, metadata_key), *network;
    json_t *json = text ? json_loads(text, 0, NULL) : NULL;
    int format, rc = 0;

    if (!json || json_unpack(json, "{s:i, s:s, s:i, s:i}", "format", &format, "network", &network,
                             "side", side, "n", n) < 0)
        rc = error_set(err, -EINVAL, "not the statistics of pictures");
    else if (format != FORMAT || strcmp(network, network_name) != 0)
        rc = error_set(err, -EINVAL,
                       "statistics of format %d with network \"%s\", not %d with "
                       "\"%s\"",
                       format, network, FORMAT, network_name);
    else if (*n < 2 || *side < 1)
        rc = error_set(err, -EINVAL, "statistics of %d pictures of %d px", *n, *side);
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
    int n, side, rc = safetensors_open(path, &file, err);

    if (rc < 0)
        return rc;
    rc = read_metadata(file, &n, &side, err);
    if (rc == 0)
        rc = statistics_create(n, side, &s, err);
    if (rc == 0)
        rc = read_tensor(file, "mean", WIDTH, s->mean, err);
    if (rc == 0)
        rc = read_tensor(file, "covariance", WIDTH * WIDTH, s->covariance, err);
    if (rc == 0 && safetensors_find(file, "features")) {
        const struct safetensors_tensor *tensor = safetensors_find(file, "features");

        s->features = malloc(safetensors_count(tensor) * sizeof(*s->features) + 1);
        rc = s->features ? read_tensor(file, "features", (size_t)n * WIDTH, s->features, err)
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
