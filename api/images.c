#include "api/images.h"

#include "api/permalink.h"
#include "api/problem.h"
#include "api/response.h"
#include "api/seed.h"
#include "engine/base/error.h"
#include "engine/base/json_memory.h"

#include <errno.h>
#include <jansson.h>
#include <nettle/base64.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *base64_to_json(const struct images_png *png)
{
    size_t n = BASE64_ENCODE_RAW_LENGTH(png->size);
    char *text = malloc(n);
    json_t *json = NULL;

    if (text) {
        base64_encode_raw(text, png->size, png->bytes);
        json = json_stringn_nocheck(text, n);
    }
    free(text);
    return json;
}

/* New reference; NULL without memory. */
static json_t *image_to_json(const struct samples_response *r, const struct images_form *form,
                             int i, const struct images_png *png)
{
    json_t *json = json_pack("{s:o}", "seed", seed_to_json(r->seed + (uint64_t)i));
    char address[PERMALINK_BYTES];
    int rc = json ? 0 : -1;

    if (rc == 0 && form->format != REQUEST_FORMAT_URL)
        rc = json_object_set_new(json, "b64_json", base64_to_json(png));
    if (rc == 0 && form->format != REQUEST_FORMAT_BASE64) {
        permalink_write(r, i, address);
        rc = json_object_set_new(json, "url", json_sprintf("%s%s", form->origin, address));
    }
    if (rc == 0)
        return json;
    json_decref(json);
    return NULL;
}

static json_t *warnings_to_json(unsigned ignored)
{
    json_t *list = json_array();
    const char *name;

    for (int i = 0; i < 32; i++) {
        name = ignored & (1u << i) ? samples_request_ignored(i) : NULL;
        if (name)
            json_array_append_new(list, json_sprintf("%s is ignored: images follow from the model "
                                                     "and the seed alone",
                                                     name));
    }
    return list;
}

static json_t *answer_to_json(const struct samples_response *r, const struct images_form *form)
{
    json_t *root = json_pack("{s:I, s:s, s:o, s:o, s:o, s:s, s:i, s:s}", "created",
                             (json_int_t)form->created_s, "output_format", "png", "size",
                             json_sprintf("%dx%d", r->side_px, r->side_px), "model",
                             json_sprintf("%s@%.*s", r->model, PERMALINK_DIGEST_MIN, r->checkpoint),
                             "seed", seed_to_json(r->seed), "sampler", r->sampler, "nfe", r->nfe,
                             "determinism", r->determinism);

    if (root)
        samples_response_add_mix(r, -1, root);
    if (root)
        samples_response_add_label(r, root);
    if (root && form->ignored)
        json_object_set_new(root, "warnings", warnings_to_json(form->ignored));
    return root;
}

int images_response_encode(const struct samples_response *r, const struct images_form *form,
                           struct images_png *pngs, char **out, struct error *err)
{
    json_t *root = answer_to_json(r, form), *data = json_array();
    int rc = 0;

    json_object_set_new(root, "data", data);
    for (int i = 0; i < r->n && rc == 0; i++) {
        rc = samples_response_png(r, i, &pngs[i].bytes, &pngs[i].size, err);
        if (rc == 0 && json_array_append_new(data, image_to_json(r, form, i, &pngs[i])) < 0)
            rc = error_set(err, -ENOMEM, "out of memory writing an answer");
    }
    if (rc < 0) {
        json_memory_drop(root);
        return rc;
    }
    *out = json_memory_dump(root, JSON_COMPACT | JSON_REAL_PRECISION(6));
    return *out ? 0 : error_set(err, -ENOMEM, "out of memory writing an answer");
}

/* Problems */

int images_problem_status(int status)
{
    return status == 422 ? 400 : status;
}

static const char *type_of(int status)
{
    if (status == 401 || status == 403)
        return "authentication_error";
    if (status == 429)
        return "rate_limit_error";
    return status >= 500 ? "server_error" : "invalid_request_error";
}

static const char *code_of(const struct problem *p)
{
    if (p->status == 404)
        return "model_not_found";
    if (p->status == 401)
        return "invalid_api_key";
    if (p->status == 429)
        return "rate_limit_exceeded";
    if (p->status == 422)
        return "invalid_value";
    return p->status == 503 ? "overloaded" : NULL;
}

/* All that is wrong in one sentence: clients show nothing else. */
static json_t *message_of(const struct problem *p)
{
    char text[2048];
    size_t used = (size_t)snprintf(text, sizeof(text), "%s", p->detail);

    for (int i = 0; i < p->n_fields && used < sizeof(text); i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s %s: %s", i ? ";" : ":",
                                 p->fields[i].name, p->fields[i].detail);
    return json_string(text);
}

static json_t *error_to_json(const struct problem *p)
{
    return json_pack("{s:o, s:s, s:s?, s:s?}", "message", message_of(p), "type", type_of(p->status),
                     "param", p->n_fields ? p->fields[0].name : NULL, "code", code_of(p));
}

char *images_problem_to_json(const struct problem *p, const char *request_id)
{
    return json_memory_dump(json_pack("{s:o}", "error", error_to_json(p)), JSON_COMPACT);
}

char *images_problem_to_both(const struct problem *p, const char *request_id)
{
    char *document = problem_to_json(p, request_id);
    json_t *root = document ? json_memory_load(document, strlen(document), 0, NULL) : NULL;

    json_object_set_new(root, "error", error_to_json(p));
    free(document);
    return json_memory_dump(root, JSON_COMPACT);
}
