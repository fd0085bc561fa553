#include "tools/eval/sets.h"
#include "engine/base/error.h"
#include "engine/base/pool.h"
#include "engine/device.h"
#include "model/safetensors.h"
#include "tools/eval/extractor.h"
#include "tools/eval/feature_network.h"
#include "tools/eval/statistics.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct sets {
    const struct sets_options *options;    /* borrowed */
    int side;                              /* px; 0: not known yet */
    const struct feature_network *network; /* NULL: not known yet */
    struct device *device;
    struct pool *pool;
    struct extractor *extractor; /* NULL: not needed yet */
    struct provenance known;     /* of the first file that says how it was made ... */
    const char *known_path;      /* ... and its path, borrowed; NULL: there is none */
};

int sets_check_names(const struct sets_options *options, struct error *err)
{
    const struct feature_network *network;
    enum feature_resize resize;
    int rc = options->features ? feature_network_parse(options->features, &network, err) : 0;

    return rc == 0 && options->resize ? feature_resize_parse(options->resize, &resize, err) : rc;
}

int sets_open(const struct sets_options *options, struct sets **out, struct error *err)
{
    struct sets *s = calloc(1, sizeof(*s));
    int rc;

    if (!s)
        return error_set(err, -ENOMEM, "out of memory for sets of pictures");
    s->options = options;
    s->side = options->side;
    rc = options->features ? feature_network_parse(options->features, &s->network, err) : 0;
    if (rc == 0)
        rc = device_open(options->device, options->n_threads, options->choices, &s->device, err);
    if (rc == 0)
        rc = pool_create(options->n_threads ? options->n_threads : pool_available_threads(),
                         &s->pool, err);
    if (rc < 0) {
        sets_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

void sets_close(struct sets *s)
{
    if (!s)
        return;
    extractor_destroy(s->extractor);
    device_close(s->device);
    pool_destroy(s->pool);
    free(s);
}

/* Whether what was made so can be compared with the files. */
static int check_known(const struct sets *s, const struct provenance *made, struct error *err)
{
    int rc = s->known_path ? provenance_compare(&s->known, made, err) : 0;

    if (rc < 0)
        error_prefix(err, "statistics \"%s\": ", s->known_path);
    return rc;
}

static int make_extractor(struct sets *s, struct error *err)
{
    struct extractor_options options = {.network = s->network,
                                        .weights = s->options->network,
                                        .side = s->side};
    const char *resize = s->options->resize;
    int rc;

    if (!resize && s->known_path)
        resize = s->known.resize;
    rc = resize ? feature_resize_parse(resize, &options.resize, err) : 0;
    if (rc < 0 && s->known_path)
        error_prefix(err, "statistics \"%s\": ", s->known_path);
    return rc < 0 ? rc : extractor_create(s->device, s->pool, &options, &s->extractor, err);
}

int sets_extractor(struct sets *s, struct extractor **out, struct error *err)
{
    struct provenance made;
    int rc = 0;

    if (!s->network)
        s->network = &feature_network_default;
    if (!s->extractor) {
        rc = make_extractor(s, err);
        if (rc < 0)
            return rc;
    }
    provenance_of(s->extractor, NULL, 0, &made);
    rc = check_known(s, &made, err); /* before anything is computed that nothing goes with */
    if (rc < 0)
        return rc;
    *out = s->extractor;
    return 0;
}

static int read_file(struct sets *s, const char *path, struct statistics **out, struct error *err)
{
    int rc = statistics_read(path, out, err);

    if (rc < 0)
        return rc;
    if (s->side == 0)
        s->side = (*out)->side;
    if (!s->network)
        s->network = (*out)->network;
    if ((*out)->network != s->network)
        return error_set(err, -EINVAL, "statistics \"%s\": of features of \"%s\", not \"%s\"", path,
                         (*out)->network->name, s->network->name);
    if ((*out)->side != s->side)
        return error_set(err, -EINVAL, "statistics \"%s\": of pictures of %d px, not %d", path,
                         (*out)->side, s->side);
    if (!s->known_path && (*out)->provenance.weights[0]) {
        s->known = (*out)->provenance;
        s->known_path = path;
    }
    rc = check_known(s, &(*out)->provenance, err);
    if (rc < 0)
        error_prefix(err, "statistics \"%s\" does not go with ", path);
    return rc;
}

static int read_pictures(struct sets *s, const char *path, struct statistics **out,
                         struct error *err)
{
    struct extractor *e;
    int rc = sets_extractor(s, &e, err);

    if (rc < 0)
        return rc;
    return statistics_of_folders(e, sets_pool(s), 1, &path, s->options->skip_bad, s->options->watch,
                                 out, err);
}

int sets_read(struct sets *s, int n, const char *const *paths, struct statistics **out,
              struct error *err)
{
    int rc = 0;

    memset(out, 0, (size_t)n * sizeof(*out));
    /* Files first: they tell the side. */
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < n && rc == 0; i++) {
            struct stat info;
            bool file = safetensors_begins(paths[i]);

            if (stat(paths[i], &info) < 0) {
                rc = -errno;
                error_set(err, rc, "could not look at \"%s\": %s", paths[i], strerror(-rc));
                break;
            }
            if (pass == 0 && file)
                rc = read_file(s, paths[i], &out[i], err);
            else if (pass == 1 && !file)
                rc = read_pictures(s, paths[i], &out[i], err);
        }
        if (s->side == 0)
            s->side = SETS_SIDE;
    }
    if (rc < 0) {
        for (int i = 0; i < n; i++) {
            statistics_destroy(out[i]);
            out[i] = NULL;
        }
    }
    return rc;
}

int sets_side(const struct sets *s)
{
    return s->side;
}

struct device *sets_device(const struct sets *s)
{
    return s->device;
}

struct pool *sets_pool(const struct sets *s)
{
    return s->pool;
}
