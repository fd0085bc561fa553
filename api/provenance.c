#include "api/provenance.h"

#include "api/pictures/png_note.h"
#include "api/problem.h"
#include "api/request.h"
#include "api/seed.h"
#include "engine/base/json_memory.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

enum { TEXT_BYTES = 2048 };

static int read_name(const json_t *root, const char *key, char out[LIMITS_NAME_BYTES + 1])
{
    const json_t *value = json_object_get(root, key);
    size_t n = json_string_length(value);

    if (!json_is_string(value) || n == 0 || n > LIMITS_NAME_BYTES)
        return -EINVAL;
    memcpy(out, json_string_value(value), n + 1);
    return 0;
}

static int read_count(const json_t *root, const char *key, int *out)
{
    json_int_t value = json_integer_value(json_object_get(root, key));

    if (value < 1 || value > 1000000)
        return -EINVAL;
    *out = (int)value;
    return 0;
}

static int read_mix(const json_t *root, struct provenance *out)
{
    double mix = json_number_value(json_object_get(root, "mix"));

    if (!json_object_get(root, "seed_b"))
        return 0;
    if (!(mix > 0 && mix < 1))
        return -EINVAL;
    out->mix = (int)(mix * REQUEST_MIX_WHOLE + 0.5);
    return seed_from_json(json_object_get(root, "seed_b"), &out->seed_b);
}

static int read_label(const json_t *root, struct provenance *out)
{
    const json_t *value = json_object_get(root, "guidance");
    double guidance = json_number_value(value);

    if (!json_object_get(root, "label"))
        return 0;
    if (value && !(guidance > 0 && guidance * REQUEST_GUIDANCE_ONE <= REQUEST_GUIDANCE_MAX))
        return -EINVAL;
    if (value)
        out->guidance = (int)(guidance * REQUEST_GUIDANCE_ONE + 0.5);
    return read_count(root, "label", &out->label);
}

static int read_all(const json_t *root, struct provenance *out)
{
    int rc;

    memset(out, 0, sizeof(*out));
    rc = read_name(root, "model", out->model);
    if (rc == 0)
        rc = read_name(root, "checkpoint", out->checkpoint);
    if (rc == 0)
        rc = read_name(root, "sampler", out->sampler);
    if (rc == 0)
        rc = read_count(root, "nfe", &out->nfe);
    if (rc == 0)
        rc = seed_from_json(json_object_get(root, "seed"), &out->seed);
    if (rc == 0)
        rc = read_mix(root, out);
    if (rc == 0)
        rc = read_label(root, out);
    if (rc < 0)
        return rc;
    read_name(root, "determinism", out->determinism); /* older files have none */
    if (read_count(root, "nfe_done", &out->nfe_done) < 0 || out->nfe_done > out->nfe)
        out->nfe_done = out->nfe;
    return 0;
}

int provenance_read(const uint8_t *png, size_t size, struct provenance *out,
                    struct problem *problem)
{
    char text[TEXT_BYTES];
    json_error_t error;
    json_t *root;
    int rc = png_note_read(png, size, "softdiff:params", text, sizeof(text));

    if (rc == -EINVAL)
        return problem_set(problem, 422, "the body is not a PNG");
    if (rc < 0)
        return problem_set(problem, 422,
                           "the PNG has no text \"softdiff:params\": it was not drawn here, or "
                           "something has rewritten it");
    root = json_memory_load(text, strlen(text), JSON_REJECT_DUPLICATES, &error);
    if (!root && !*error.text)
        return problem_set(problem, 503, "out of memory");
    rc = root ? read_all(root, out) : -EINVAL;
    if (json_object_get(root, "restoration"))
        problem_set(problem, 422, "the PNG was restored from a picture, which is not in it");
    json_decref(root);
    if (problem->status)
        return -EINVAL;
    if (rc < 0)
        return problem_set(problem, 422,
                           "the text \"softdiff:params\" of the PNG is not as ours are");
    return 0;
}
