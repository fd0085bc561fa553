#include "api/request.h"

#include "api/problem.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

static int read_decimal(const char *text, size_t size, uint64_t *out)
{
    uint64_t value = 0, digit;

    if (size == 0 || size > 20)
        return -EINVAL;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -EINVAL;
        digit = (uint64_t)(text[i] - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return -EINVAL;
        value = value * 10 + digit;
    }
    *out = value;
    return 0;
}

static void read_seed(const json_t *value, struct samples_request *out, struct problem *problem)
{
    if (json_is_integer(value) && json_integer_value(value) >= 0)
        out->seed = (uint64_t)json_integer_value(value);
    else if (!json_is_string(value) ||
             read_decimal(json_string_value(value), json_string_length(value), &out->seed) < 0) {
        problem_add_field(problem, "seed",
                          "must be an integer from 0 to 18446744073709551615; from 2^63 on as a "
                          "decimal string");
        return;
    }
    out->has_seed = true;
}

static void read_count(const char *name, const json_t *value, int max, int *out,
                       struct problem *problem)
{
    json_int_t number = json_integer_value(value);

    if (!json_is_integer(value) || number < 1 || number > max)
        problem_add_field(problem, name, "must be an integer from 1 to %d", max);
    else
        *out = (int)number;
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

int samples_request_parse(const char *body, size_t size, const struct samples_limits *limits,
                          struct samples_request *out, struct problem *problem)
{
    json_error_t error;
    json_t *root, *value;
    const char *key;

    memset(out, 0, sizeof(*out));
    out->n = 1;
    out->timeout_ms = limits->timeout_max_ms;
    if (size == 0)
        return 0;

    root = json_loadb(body, size, JSON_REJECT_DUPLICATES, &error);
    if (!root && json_error_code(&error) == json_error_numeric_overflow)
        return problem_set(problem, 422,
                           "a number at line %d, column %d is out of range; seeds from 2^63 on "
                           "are sent as decimal strings",
                           error.line, error.column);
    if (!root)
        return problem_set(problem, 400, "the body is not JSON: %s at line %d, column %d",
                           error.text, error.line, error.column);
    if (!json_is_object(root))
        problem_set(problem, 422, "the body must be a JSON object");

    json_object_foreach(root, key, value)
    {
        if (strcmp(key, "seed") == 0)
            read_seed(value, out, problem);
        else if (strcmp(key, "n") == 0)
            read_count("n", value, limits->n_max, &out->n, problem);
        else if (strcmp(key, "nfe") == 0)
            read_count("nfe", value, limits->nfe_max, &out->nfe, problem);
        else if (strcmp(key, "timeout_ms") == 0)
            read_count("timeout_ms", value, limits->timeout_max_ms, &out->timeout_ms, problem);
        else if (strcmp(key, "sampler") == 0)
            read_name("sampler", value, out->sampler, problem);
        else if (strcmp(key, "corruption") == 0)
            read_name("corruption", value, out->corruption, problem);
        else if (strcmp(key, "model") == 0)
            read_name("model", value, out->model, problem);
        else
            problem_add_field(problem, key, "is not a field of this request");
    }
    json_decref(root);
    return problem->status ? -EINVAL : 0;
}
