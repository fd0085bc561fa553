#include "api/request.h"

#include "api/json_body.h"
#include "api/problem.h"
#include "api/query.h"
#include "api/seed.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NATIVE = REQUEST_SAMPLES | REQUEST_RESTORATION,
    JOBS = NATIVE | REQUEST_JOB,       /* what can become a job */
    WAITING = NATIVE | REQUEST_IMAGES, /* clients that wait for their images */
    BODIES = WAITING | REQUEST_JOB,
    ALL = BODIES | REQUEST_PERMALINK,
    MIXED = REQUEST_SAMPLES | REQUEST_IMAGES | REQUEST_PERMALINK | REQUEST_JOB,
};

/* So many digits are a number in every case; more are in no range of ours. */
enum { NUMBER_DIGITS_MAX = 15, MIX_ABSENT = -1 };

static void read_seed(const char *name, const json_t *value, bool *has, uint64_t *out,
                      struct problem *problem)
{
    *has = seed_from_json(value, out) == 0;
    if (!*has)
        problem_add_field(problem, name,
                          "must be an integer from 0 to 18446744073709551615, as a number or as "
                          "a decimal string");
}

/* A number of JSON, or of a query, which has it as text; -1: it is none from 0 on. */
static double number_of(const json_t *value, bool text)
{
    const char *digits = text ? json_string_value(value) : NULL;
    double number = json_is_number(value) ? json_number_value(value) : -1;
    char *end;

    if (digits && strspn(digits, "0123456789.") == strlen(digits)) {
        number = strtod(digits, &end);
        number = *digits && !*end ? number : -1;
    }
    return number;
}

/* To the nearest millionth, so that it is written in one way. */
static void read_mix(const char *name, const json_t *value, bool text, int *out,
                     struct problem *problem)
{
    double mix = number_of(value, text);

    if (mix >= 0 && mix <= 1)
        *out = (int)(mix * REQUEST_MIX_WHOLE + 0.5);
    else
        problem_add_field(problem, name, "must be a number from 0 to 1");
}

/* 1 is as good as absent. */
static void read_guidance(const char *name, const json_t *value, bool text, int *out,
                          struct problem *problem)
{
    double guidance = number_of(value, text) * REQUEST_GUIDANCE_ONE;

    if (!(guidance >= 1 && guidance <= REQUEST_GUIDANCE_MAX))
        problem_add_field(problem, name, "must be a number from 0.001 to %d",
                          REQUEST_GUIDANCE_MAX / REQUEST_GUIDANCE_ONE);
    else if ((int)(guidance + 0.5) != REQUEST_GUIDANCE_ONE)
        *out = (int)(guidance + 0.5);
}

/* Which labels there are is the model's to know. */
static void read_label(const char *name, const json_t *value, struct samples_request *out,
                       struct problem *problem)
{
    double number = json_number_value(value);
    size_t size = json_string_length(value);

    if (json_is_number(value) && number >= 0 && number <= INT_MAX && number == (int)number)
        out->label = (int)number;
    else if (json_is_string(value) && size > 0 && size <= REQUEST_LABEL_BYTES)
        memcpy(out->label_name, json_string_value(value), size + 1);
    else
        problem_add_field(problem, name, "must be the number of a label, or its name");
}

/* 49.0 is an integer, too: some clients have no others. */
static void read_number(const char *name, const json_t *value, int min, int max, int *out,
                        struct problem *problem)
{
    double number = json_number_value(value);

    if (!json_is_number(value) || !(number >= min && number <= max) || number != (int)number)
        problem_add_field(problem, name, "must be an integer from %d to %d", min, max);
    else
        *out = (int)number;
}

static void read_name(const char *name, const json_t *value, size_t max, char *out,
                      struct problem *problem)
{
    size_t size = json_string_length(value);

    out[0] = '\0';
    if (!json_is_string(value) || size == 0 || size > max)
        problem_add_field(problem, name, "must be a string of 1 to %zu bytes", max);
    else
        memcpy(out, json_string_value(value), size + 1);
}

/* The fields: whose they are, how each is read and where to, and the limit. */
static const struct field {
    const char *name;
    enum {
        FIELD_SEED, /* limit: where it is told that there is one */
        FIELD_MIX,
        FIELD_LABEL,
        FIELD_GUIDANCE,
        FIELD_COUNT,
        FIELD_NAME,
        FIELD_CHOICE,
        FIELD_FLAG,
        FIELD_FEW, /* from 0 to limit */
        FIELD_IGNORED,
    } kind;
    int forms;     /* of enum request_form */
    size_t offset; /* in struct samples_request */
    size_t
        limit; /* of counts: offset in struct samples_limits; of names: bytes; of few: the most */
    const char *choices[3];
} fields[] = {
#define FIELD(name) offsetof(struct samples_request, name)
#define LIMIT(name) offsetof(struct samples_limits, name)
    {"seed", FIELD_SEED, BODIES, FIELD(seed), FIELD(has_seed), {NULL}},
    {"seed_b", FIELD_SEED, MIXED, FIELD(seed_b), FIELD(has_seed_b), {NULL}},
    {"mix", FIELD_MIX, MIXED, FIELD(mix), 0, {NULL}},
    {"label", FIELD_LABEL, ALL, 0, 0, {NULL}},
    {"guidance", FIELD_GUIDANCE, ALL, FIELD(guidance), 0, {NULL}},
    {"n", FIELD_COUNT, WAITING, FIELD(n), LIMIT(n_max), {NULL}},
    {"n", FIELD_COUNT, REQUEST_JOB, FIELD(n), LIMIT(job_n_max), {NULL}},
    {"nfe", FIELD_COUNT, ALL, FIELD(nfe), LIMIT(nfe_max), {NULL}},
    {"timeout_ms", FIELD_COUNT, WAITING, FIELD(timeout_ms), LIMIT(timeout_max_ms), {NULL}},
    {"sampler", FIELD_NAME, ALL, FIELD(sampler), LIMITS_NAME_BYTES, {NULL}},
    {"corruption", FIELD_NAME, ALL, FIELD(corruption), LIMITS_NAME_BYTES, {NULL}},
    {"model", FIELD_NAME, BODIES, FIELD(model), LIMITS_MODEL_BYTES, {NULL}},
    {"preview_every", FIELD_COUNT, NATIVE, FIELD(preview_every), LIMIT(nfe_max), {NULL}},
    {"deadline_ms", FIELD_COUNT, NATIVE, FIELD(deadline_ms), LIMIT(timeout_max_ms), {NULL}},
    {"on_deadline", FIELD_CHOICE, NATIVE, FIELD(best), 0, {"fail", "best"}},
    {"on_disconnect", FIELD_CHOICE, WAITING, FIELD(finish), 0, {"cancel", "finish"}},
    {"priority", FIELD_CHOICE, WAITING, FIELD(background), 0, {"interactive", "background"}},
    {"webhook", FIELD_NAME, JOBS, FIELD(webhook), LIMITS_WEBHOOK_BYTES, {NULL}},
    {"determinism", FIELD_NAME, REQUEST_PERMALINK, FIELD(determinism), LIMITS_NAME_BYTES, {NULL}},
    {"size", FIELD_NAME, REQUEST_IMAGES, FIELD(size), LIMITS_NAME_BYTES, {NULL}},
    {"response_format", FIELD_CHOICE, REQUEST_IMAGES, FIELD(format), 0, {"", "b64_json", "url"}},
    {"output_format", FIELD_CHOICE, REQUEST_IMAGES, FIELD(output), 0, {"png"}},
    {"stream", FIELD_FLAG, REQUEST_IMAGES, FIELD(stream), 0, {NULL}},
    {"partial_images",
     FIELD_FEW,
     REQUEST_IMAGES,
     FIELD(partial_images),
     LIMITS_PARTIAL_IMAGES,
     {NULL}},
    {"prompt", FIELD_IGNORED, REQUEST_IMAGES, 0, 0, {NULL}},
    {"quality", FIELD_IGNORED, REQUEST_IMAGES, 0, 0, {NULL}},
    {"style", FIELD_IGNORED, REQUEST_IMAGES, 0, 0, {NULL}},
    {"background", FIELD_IGNORED, REQUEST_IMAGES, 0, 0, {NULL}},
    {"moderation", FIELD_IGNORED, REQUEST_IMAGES, 0, 0, {NULL}},
    {"output_compression", FIELD_IGNORED, REQUEST_IMAGES, 0, 0, {NULL}},
    {"user", FIELD_IGNORED, REQUEST_IMAGES, 0, 0, {NULL}},
#undef FIELD
#undef LIMIT
};

enum { N_FIELDS = sizeof(fields) / sizeof(fields[0]) };

_Static_assert(N_FIELDS <= 32, "each has a bit in samples_request.ignored");

const char *samples_request_ignored(int bit)
{
    return bit < N_FIELDS && fields[bit].kind == FIELD_IGNORED ? fields[bit].name : NULL;
}

/* Which of the words, which are not empty but where the first stands for being absent. */
static void read_choice(const struct field *f, const json_t *value, int *out,
                        struct problem *problem)
{
    const char *text = json_string_value(value);
    char words[64] = "";
    size_t used = 0;

    for (int i = 0; i < 3 && f->choices[i]; i++) {
        if (!*f->choices[i])
            continue;
        if (text && strcmp(text, f->choices[i]) == 0) {
            *out = i;
            return;
        }
        used += (size_t)snprintf(words + used, sizeof(words) - used, "%s\"%s\"", used ? " or " : "",
                                 f->choices[i]);
    }
    problem_add_field(problem, f->name, "must be %s", words);
}

static const struct field *find_field(const char *key, enum request_form form)
{
    for (int i = 0; i < N_FIELDS; i++)
        if ((fields[i].forms & (int)form) && strcmp(fields[i].name, key) == 0)
            return &fields[i];
    return NULL;
}

static void read_field(const char *key, const json_t *value, enum request_form form,
                       const struct samples_limits *limits, struct samples_request *out,
                       struct problem *problem)
{
    const struct field *f = find_field(key, form);
    char *to;
    int max = 0;

    if (!f) {
        problem_add_field(problem, key, "is not a field of this request");
        return;
    }
    if (json_is_null(value)) /* as good as absent */
        return;
    to = (char *)out + f->offset;
    if (f->kind == FIELD_COUNT)
        memcpy(&max, (const char *)limits + f->limit, sizeof(max));
    switch (f->kind) {
    case FIELD_SEED:
        read_seed(key, value, (bool *)(void *)((char *)out + f->limit), (uint64_t *)(void *)to,
                  problem);
        break;
    case FIELD_MIX:
        read_mix(key, value, form == REQUEST_PERMALINK, (int *)(void *)to, problem);
        break;
    case FIELD_LABEL:
        read_label(key, value, out, problem);
        break;
    case FIELD_GUIDANCE:
        read_guidance(key, value, form == REQUEST_PERMALINK, (int *)(void *)to, problem);
        break;
    case FIELD_COUNT:
        read_number(key, value, 1, max, (int *)(void *)to, problem);
        break;
    case FIELD_NAME:
        read_name(key, value, f->limit, to, problem);
        break;
    case FIELD_CHOICE:
        read_choice(f, value, (int *)(void *)to, problem);
        break;
    case FIELD_FLAG:
        if (!json_is_boolean(value))
            problem_add_field(problem, key, "must be true or false");
        memcpy(to, &(int){json_is_true(value)}, sizeof(int));
        break;
    case FIELD_FEW:
        read_number(key, value, 0, (int)f->limit, (int *)(void *)to, problem);
        break;
    case FIELD_IGNORED:
        out->ignored |= 1u << (f - fields);
        break;
    }
}

/* What belongs together. */
static void finish_mix(struct samples_request *out, struct problem *problem)
{
    if (out->mix != MIX_ABSENT && !out->has_seed_b)
        problem_add_field(problem, "mix", "needs a seed_b");
    if (out->mix == MIX_ABSENT || !out->has_seed_b)
        out->mix = out->has_seed_b ? REQUEST_MIX_WHOLE / 2 : 0;
}

static void set_defaults(const struct samples_limits *limits, struct samples_request *out)
{
    memset(out, 0, sizeof(*out));
    out->n = 1;
    out->mix = MIX_ABSENT;
    out->timeout_ms = limits->timeout_max_ms;
}

int samples_request_read(json_t *object, enum request_form form,
                         const struct samples_limits *limits, struct samples_request *out,
                         struct problem *problem)
{
    const char *key;
    json_t *value;

    set_defaults(limits, out);
    json_object_foreach(object, key, value) read_field(key, value, form, limits, out, problem);
    finish_mix(out, problem);
    if (out->best && out->deadline_ms == 0)
        problem_add_field(problem, "on_deadline", "needs a deadline_ms");
    if (out->partial_images > 0 && !out->stream)
        problem_add_field(problem, "partial_images", "needs stream: true");
    return problem->status ? -EINVAL : 0;
}

int samples_request_parse(const char *body, size_t size, enum request_form form,
                          const struct samples_limits *limits, struct samples_request *out,
                          struct problem *problem)
{
    json_t *root = NULL;
    int rc;

    set_defaults(limits, out);
    if (size > 0) {
        root = json_body_read(body, size, false, problem);
        if (!root)
            return -EINVAL;
    }
    rc = samples_request_read(root, form, limits, out, problem);
    json_decref(root);
    return rc;
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
    if (rc >= 0)
        finish_mix(out, problem);
    if (rc < 0 && !problem->status)
        problem_set(problem, 400,
                    "the query is not made of name=value with & between, in printable ASCII");
    return problem->status ? -EINVAL : 0;
}
