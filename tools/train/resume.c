#include "tools/train/resume.h"
#include "engine/base/error.h"
#include "model/digest.h"
#include "model/safetensors.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char metadata_key[] = "softdiff_training", digest_key[] = "sha256";

enum { FORMAT_WITHOUT_DIGEST = 1, FORMAT = 2 };

struct resume {
    struct safetensors *file;
    struct resume_counters counters;
    struct recipe recipe;
};

/* The document of the metadata as text, owned by the caller; NULL without memory. */
static char *describe(const struct resume_counters *c, const struct recipe *recipe)
{
    char digest[17];
    json_t *json;
    char *text;

    snprintf(digest, sizeof(digest), "%016" PRIx64, c->data_digest);
    json = json_pack("{s:i, s:I, s:f, s:i, s:s, s:s, s:O, s:I, s:i, s:i}", "format", FORMAT, "step",
                     (json_int_t)c->step, "seconds", c->seconds, "n_images", c->n_images,
                     "data_digest", digest, "start_digest", c->start_digest, "recipe", recipe->json,
                     "n_skipped", (json_int_t)c->n_skipped, "n_skipped_last", c->n_skipped_last,
                     "n_ranks", c->n_ranks);
    text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

/* Of the document and of the tensors' bytes. 0 or -ENOMEM. */
static int sum_up(const char *document, int n, const struct safetensors_tensor *const *tensors,
                  char out[DIGEST_TEXT], struct error *err)
{
    struct digest *d = digest_begin();

    if (!d)
        return error_set(err, -ENOMEM, "out of memory for a digest");
    digest_add(d, document, strlen(document) + 1);
    for (int i = 0; i < n; i++)
        digest_add(d, tensors[i]->data,
                   safetensors_count(tensors[i]) * safetensors_dtype_size(tensors[i]->dtype));
    digest_end(d, out);
    return 0;
}

int resume_write(const char *path, const struct resume_counters *counters,
                 const struct recipe *recipe, const struct optimizer_state *state,
                 struct error *err)
{
    struct safetensors_tensor tensors[OPTIMIZER_ARRAYS_MAX] = {0};
    const struct safetensors_tensor *list[OPTIMIZER_ARRAYS_MAX];
    struct optimizer_array arrays[OPTIMIZER_ARRAYS_MAX];
    int n = optimizer_state_list(state, arrays);
    char *text = describe(counters, recipe), digest[DIGEST_TEXT];
    const char *metadata[2][2] = {{metadata_key, text}, {digest_key, digest}};
    int rc;

    if (!text)
        return error_set(err, -ENOMEM, "out of memory writing \"%s\"", path);
    for (int i = 0; i < n; i++) {
        tensors[i].name = arrays[i].file_name;
        tensors[i].dtype = SAFETENSORS_F32;
        tensors[i].n_dims = 1;
        tensors[i].dims[0] = state->n;
        tensors[i].data = arrays[i].values;
        list[i] = &tensors[i];
    }
    rc = sum_up(text, n, list, digest, err);
    if (rc == 0)
        rc = safetensors_write(path, n, tensors, 2, metadata, err);
    free(text);
    return rc;
}

/* Everything but the recipe. */
static int parse_counters(json_t *json, struct resume_counters *c, int *format, json_t **recipe,
                          struct error *err)
{
    const char *digest, *start;
    json_error_t json_err;
    json_int_t step, n_skipped = 0;
    char *end;

    /* What is optional is not in the states of older programs. */
    if (json_unpack_ex(json, &json_err, JSON_STRICT,
                       "{s:i, s:I, s:F, s:i, s:s, s:s, s:o, s?I, s?i, s?i}", "format", format,
                       "step", &step, "seconds", &c->seconds, "n_images", &c->n_images,
                       "data_digest", &digest, "start_digest", &start, "recipe", recipe,
                       "n_skipped", &n_skipped, "n_skipped_last", &c->n_skipped_last, "n_ranks",
                       &c->n_ranks) < 0)
        return error_set(err, -EINVAL, "its metadata is wrong: %s", json_err.text);
    if (*format != FORMAT && *format != FORMAT_WITHOUT_DIGEST)
        return error_set(err, -EINVAL, "its format is %d, not %d", *format, FORMAT);
    c->data_digest = strtoull(digest, &end, 16);
    if (step < 0 || n_skipped < 0 || c->n_skipped_last < 0 || c->n_ranks < 0 || *end ||
        strlen(start) >= sizeof(c->start_digest))
        return error_set(err, -EINVAL, "its counters are out of range");
    c->step = (uint64_t)step;
    c->n_skipped = (uint64_t)n_skipped;
    snprintf(c->start_digest, sizeof(c->start_digest), "%s", start);
    return 0;
}

/* Whether the file is as it was written. */
static int check_digest(const struct resume *r, const char *document, int format, struct error *err)
{
    const char *said = safetensors_metadata(r->file, digest_key);
    const struct safetensors_tensor *list[OPTIMIZER_ARRAYS_MAX];
    int n = safetensors_n(r->file), rc;
    char digest[DIGEST_TEXT];

    if (format == FORMAT_WITHOUT_DIGEST && !said)
        return 0;
    if (n > OPTIMIZER_ARRAYS_MAX)
        return error_set(err, -EINVAL, "it has more than %d arrays", OPTIMIZER_ARRAYS_MAX);
    for (int i = 0; i < n; i++) /* in the order that they were written in */
        list[i] = safetensors_at(r->file, i);
    rc = sum_up(document, n, list, digest, err);
    if (rc == 0 && (!said || strcmp(said, digest) != 0))
        rc = error_set(err, -EINVAL, "it is damaged: its SHA-256 is not what it says");
    return rc;
}

static int parse(struct resume *r, struct error *err)
{
    const char *text = safetensors_metadata(r->file, metadata_key);
    json_t *json = text ? json_loads(text, 0, NULL) : NULL, *recipe;
    char *recipe_text = NULL;
    int format, rc;

    if (!json)
        return error_set(err, -EINVAL, "it is not the resume state of a training");
    rc = parse_counters(json, &r->counters, &format, &recipe, err);
    if (rc == 0)
        rc = check_digest(r, text, format, err);
    if (rc == 0) {
        recipe_text = json_dumps(recipe, JSON_COMPACT);
        rc = recipe_text ? recipe_parse(recipe_text, &r->recipe, err)
                         : error_set(err, -ENOMEM, "out of memory");
    }
    free(recipe_text);
    json_decref(json);
    return rc;
}

int resume_open(const char *path, struct resume **out, struct error *err)
{
    struct resume *r = calloc(1, sizeof(*r));
    int rc;

    if (!r)
        return error_set(err, -ENOMEM, "out of memory opening \"%s\"", path);
    rc = safetensors_open(path, &r->file, err);
    if (rc < 0)
        goto fail;
    rc = parse(r, err);
    if (rc < 0) {
        error_prefix(err, "cannot resume from \"%s\": ", path);
        goto fail;
    }
    *out = r;
    return 0;

fail:
    resume_close(r);
    return rc;
}

void resume_close(struct resume *r)
{
    if (!r)
        return;
    if (r->file)
        safetensors_close(r->file);
    recipe_fini(&r->recipe);
    free(r);
}

const struct resume_counters *resume_counters(const struct resume *r)
{
    return &r->counters;
}

const struct recipe *resume_recipe(const struct resume *r)
{
    return &r->recipe;
}

int resume_read(const struct resume *r, const struct optimizer_state *state, struct error *err)
{
    struct optimizer_array arrays[OPTIMIZER_ARRAYS_MAX];
    int n = optimizer_state_list(state, arrays);

    for (int i = 0; i < n; i++) {
        const struct safetensors_tensor *tensor = safetensors_find(r->file, arrays[i].file_name);
        int rc;

        if (!tensor || tensor->dtype != SAFETENSORS_F32 || safetensors_count(tensor) != state->n)
            return error_set(err, -EINVAL, "the resume state has no \"%s\" with %zu values",
                             arrays[i].file_name, state->n);
        rc = safetensors_read_floats(tensor, arrays[i].values, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}
