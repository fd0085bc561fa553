#include "api/kserve_response.h"

#include "api/problem.h"
#include "api/response.h"
#include "api/text_stream.h"
#include "engine/base/error.h"
#include "engine/base/json_memory.h"

#include <errno.h>
#include <jansson.h>
#include <nettle/base64.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_BYTES = 4 }; /* of a byte as JSON, with its comma */

/* Room for so many bytes more; NULL without memory. */
static char *grow(struct kserve_piece *p, size_t size)
{
    char *grown = realloc(p->data, p->size + size);

    if (grown)
        p->data = grown;
    return grown ? grown + p->size : NULL;
}

/* Pixels as numbers with commas between. */
static int add_numbers(const uint8_t *pixels, size_t n, struct kserve_piece *p)
{
    char *at = grow(p, n * NUMBER_BYTES), *start = at;

    if (!at)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        unsigned value = pixels[i];

        if (i > 0)
            *at++ = ',';
        if (value >= 100)
            *at++ = (char)('0' + value / 100);
        if (value >= 10)
            *at++ = (char)('0' + value / 10 % 10);
        *at++ = (char)('0' + value % 10);
    }
    p->size += (size_t)(at - start);
    return 0;
}

static int add_bytes(const void *bytes, size_t n, struct kserve_piece *p)
{
    char *at = grow(p, n);

    if (!at)
        return -ENOMEM;
    memcpy(at, bytes, n);
    p->size += n;
    return 0;
}

/* A BYTES element: its length and it. */
static int add_element(const uint8_t *bytes, size_t n, struct kserve_piece *p)
{
    const uint8_t length[4] = {(uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16),
                               (uint8_t)(n >> 24)};
    int rc = add_bytes(length, sizeof(length), p);

    return rc < 0 ? rc : add_bytes(bytes, n, p);
}

static int add_text(const uint8_t *bytes, size_t n, bool first, struct kserve_piece *p)
{
    size_t text_size = BASE64_ENCODE_RAW_LENGTH(n);
    char *at = grow(p, text_size + 3), *start = at;

    if (!at)
        return -ENOMEM;
    if (!first)
        *at++ = ',';
    *at++ = '"';
    base64_encode_raw(at, n, bytes);
    at += text_size;
    *at++ = '"';
    p->size += (size_t)(at - start);
    return 0;
}

static int encode_pngs(const struct samples_response *r, bool binary, struct kserve_piece *p,
                       struct error *err)
{
    uint8_t *png;
    size_t size;
    int rc = 0;

    for (int i = 0; i < r->n && rc == 0; i++) {
        rc = samples_response_png(r, i, &png, &size, err);
        if (rc < 0)
            return rc;
        rc = binary ? add_element(png, size, p) : add_text(png, size, i == 0, p);
        free(png);
    }
    return rc;
}

int kserve_pieces_encode(const struct kserve_request *request, const struct samples_response *r,
                         struct kserve_piece out[KSERVE_OUTPUTS], struct error *err)
{
    size_t bytes = (size_t)r->n * (size_t)r->side_px * (size_t)r->side_px * (size_t)r->channels;
    int rc = 0;

    for (int i = 0; i < request->n_outputs && rc == 0; i++) {
        bool binary = request->outputs[i].binary;

        if (request->outputs[i].output == KSERVE_PNG)
            rc = encode_pngs(r, binary, &out[i], err);
        else
            rc = binary ? add_bytes(r->pixels, bytes, &out[i])
                        : add_numbers(r->pixels, bytes, &out[i]);
    }
    return rc == -ENOMEM ? error_set(err, rc, "out of memory writing an answer") : rc;
}

void kserve_pieces_free(struct kserve_piece pieces[KSERVE_OUTPUTS])
{
    for (int i = 0; i < KSERVE_OUTPUTS; i++)
        free(pieces[i].data);
}

/* The head of an output, which ends before its data. */
static void write_output(const struct kserve_request *request, int i,
                         const struct samples_response *r, size_t size, FILE *file)
{
    bool binary = request->outputs[i].binary, png = request->outputs[i].output == KSERVE_PNG;

    fprintf(file, "%s{\"name\":\"%s\",\"datatype\":\"%s\",\"shape\":[%d", i ? "," : "",
            kserve_output_name(request->outputs[i].output), png ? "BYTES" : "UINT8", request->n);
    if (!png)
        fprintf(file, ",%d,%d,%d", r->side_px, r->side_px, r->channels);
    fputc(']', file);
    if (binary)
        fprintf(file, ",\"parameters\":{\"binary_data_size\":%zu}", size);
    else if (png)
        fputs(",\"parameters\":{\"content_type\":\"base64\"}", file);
}

static void write_json(const struct kserve_request *request, const struct samples_response *r,
                       struct kserve_piece (*pieces)[KSERVE_OUTPUTS], int n, const char *id,
                       FILE *file)
{
    size_t size;

    fprintf(file, "{\"model_name\":\"%s\",\"model_version\":\"%.*s\"", r->model,
            RESPONSE_DIGEST_CHARS, r->checkpoint);
    if (id)
        fprintf(file, ",\"id\":%s", id);
    fprintf(file,
            ",\"parameters\":{\"sampler\":\"%s\",\"nfe\":%d,\"determinism\":\"%s\"},\"outputs\":[",
            r->sampler, r->nfe, r->determinism);
    for (int i = 0; i < request->n_outputs; i++) {
        size = 0;
        for (int k = 0; k < n; k++)
            size += pieces[k][i].size;
        write_output(request, i, r, size, file);
        if (!request->outputs[i].binary) {
            fputs(",\"data\":[", file);
            for (int k = 0; k < n; k++) {
                fputs(k ? "," : "", file);
                fwrite(pieces[k][i].data, 1, pieces[k][i].size, file);
            }
            fputc(']', file);
        }
        fputc('}', file);
    }
    fputs("]}", file);
}

/* A name of ours needs no escapes; what a client sent does. NULL without memory. */
static char *quoted(const char *text)
{
    return json_memory_dump(json_string(text), JSON_ENCODE_ANY);
}

int kserve_response_join(const struct kserve_request *request, const struct samples_response *r,
                         struct kserve_piece (*pieces)[KSERVE_OUTPUTS], int n, char **body,
                         size_t *size, size_t *json_size)
{
    char *id = *request->id ? quoted(request->id) : NULL, *text = NULL;
    struct text_stream stream;

    if ((!*request->id || id) && text_stream_open(&stream) == 0) {
        write_json(request, r, pieces, n, id, stream.file);
        *json_size = 0;
        for (int i = 0; i < request->n_outputs; i++) {
            if (!request->outputs[i].binary)
                continue;
            if (*json_size == 0)
                *json_size = text_stream_size(&stream);
            for (int k = 0; k < n; k++)
                fwrite(pieces[k][i].data, 1, pieces[k][i].size, stream.file);
        }
        text = text_stream_close(&stream, size);
    }
    free(id);
    *body = text;
    return text ? 0 : -ENOMEM;
}

/* Problems */

int kserve_problem_status(int status)
{
    return status == 422 ? 400 : status;
}

char *kserve_problem_to_json(const struct problem *p, const char *request_id)
{
    char text[2048];
    size_t used = (size_t)snprintf(text, sizeof(text), "%s", p->detail);

    for (int i = 0; i < p->n_fields && used < sizeof(text); i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s %s: %s", i ? ";" : ":",
                                 p->fields[i].name, p->fields[i].detail);
    return json_memory_dump(json_pack("{s:s}", "error", text), JSON_COMPACT);
}
