#include "api/upload.h"

#include "api/json_body.h"
#include "api/multipart.h"
#include "api/problem.h"
#include "engine/base/json_memory.h"

#include <errno.h>
#include <jansson.h>
#include <nettle/base64.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char type_of_json[] = "application/json", type_of_form[] = "multipart/form-data";

static int has_type(const char *content_type, const char *type)
{
    size_t n = content_type ? strcspn(content_type, "; \t") : 0;

    return n == strlen(type) && strncasecmp(content_type, type, n) == 0;
}

/* What a form and JSON have in common: the members of an object. Those that are ours are taken out. */
static double take_number(json_t *root, const char *key, double least, double most,
                          struct problem *problem)
{
    const json_t *value = json_object_get(root, key);
    double number = json_number_value(value);

    if (!value || json_is_null(value))
        number = -1;
    else if (!json_is_number(value) || !(number >= least && number <= most)) {
        problem_add_field(problem, key, "must be a number from %g to %g", least, most);
        number = -1;
    }
    json_object_del(root, key);
    return number;
}

static void take_name(json_t *root, const char *key, char out[LIMITS_NAME_BYTES + 1],
                      struct problem *problem)
{
    const json_t *value = json_object_get(root, key);
    size_t n = json_string_length(value);

    out[0] = '\0';
    if (json_is_string(value) && n > 0 && n <= LIMITS_NAME_BYTES)
        memcpy(out, json_string_value(value), n + 1);
    else if (value && !json_is_null(value))
        problem_add_field(problem, key, "must be a string of 1 to %d bytes", LIMITS_NAME_BYTES);
    json_object_del(root, key);
}

static int take_fields(json_t *root, struct upload *out, struct problem *problem)
{
    take_name(root, "degradation", out->degradation, problem);
    out->std = take_number(root, "std", 1e-6, 1e6, problem);
    out->strength = take_number(root, "strength", 0, 1, problem);
    out->consistency = take_number(root, "consistency", 0, 1, problem);
    if (!out->image.bytes && problem->status == 0)
        problem_add_field(problem, "image", "is missing: a PNG or JPEG");
    if (json_memory_ran_out())
        return problem_set(problem, 503, "out of memory");
    out->others = json_incref(root);
    return 0;
}

/* Base64, perhaps of a data URL. */
static void take_file(json_t *root, const char *key, struct upload_file *out,
                      struct problem *problem)
{
    const json_t *value = json_object_get(root, key);
    const char *text = json_string_value(value), *comma;
    size_t n = json_string_length(value);
    struct base64_decode_ctx decoder;

    if (text && strncmp(text, "data:", 5) == 0 && (comma = strstr(text, ";base64,"))) {
        n -= (size_t)(comma + 8 - text);
        text = comma + 8;
    }
    if (text && n > 0) {
        out->bytes = malloc(BASE64_DECODE_LENGTH(n));
        base64_decode_init(&decoder);
        out->size = 0;
        if (!out->bytes) {
            problem_set(problem, 503, "out of memory");
        } else if (!base64_decode_update(&decoder, &out->size, out->bytes, n, text) ||
                   !base64_decode_final(&decoder)) {
            free(out->bytes);
            out->bytes = NULL;
            problem_add_field(problem, key, "must be a PNG or JPEG in base64");
        }
    } else if (value && !json_is_null(value)) {
        problem_add_field(problem, key, "must be a PNG or JPEG in base64");
    }
    json_object_del(root, key);
}

static int read_json(const char *body, size_t size, struct upload *out, struct problem *problem)
{
    json_t *root = json_body_read(body, size, false, problem);
    int rc;

    if (!root)
        return -EINVAL;
    take_file(root, "image", &out->image, problem);
    take_file(root, "mask", &out->mask, problem);
    rc = problem->status == 503 ? -EINVAL : take_fields(root, out, problem);
    json_decref(root);
    return rc;
}

/* Text of a form as JSON would have it: numbers without quotes. NULL without memory. */
static json_t *value_of(const struct multipart_part *part)
{
    char text[LIMITS_MODEL_BYTES + 1], *end;
    json_t *value;
    double number;

    if (part->size == 0)
        return json_null();
    if (part->size >= sizeof(text))
        return json_stringn("", 0); /* nothing of ours is so long */
    memcpy(text, part->bytes, part->size);
    text[part->size] = '\0';
    if (strspn(text, "0123456789") == part->size && part->size <= 15)
        return json_integer(strtoll(text, NULL, 10));
    number = strtod(text, &end);
    if (strspn(text, "0123456789.eE+-") == part->size && !*end && number <= 1e300 &&
        strpbrk(text, ".eE+-"))
        return json_real(number);
    value = json_stringn(text, part->size);
    return value ? value : json_stringn("", 0); /* not UTF-8 */
}

static int take_part(json_t *root, const struct multipart_part *part, struct upload *out,
                     struct problem *problem)
{
    struct upload_file *file = strcmp(part->name, "image") == 0  ? &out->image
                               : strcmp(part->name, "mask") == 0 ? &out->mask
                                                                 : NULL;

    if (file ? file->bytes != NULL : json_object_get(root, part->name) != NULL)
        return problem_set(problem, 400, "the form has a name twice");
    if (!file && json_object_set_new(root, part->name, value_of(part)) == 0)
        return 0;
    if (!file)
        return json_memory_ran_out()
                   ? problem_set(problem, 503, "out of memory")
                   : problem_set(problem, 400, "the form has a name that is no text");
    if (part->size == 0)
        return 0;
    file->bytes = malloc(part->size);
    if (!file->bytes)
        return problem_set(problem, 503, "out of memory");
    memcpy(file->bytes, part->bytes, part->size);
    file->size = part->size;
    return 0;
}

static int read_form(const char *content_type, const char *body, size_t size, struct upload *out,
                     struct problem *problem)
{
    json_t *root = json_object();
    struct multipart_part part;
    struct multipart form;
    int rc, more = 0;

    if (!root)
        return problem_set(problem, 503, "out of memory");
    json_memory_ran_out(); /* whatever was before */
    rc = multipart_begin(content_type, body, size, &form);
    while (rc == 0 && (more = multipart_next(&form, &part)) > 0)
        rc = take_part(root, &part, out, problem);
    if (!problem->status && (rc < 0 || more < 0))
        problem_set(problem, 400, "the body is not a form as multipart/form-data has it");
    rc = problem->status ? -EINVAL : take_fields(root, out, problem);
    json_decref(root);
    return rc;
}

int upload_read(const char *content_type, const char *body, size_t size, struct upload *out,
                struct problem *problem)
{
    memset(out, 0, sizeof(*out));
    out->std = out->strength = out->consistency = -1;
    if (has_type(content_type, type_of_form))
        read_form(content_type, body, size, out, problem);
    else if (has_type(content_type, type_of_json))
        read_json(body, size, out, problem);
    else
        problem_set(problem, 415, "the body must be %s or %s", type_of_json, type_of_form);
    return problem->status ? -EINVAL : 0;
}

void upload_fini(struct upload *u)
{
    free(u->image.bytes);
    free(u->mask.bytes);
    json_decref(u->others);
    memset(u, 0, sizeof(*u));
}

static void write_digest(struct sha256_ctx *sha, char out[UPLOAD_DIGEST_BYTES])
{
    uint8_t digest[SHA256_DIGEST_SIZE];

    sha256_digest(sha, sizeof(digest), digest);
    for (size_t i = 0; i < sizeof(digest); i++)
        sprintf(out + 2 * i, "%02x", digest[i]);
}

void upload_digest(const struct upload_file *file, char out[UPLOAD_DIGEST_BYTES])
{
    struct sha256_ctx sha;

    sha256_init(&sha);
    sha256_update(&sha, file->size, file->bytes);
    write_digest(&sha, out);
}

int upload_digest_all(const struct upload *u, char out[UPLOAD_DIGEST_BYTES])
{
    const struct upload_file *files[] = {&u->image, &u->mask};
    char *fields = json_memory_dump(json_incref(u->others), JSON_COMPACT | JSON_SORT_KEYS),
         text[256];
    struct sha256_ctx sha;

    if (!fields)
        return -ENOMEM;
    snprintf(text, sizeof(text), "%s %.17g %.17g %.17g %zu %zu ", u->degradation, u->std,
             u->strength, u->consistency, u->image.size, u->mask.size);
    sha256_init(&sha);
    sha256_update(&sha, strlen(text), (const uint8_t *)text);
    for (int i = 0; i < 2; i++)
        if (files[i]->bytes)
            sha256_update(&sha, files[i]->size, files[i]->bytes);
    sha256_update(&sha, strlen(fields), (const uint8_t *)fields);
    write_digest(&sha, out);
    free(fields);
    return 0;
}
