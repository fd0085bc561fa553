#include "api/request.h"

#include "api/problem.h"
#include "api/query.h"
#include "api/seed.h"

#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So many digits are a number in every case; more are in no range of ours. */
enum { NUMBER_DIGITS_MAX = 15 };

static void read_seed(const json_t *value, struct samples_request *out, struct problem *problem)
{
    out->has_seed = seed_from_json(value, &out->seed) == 0;
    if (!out->has_seed)
        problem_add_field(problem, "seed",
                          "must be an integer from 0 to 18446744073709551615, as a number or as "
                          "a decimal string");
}

/* 49.0 is an integer, too: some clients have no others. */
static void read_count(const char *name, const json_t *value, int max, int *out,
                       struct problem *problem)
{
    double number = json_number_value(value);

    if (!json_is_number(value) || !(number >= 1 && number <= max) || number != (int)number)
        problem_add_field(problem, name, "must be an integer from 1 to %d", max);
    else
        *out = (int)number;
}

static void read_on_disconnect(const json_t *value, struct samples_request *out,
                               struct problem *problem)
{
    const char *text = json_string_value(value);

    out->finish = text && strcmp(text, "finish") == 0;
    if (!out->finish && (!text || strcmp(text, "cancel") != 0))
        problem_add_field(problem, "on_disconnect", "must be \"cancel\" or \"finish\"");
}

static void read_name(const char *name, const json_t *value, char out[LIMITS_NAME_BYTES + 1],
                      struct problem *problem)
{
    size_t size = json_string_length(value);

    out[0] = '\0';
    if (!json_is_string(value) || size == 0 || size > LIMITS_NAME_BYTES)
        problem_add_field(problem, name, "must be a string of 1 to %d bytes", LIMITS_NAME_BYTES);
    else
        memcpy(out, json_string_value(value), size + 1);
}

/* The fields: how each is read, where to, and for counts the limit. */
static const struct field {
    const char *name;
    enum { FIELD_SEED, FIELD_COUNT, FIELD_NAME, FIELD_ON_DISCONNECT } kind;
    size_t offset;     /* in struct samples_request */
    size_t max_offset; /* in struct samples_limits */
    int forms;         /* of enum request_form */
} fields[] = {
    {"seed", FIELD_SEED, offsetof(struct samples_request, seed), 0, REQUEST_SAMPLES},
    {"n", FIELD_COUNT, offsetof(struct samples_request, n), offsetof(struct samples_limits, n_max),
     REQUEST_SAMPLES},
    {"nfe", FIELD_COUNT, offsetof(struct samples_request, nfe),
     offsetof(struct samples_limits, nfe_max), REQUEST_SAMPLES | REQUEST_PERMALINK},
    {"timeout_ms", FIELD_COUNT, offsetof(struct samples_request, timeout_ms),
     offsetof(struct samples_limits, timeout_max_ms), REQUEST_SAMPLES},
    {"sampler", FIELD_NAME, offsetof(struct samples_request, sampler), 0,
     REQUEST_SAMPLES | REQUEST_PERMALINK},
    {"corruption", FIELD_NAME, offsetof(struct samples_request, corruption), 0,
     REQUEST_SAMPLES | REQUEST_PERMALINK},
    {"model", FIELD_NAME, offsetof(struct samples_request, model), 0, REQUEST_SAMPLES},
    {"on_disconnect", FIELD_ON_DISCONNECT, 0, 0, REQUEST_SAMPLES},
    {"determinism", FIELD_NAME, offsetof(struct samples_request, determinism), 0,
     REQUEST_PERMALINK},
};

static void read_field(const char *key, const json_t *value, enum request_form form,
                       const struct samples_limits *limits, struct samples_request *out,
                       struct problem *problem)
{
    const struct field *f = fields, *end = fields + sizeof(fields) / sizeof(fields[0]);
    char *to;
    int max;

    while (f < end && (!(f->forms & (int)form) || strcmp(f->name, key) != 0))
        f++;
    if (f == end) {
        problem_add_field(problem, key, "is not a field of this request");
        return;
    }
    if (json_is_null(value)) /* as good as absent */
        return;
    to = (char *)out + f->offset;
    memcpy(&max, (const char *)limits + f->max_offset, sizeof(max));
    switch (f->kind) {
    case FIELD_SEED:
        read_seed(value, out, problem);
        break;
    case FIELD_COUNT:
        read_count(key, value, max, (int *)(void *)to, problem);
        break;
    case FIELD_NAME:
        read_name(key, value, to, problem);
        break;
    case FIELD_ON_DISCONNECT:
        read_on_disconnect(value, out, problem);
        break;
    }
}

static void set_defaults(const struct samples_limits *limits, struct samples_request *out)
{
    memset(out, 0, sizeof(*out));
    out->n = 1;
    out->timeout_ms = limits->timeout_max_ms;
}

int samples_request_parse(const char *body, size_t size, const struct samples_limits *limits,
                          struct samples_request *out, struct problem *problem)
{
    size_t quoted_size = 0;
    json_error_t error;
    json_t *root, *value;
    const char *key;
    char *quoted;

    set_defaults(limits, out);
    if (size == 0)
        return 0;

    if (seed_quote_large(body, size, &quoted, &quoted_size) < 0)
        return problem_set(problem, 503, "out of memory");
    root = json_loadb(quoted ? quoted : body, quoted ? quoted_size : size, JSON_REJECT_DUPLICATES,
                      &error);
    free(quoted);
    if (!root && json_error_code(&error) == json_error_numeric_overflow)
        return problem_set(problem, 422, "a number at line %d, column %d is out of range",
                           error.line, error.column);
    if (!root && !*error.text) /* jansson has words for everything but this */
        return problem_set(problem, 503, "out of memory");
    if (!root)
        return problem_set(problem, 400, "the body is not JSON: %s at line %d, column %d",
                           error.text, error.line, error.column);
    if (!json_is_object(root))
        problem_set(problem, 422, "the body must be a JSON object");

    json_object_foreach(root, key, value)
        read_field(key, value, REQUEST_SAMPLES, limits, out, problem);
    json_decref(root);
    return problem->status ? -EINVAL : 0;
}

/* Numbers of a query are text: as JSON would have them. */
static json_t *query_value(const char *text)
{
    size_t n = strlen(text);

    if (n > 0 && n <= NUMBER_DIGITS_MAX && strspn(text, "0123456789") == n)
        return json_integer(strtoll(text, NULL, 10));
    return json_string(text);
}

int samples_request_parse_query(const char *query, const struct samples_limits *limits,
                                struct samples_request *out, struct problem *problem)
{
    json_t *seen = json_object(), *value;
    struct query_pair pair;
    int rc = seen ? 0 : problem_set(problem, 503, "out of memory");

    set_defaults(limits, out);
    while (rc == 0 && (rc = query_next(&query, &pair)) > 0) {
        value = query_value(pair.value);
        if (!value || json_object_get(seen, pair.name))
            rc = problem_set(problem, value ? 400 : 503, "%s",
                             value ? "the query has a name twice" : "out of memory");
        else
            rc = json_object_set(seen, pair.name, value) < 0
                     ? problem_set(problem, 503, "out of memory")
                     : 0;
        if (rc == 0)
            read_field(pair.name, value, REQUEST_PERMALINK, limits, out, problem);
        json_decref(value);
    }
    json_decref(seen);
    if (rc < 0 && !problem->status)
        problem_set(problem, 400,
                    "the query is not made of name=value with & between, in printable ASCII");
    return problem->status ? -EINVAL : 0;
}
