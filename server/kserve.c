#include "server/kserve.h"

#include "api/kserve_request.h"
#include "api/limits.h"
#include "api/problem.h"
#include "api/response.h"
#include "engine/base/json_memory.h"
#include "server/daemon.h"
#include "server/engine_model.h"
#include "server/exchange.h"
#include "server/models.h"
#include "server/selection.h"

#include <errno.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define MODELS_PATH "/v2/models/"
static const char versions_path[] = "/versions/";

/* Takes json, NULL: no memory. */
static void respond(struct exchange *x, int status, json_t *json)
{
    exchange_respond_json(x, status, json_memory_dump(json, JSON_COMPACT));
}

void kserve_name_model(const struct exchange *x, char out[KSERVE_MODEL_BYTES])
{
    const char *name = exchange_path(x) + strlen(MODELS_PATH), *version;
    size_t n = strcspn(name, "/");
    int used;

    if (strncmp(name + n, versions_path, sizeof(versions_path) - 1) == 0) {
        version = name + n + sizeof(versions_path) - 1;
        used = snprintf(out, KSERVE_MODEL_BYTES, "%.*s@%.*s", (int)n, name,
                        (int)strcspn(version, "/"), version);
    } else {
        used = snprintf(out, KSERVE_MODEL_BYTES, "%.*s", (int)n, name);
    }
    if (used >= KSERVE_MODEL_BYTES)
        *out = '\0';
}

/* NULL: answered. */
static const struct engine_model *find(struct daemon *d, struct exchange *x)
{
    struct problem problem = {0};
    char name[KSERVE_MODEL_BYTES];
    struct engine_model *m;

    kserve_name_model(x, name);
    if (!*name)
        problem_set(&problem, 404, "there is no such model");
    else if (selection_find_model(d->models, name, &m, &problem) == 0)
        return m;
    exchange_respond_problem(x, &problem);
    return NULL;
}

void kserve_server(struct daemon *d, struct exchange *x)
{
    respond(x, 200,
            json_pack("{s:s, s:s, s:[s, s, s]}", "name", "softdiffd", "version", SOFTDIFF_VERSION,
                      "extensions", "binary_tensor_data", "model_repository", "statistics"));
}

void kserve_live(struct daemon *d, struct exchange *x)
{
    const char *state = daemon_state(d);
    bool live = strcmp(state, "stalled") != 0 && strcmp(state, "failed") != 0;

    respond(x, live ? 200 : 503, json_pack("{s:b}", "live", live));
}

void kserve_ready(struct daemon *d, struct exchange *x)
{
    bool ready = strcmp(daemon_state(d), "ready") == 0;

    respond(x, ready ? 200 : 503, json_pack("{s:b}", "ready", ready));
}

void kserve_model_ready(struct daemon *d, struct exchange *x)
{
    const struct engine_model *m = find(d, x);
    bool ready = m && !atomic_load(&m->unhealthy);

    if (m)
        respond(x, ready ? 200 : 503, json_pack("{s:s, s:b}", "name", m->name, "ready", ready));
}

void kserve_model(struct daemon *d, struct exchange *x)
{
    const struct engine_model *m = find(d, x);

    if (!m)
        return;
    respond(x, 200,
            json_pack("{s:s, s:[s#], s:s, s:[{s:s, s:s, s:[i]}, {s:s, s:s, s:[i]}], "
                      "s:[{s:s, s:s, s:[i, i, i, i]}, {s:s, s:s, s:[i]}]}",
                      "name", m->name, "versions", m->digest, RESPONSE_DIGEST_CHARS, "platform",
                      "softdiff", "inputs", "name", "SEED", "datatype", "UINT64", "shape", -1,
                      "name", "NFE", "datatype", "INT32", "shape", 1, "outputs", "name", "IMAGE",
                      "datatype", "UINT8", "shape", -1, m->side_px, m->side_px, m->channels, "name",
                      "PNG", "datatype", "BYTES", "shape", -1));
}

/* Statistics */

static json_t *times(uint64_t n, double ms)
{
    return json_pack("{s:I, s:I}", "count", (json_int_t)n, "ns", (json_int_t)(ms * 1e6));
}

static json_t *stats_of(const struct engine_model *m)
{
    const struct engine_model_counts *c = &m->counts;

    return json_pack("{s:s, s:s#, s:I, s:I, s:I, s:{s:o, s:o, s:o, s:o, s:o}, s:[]}", "name",
                     m->name, "version", m->digest, RESPONSE_DIGEST_CHARS, "last_inference",
                     (json_int_t)c->last_s * 1000, "inference_count", (json_int_t)c->n_images,
                     "execution_count", (json_int_t)c->n_ok, "inference_stats", "success",
                     times(c->n_ok, c->ok_ms), "fail", times(c->n_failed, c->failed_ms), "queue",
                     times(c->n_ok, c->queue_ms), "compute_infer", times(c->n_ok, c->engine_ms),
                     "compute_output", times(c->n_ok, c->encode_ms), "batch_stats");
}

void kserve_model_stats(struct daemon *d, struct exchange *x)
{
    const struct engine_model *m = find(d, x);

    if (m)
        respond(x, 200, json_pack("{s:[o]}", "model_stats", stats_of(m)));
}

void kserve_stats(struct daemon *d, struct exchange *x)
{
    json_t *list = json_array();

    for (int i = 0; i < models_count(d->models); i++)
        json_array_append_new(list, stats_of(models_at(d->models, i)));
    respond(x, 200, json_pack("{s:o}", "model_stats", list));
}

/* The repository */

static json_t *row_of(const json_t *model)
{
    const char *state = json_string_value(json_object_get(model, "state"));
    const char *checkpoint = json_string_value(json_object_get(model, "checkpoint"));
    const char *error = json_string_value(json_object_get(model, "error"));
    char version[RESPONSE_DIGEST_CHARS + 1];

    snprintf(version, sizeof(version), "%s", checkpoint ? checkpoint : "");
    return json_pack("{s:O, s:s, s:s, s:s}", "name", json_object_get(model, "name"), "version",
                     version, "state",
                     state && strcmp(state, "loaded") == 0 ? "READY" : "UNAVAILABLE", "reason",
                     error ? error : "");
}

/* {"ready": true}: those alone that are served. Other members are passed over, as Triton does. */
static int read_ready(const struct exchange *x, bool *out, struct problem *problem)
{
    size_t size;
    const char *body = exchange_body(x, &size);
    const json_t *value;
    json_t *root;

    *out = false;
    if (size == 0)
        return 0;
    root = kserve_json_read(body, size, problem);
    if (!root)
        return -EINVAL;
    value = json_object_get(root, "ready");
    *out = json_is_true(value);
    if (value && !json_is_boolean(value))
        problem_set(problem, 400, "ready must be true or false");
    json_decref(root);
    return problem->status ? -EINVAL : 0;
}

void kserve_index(struct daemon *d, struct exchange *x)
{
    json_t *models, *list, *model;
    struct problem problem = {0};
    bool ready;
    size_t i;

    if (read_ready(x, &ready, &problem) < 0) {
        exchange_respond_problem(x, &problem);
        return;
    }
    models = models_to_json(d->models);
    list = json_array();
    json_array_foreach(models, i, model)
    {
        const char *state = json_string_value(json_object_get(model, "state"));

        if (!ready || (state && strcmp(state, "loaded") == 0))
            json_array_append_new(list, row_of(model));
    }
    respond(x, 200, list);
    json_decref(models);
}
