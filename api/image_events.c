#include "api/image_events.h"

#include "api/images.h"
#include "api/permalink.h"
#include "api/pictures/png.h"
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
#include <time.h>

/* What both events of an image say. png is freed. New reference; NULL without memory. */
static json_t *event_to_json(const struct samples_response *r, const char *type, int i,
                             uint8_t *png, size_t size)
{
    size_t n = BASE64_ENCODE_RAW_LENGTH(size);
    char *text = malloc(n);
    json_t *json = NULL;

    if (text) {
        base64_encode_raw(text, size, png);
        json = json_pack("{s:s, s:s%, s:I, s:o, s:s, s:s, s:s, s:i, s:o}", "type", type, "b64_json",
                         text, n, "created_at", (json_int_t)time(NULL), "size",
                         json_sprintf("%dx%d", r->side_px, r->side_px), "quality", "auto",
                         "background", "opaque", "output_format", "png", "image", i, "seed",
                         seed_to_json(r->seed + (uint64_t)i));
    }
    free(text);
    free(png);
    return json;
}

/* Takes json, NULL: no memory. */
static char *event_of(const char *type, json_t *json)
{
    char *line = json_memory_dump(json, JSON_COMPACT), *text = NULL;

    if (line && asprintf(&text, "event: %s\ndata: %s\n\n", type, line) < 0)
        text = NULL;
    free(line);
    return text;
}

/* Takes event, NULL: no memory. 0, or -ENOMEM with *text as it was. */
static int append(char **text, char *event)
{
    size_t used = *text ? strlen(*text) : 0, size = event ? strlen(event) + 1 : 0;
    char *grown = event ? realloc(*text, used + size) : NULL;

    if (grown) {
        memcpy(grown + used, event, size);
        *text = grown;
    }
    free(event);
    return grown ? 0 : -ENOMEM;
}

void image_events_add_partial(const struct samples_response *r, int i, int nfe_done, int number,
                              const uint8_t *x, const uint8_t *predicted, char **text)
{
    static const char type[] = "image_generation.partial_image";
    json_t *json;
    uint8_t *png;
    size_t size;

    if (png_encode(r->side_px, r->side_px, r->channels, predicted, NULL, 0, &png, &size, NULL) < 0)
        return;
    json = event_to_json(r, type, i, png, size);
    if (json)
        json_object_set_new(json, "partial_image_index", json_integer(number));
    append(text, event_of(type, json));
}

int image_events_of_images(const struct samples_response *r, char **out, struct error *err)
{
    static const char type[] = "image_generation.completed";
    char address[PERMALINK_BYTES], *text = NULL;
    uint8_t *png;
    size_t size;
    json_t *json;
    int rc = 0;

    for (int i = 0; i < r->n && rc == 0; i++) {
        rc = samples_response_png(r, i, &png, &size, err);
        if (rc < 0)
            break;
        json = event_to_json(r, type, i, png, size);
        permalink_write(r, i, address);
        /* Nothing is paid for by tokens here. */
        if (json && json_object_update_new(json, json_pack("{s:s, s:{s:i, s:i, s:i, s:{s:i, s:i}}}",
                                                           "url", address, "usage", "input_tokens",
                                                           0, "output_tokens", 0, "total_tokens", 0,
                                                           "input_tokens_details", "text_tokens", 0,
                                                           "image_tokens", 0)) < 0) {
            json_decref(json);
            json = NULL;
        }
        rc = append(&text, event_of(type, json));
        if (rc < 0)
            error_set(err, rc, "out of memory writing an answer");
    }
    if (rc < 0)
        free(text);
    else
        *out = text;
    return rc;
}

char *image_events_of_problem(const struct problem *problem, const char *request_id)
{
    char *document = images_problem_to_json(problem, request_id), *text = NULL;

    if (document && asprintf(&text, "event: error\ndata: %s\n\n", document) < 0)
        text = NULL;
    free(document);
    return text;
}
