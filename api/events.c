#include "api/events.h"

#include "api/pictures/png.h"
#include "api/problem.h"
#include "api/response.h"
#include "api/seed.h"
#include "engine/base/error.h"
#include "engine/base/json_memory.h"

#include <errno.h>
#include <limits.h>
#include <jansson.h>
#include <nettle/base64.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int events_resume(const char *last_event_id)
{
    uint64_t step;

    if (!last_event_id || seed_from_text(last_event_id, strlen(last_event_id), &step) < 0 ||
        step > INT_MAX)
        return -1;
    return (int)step;
}

char *events_of_text(const char *event, int step, const char *json)
{
    char *text, id[32] = "";

    if (step >= 0)
        snprintf(id, sizeof(id), "id: %d\n", step);
    if (asprintf(&text, "event: %s\n%sdata: %s\n\n", event, id, json) < 0)
        return NULL;
    return text;
}

/* Takes json, NULL: no memory. */
static char *event_of(const char *event, int step, json_t *json)
{
    char *line = json_memory_dump(json, JSON_COMPACT | JSON_REAL_PRECISION(6));
    char *text = line ? events_of_text(event, step, line) : NULL;

    free(line);
    return text;
}

char *events_of_acceptance(const struct samples_response *r)
{
    json_t *json = json_pack("{s:s, s:s#, s:s, s:i, s:s, s:o, s:i, s:i}", "model", r->model,
                             "checkpoint", r->checkpoint, RESPONSE_DIGEST_CHARS, "sampler",
                             r->sampler, "nfe", r->nfe, "determinism", r->determinism, "seed",
                             seed_to_json(r->seed), "n", r->n, "steps", r->n * r->nfe);

    if (json)
        samples_response_add_mix(r, -1, json);
    if (json)
        samples_response_add_label(r, json);
    return event_of("accepted", 0, json);
}

char *events_of_place(int place)
{
    return event_of("queued", 0, json_pack("{s:i}", "queue_position", place));
}

char *events_of_progress(int step, int steps, double eta_ms)
{
    json_t *json = json_pack("{s:i, s:i}", "step", step, "steps", steps);

    if (json && eta_ms >= 0)
        json_object_set_new(json, "eta_ms", json_integer((json_int_t)(eta_ms + 0.5)));
    return event_of("progress", step, json);
}

static json_t *picture_to_json(const struct samples_response *r, const uint8_t *pixels)
{
    json_t *json = NULL;
    uint8_t *png;
    size_t size, n;
    char *text;

    if (png_encode(r->side_px, r->side_px, r->channels, pixels, NULL, 0, &png, &size, NULL) < 0)
        return NULL;
    n = BASE64_ENCODE_RAW_LENGTH(size);
    text = malloc(n);
    if (text) {
        base64_encode_raw(text, size, png);
        json = json_stringn_nocheck(text, n);
    }
    free(text);
    free(png);
    return json;
}

void events_add_preview(const struct samples_response *r, int i, int step, int nfe_done,
                        const uint8_t *x, const uint8_t *predicted, char **text)
{
    char *event =
        event_of("preview", step,
                 json_pack("{s:i, s:o, s:i, s:o, s:o}", "image", i, "seed",
                           seed_to_json(r->seed + (uint64_t)i), "nfe_done", nfe_done, "png",
                           picture_to_json(r, predicted), "x", picture_to_json(r, x)));
    size_t used = *text ? strlen(*text) : 0, size = event ? strlen(event) + 1 : 0;
    char *grown = event ? realloc(*text, used + size) : NULL;

    if (grown) {
        memcpy(grown + used, event, size);
        *text = grown;
    }
    free(event);
}

int events_of_images(const struct samples_response *r, char **out, struct error *err)
{
    uint8_t *json;
    size_t size;
    int rc = samples_response_encode(r, false, &json, &size, err);

    if (rc < 0)
        return rc;
    *out = events_of_text("completed", r->n * r->nfe, (char *)json);
    free(json);
    return *out ? 0 : error_set(err, -ENOMEM, "out of memory writing an answer");
}

char *events_of_problem(const struct problem *problem, const char *request_id)
{
    char *document = problem_to_json(problem, request_id);
    char *text = document ? events_of_text("failed", 0, document) : NULL;

    free(document);
    return text;
}
