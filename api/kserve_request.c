#include "api/kserve_request.h"

#include "api/json_body.h"
#include "api/problem.h"
#include "api/seed.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { SEED_BYTES = 8, NFE_BYTES = 4, US_PER_MS = 1000 };

/* What is left of the tensors behind the JSON. */
struct tail {
    const uint8_t *bytes;
    size_t size;
};

const char *kserve_output_name(enum kserve_output output)
{
    return output == KSERVE_IMAGE ? "IMAGE" : "PNG";
}

/* Parameters: an object of values that are none themselves. The value of one, NULL: absent. */
static const json_t *parameter(const json_t *of, const char *name)
{
    const json_t *value = json_object_get(json_object_get(of, "parameters"), name);

    return json_is_null(value) ? NULL : value;
}

/* names: NULL at the end. */
static int check_parameters(const json_t *of, const char *whose, const char *const *names,
                            struct problem *problem)
{
    json_t *parameters = json_object_get(of, "parameters"), *value;
    const char *key;
    int i;

    if (parameters && !json_is_object(parameters))
        return problem_set(problem, 400, "the parameters of %s are no object", whose);
    json_object_foreach(parameters, key, value)
    {
        for (i = 0; names[i] && strcmp(names[i], key) != 0; i++)
            ;
        if (!names[i])
            return problem_set(problem, 400, "\"%s\" is no parameter of %s here", key, whose);
    }
    return 0;
}

/* A value of an integer, 0 where it is absent. */
static int read_integer(const json_t *value, const char *name, json_int_t max, json_int_t *out,
                        struct problem *problem)
{
    *out = 0;
    if (!value)
        return 0;
    *out = json_integer_value(value);
    if (!json_is_integer(value) || *out < 0 || *out > max)
        return problem_set(problem, 400, "%s must be an integer from 0 to %lld", name,
                           (long long)max);
    return 0;
}

/* Inputs */

/* The shape [n] or [n, 1]. */
static int read_shape(const json_t *input, const char *name, int max, int *n,
                      struct problem *problem)
{
    const json_t *shape = json_object_get(input, "shape");
    const json_t *first = json_array_get(shape, 0), *second = json_array_get(shape, 1);
    json_int_t size = json_integer_value(first);

    if (!json_is_integer(first) || json_array_size(shape) > 2 ||
        (second && (!json_is_integer(second) || json_integer_value(second) != 1)) || size < 1 ||
        size > max)
        return problem_set(problem, 400, "the shape of %s must be [n] or [n, 1], n from 1 to %d",
                           name, max);
    *n = (int)size;
    return 0;
}

/* The tensor's n values of so many bytes: *out, or NULL where they are in the JSON. */
static int take_binary(const json_t *input, const char *name, size_t n, size_t bytes,
                       struct tail *tail, const uint8_t **out, struct problem *problem)
{
    const json_t *size = parameter(input, "binary_data_size");

    *out = NULL;
    if (!size)
        return 0;
    if (json_object_get(input, "data"))
        return problem_set(problem, 400, "%s has its data twice", name);
    if (!json_is_integer(size) || json_integer_value(size) != (json_int_t)(n * bytes))
        return problem_set(problem, 400, "binary_data_size of %s must be %zu", name, n * bytes);
    if (tail->size < n * bytes)
        return problem_set(problem, 400, "the body ends before the data of %s", name);
    *out = tail->bytes;
    tail->bytes += n * bytes;
    tail->size -= n * bytes;
    return 0;
}

/* Element i of flat data, or of rows of one element. */
static const json_t *element(const json_t *data, size_t i)
{
    const json_t *value = json_array_get(data, i);

    return json_is_array(value) && json_array_size(value) == 1 ? json_array_get(value, 0) : value;
}

static uint64_t little_endian(const uint8_t *bytes, size_t n)
{
    uint64_t value = 0;

    while (n-- > 0)
        value = value << 8 | bytes[n];
    return value;
}

static int read_seeds(const json_t *input, int n_max, struct tail *tail, struct kserve_request *out,
                      struct problem *problem)
{
    const json_t *data = json_object_get(input, "data");
    const uint8_t *bytes;
    int n = 0;

    if (read_shape(input, "SEED", n_max, &n, problem) < 0 ||
        take_binary(input, "SEED", (size_t)n, SEED_BYTES, tail, &bytes, problem) < 0)
        return -EINVAL;
    if (!bytes && json_array_size(data) != (size_t)n)
        return problem_set(problem, 400, "the data of SEED must be an array of %d numbers", n);
    for (int i = 0; i < n; i++) {
        if (bytes)
            out->seeds[i] = little_endian(bytes + (size_t)i * SEED_BYTES, SEED_BYTES);
        else if (seed_from_json(element(data, (size_t)i), &out->seeds[i]) < 0)
            return problem_set(problem, 400,
                               "SEED[%d] must be an integer from 0 to 18446744073709551615", i);
    }
    out->n = n;
    return 0;
}

static int read_nfe(const json_t *input, int nfe_max, struct tail *tail, struct kserve_request *out,
                    struct problem *problem)
{
    const json_t *data = json_object_get(input, "data"), *value = element(data, 0);
    const uint8_t *bytes;
    json_int_t nfe;
    int n = 0;

    if (read_shape(input, "NFE", 1, &n, problem) < 0 ||
        take_binary(input, "NFE", 1, NFE_BYTES, tail, &bytes, problem) < 0)
        return -EINVAL;
    nfe = bytes ? (json_int_t)little_endian(bytes, NFE_BYTES) : json_integer_value(value);
    if ((!bytes && (json_array_size(data) != 1 || !json_is_integer(value))) || nfe < 1 ||
        nfe > nfe_max)
        return problem_set(problem, 400, "NFE must be one integer from 1 to %d", nfe_max);
    out->nfe = (int)nfe;
    return 0;
}

static int read_input(const json_t *input, const struct samples_limits *limits, struct tail *tail,
                      struct kserve_request *out, struct problem *problem)
{
    static const char *const parameters[] = {"binary_data_size", NULL};
    const char *name = json_string_value(json_object_get(input, "name"));
    const char *type = json_string_value(json_object_get(input, "datatype"));
    bool seed = name && strcmp(name, "SEED") == 0, nfe = name && strcmp(name, "NFE") == 0;
    const char *wanted = seed ? "UINT64" : "INT32";

    if (!seed && !nfe)
        return problem_set(problem, 400, "there is no input \"%s\"; there are: \"SEED\", \"NFE\"",
                           name ? name : "");
    if (!type || strcmp(type, wanted) != 0)
        return problem_set(problem, 400, "the datatype of %s is %s", name, wanted);
    if (seed ? out->n > 0 : out->nfe > 0)
        return problem_set(problem, 400, "the input %s is there twice", name);
    if (check_parameters(input, name, parameters, problem) < 0)
        return -EINVAL;
    return seed ? read_seeds(input, limits->n_max, tail, out, problem)
                : read_nfe(input, limits->nfe_max, tail, out, problem);
}

static int read_inputs(const json_t *root, const struct samples_limits *limits, struct tail *tail,
                       struct kserve_request *out, struct problem *problem)
{
    const json_t *inputs = json_object_get(root, "inputs");
    json_t *input;
    size_t i;

    json_array_foreach(inputs, i, input)
    {
        if (read_input(input, limits, tail, out, problem) < 0)
            return -EINVAL;
    }
    if (out->n == 0)
        return problem_set(problem, 400, "the input SEED, UINT64 [n], is needed");
    if (tail->size > 0)
        return problem_set(problem, 400, "%zu bytes of the body belong to no input", tail->size);
    return 0;
}

/* Outputs */

static int read_flag(const json_t *value, const char *name, bool fallback, bool *out,
                     struct problem *problem)
{
    *out = value ? json_is_true(value) : fallback;
    return value && !json_is_boolean(value)
               ? problem_set(problem, 400, "%s must be true or false", name)
               : 0;
}

static int read_output(const json_t *output, bool binary, struct kserve_request *out,
                       struct problem *problem)
{
    static const char *const parameters[] = {"binary_data", NULL};
    const char *name = json_string_value(json_object_get(output, "name"));
    int which = 0;

    while (which < KSERVE_OUTPUTS &&
           (!name || strcmp(name, kserve_output_name((enum kserve_output)which)) != 0))
        which++;
    if (which == KSERVE_OUTPUTS)
        return problem_set(problem, 400, "there is no output \"%s\"; there are: \"IMAGE\", \"PNG\"",
                           name ? name : "");
    for (int i = 0; i < out->n_outputs; i++)
        if (out->outputs[i].output == (enum kserve_output)which)
            return problem_set(problem, 400, "the output %s is there twice", name);
    if (check_parameters(output, name, parameters, problem) < 0 ||
        read_flag(parameter(output, "binary_data"), "binary_data", binary,
                  &out->outputs[out->n_outputs].binary, problem) < 0)
        return -EINVAL;
    out->outputs[out->n_outputs++].output = (enum kserve_output)which;
    return 0;
}

static int read_outputs(const json_t *root, struct kserve_request *out, struct problem *problem)
{
    const json_t *outputs = json_object_get(root, "outputs");
    bool binary = false;
    json_t *output;
    size_t i;

    if (read_flag(parameter(root, "binary_data_output"), "binary_data_output", false, &binary,
                  problem) < 0)
        return -EINVAL;
    if (outputs && !json_is_array(outputs))
        return problem_set(problem, 400, "outputs must be an array");
    json_array_foreach(outputs, i, output)
    {
        if (read_output(output, binary, out, problem) < 0)
            return -EINVAL;
    }
    for (int which = 0; out->n_outputs < KSERVE_OUTPUTS && json_array_size(outputs) == 0; which++) {
        out->outputs[which].output = (enum kserve_output)which;
        out->outputs[which].binary = binary;
        out->n_outputs++;
    }
    return 0;
}

/* The whole */

/* As requests of our own have them. 0 or -EINVAL. */
static int read_label(const json_t *root, const struct samples_limits *limits,
                      struct kserve_request *out)
{
    static const char *const names[] = {"label", "guidance"};
    struct samples_request same;
    struct problem problem = {0};
    json_t *fields = json_object();
    int rc = 0;

    for (int i = 0; i < 2; i++)
        if (parameter(root, names[i]))
            rc |= json_object_set(fields, names[i], (json_t *)parameter(root, names[i]));
    if (rc == 0)
        rc = samples_request_read(fields, REQUEST_SAMPLES, limits, &same, &problem);
    json_decref(fields);
    if (rc < 0)
        return -EINVAL;
    out->label = same.label;
    memcpy(out->label_name, same.label_name, sizeof(out->label_name));
    out->guidance = same.guidance;
    return 0;
}

static int read_own(const json_t *root, const struct samples_limits *limits,
                    struct kserve_request *out, struct problem *problem)
{
    static const char *const parameters[] = {"sampler",  "timeout", "binary_data_output",
                                             "priority", "label",   "guidance",
                                             NULL};
    const json_t *id = json_object_get(root, "id"), *sampler = parameter(root, "sampler");
    json_int_t timeout_us, priority, most_us = (json_int_t)limits->timeout_max_ms * US_PER_MS;

    if (check_parameters(root, "the request", parameters, problem) < 0)
        return -EINVAL;
    if (id && !json_is_null(id)) {
        if (!json_is_string(id) || json_string_length(id) >= sizeof(out->id))
            return problem_set(problem, 400, "id must be a string of at most %zu bytes",
                               sizeof(out->id) - 1);
        memcpy(out->id, json_string_value(id), json_string_length(id) + 1);
    }
    if (sampler) {
        if (!json_is_string(sampler) || json_string_length(sampler) >= sizeof(out->sampler) ||
            json_string_length(sampler) == 0)
            return problem_set(problem, 400, "sampler must be the name of one");
        memcpy(out->sampler, json_string_value(sampler), json_string_length(sampler) + 1);
    }
    if (read_label(root, limits, out) < 0)
        return problem_set(problem, 400,
                           "label must be the number of one or its name, and guidance a number "
                           "from 0.001 to %d",
                           REQUEST_GUIDANCE_MAX / REQUEST_GUIDANCE_ONE);
    if (read_integer(parameter(root, "timeout"), "timeout", most_us, &timeout_us, problem) < 0 ||
        read_integer(parameter(root, "priority"), "priority", 2, &priority, problem) < 0)
        return -EINVAL;
    out->background = priority == 2;
    out->timeout_ms =
        timeout_us > 0 ? (int)((timeout_us + US_PER_MS - 1) / US_PER_MS) : limits->timeout_max_ms;
    return 0;
}

/* How much of the body is JSON. */
static int split(const char *header_length, size_t size, size_t *json_size, struct problem *problem)
{
    uint64_t length;

    *json_size = size;
    if (!header_length)
        return 0;
    if (seed_from_text(header_length, strlen(header_length), &length) < 0 || length > size)
        return problem_set(problem, 400,
                           "Inference-Header-Content-Length is no number of bytes of the body");
    *json_size = (size_t)length;
    return 0;
}

json_t *kserve_json_read(const char *text, size_t size, struct problem *problem)
{
    json_t *root = json_body_read(text, size, true, problem);

    if (!root && problem->status == 422) /* which this protocol does not have */
        problem->status = 400;
    return root;
}

int kserve_request_parse(const char *header_length, const char *body, size_t size,
                         const struct samples_limits *limits, struct kserve_request *out,
                         struct problem *problem)
{
    struct tail tail;
    size_t json_size;
    json_t *root;
    int rc;

    memset(out, 0, sizeof(*out));
    rc = split(header_length, size, &json_size, problem);
    if (rc < 0)
        return rc;
    root = kserve_json_read(body ? body : "", json_size, problem);
    if (!root)
        return -EINVAL;
    tail = (struct tail){(const uint8_t *)body + json_size, size - json_size};
    rc = read_own(root, limits, out, problem);
    if (rc == 0)
        rc = read_inputs(root, limits, &tail, out, problem);
    if (rc == 0)
        rc = read_outputs(root, out, problem);
    json_decref(root);
    return rc;
}
