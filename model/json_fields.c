#include "model/json_fields.h"

#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/choice.h"
#include "engine/base/error.h"

int json_refuse(const struct json_error_t *where, const char *what, struct error *err)
{
    if (!*where->text) /* jansson has words for everything but this */
        return error_set(err, -ENOMEM, "out of memory reading %s", what);
    return error_set(err, -EINVAL, "%s is not valid JSON: line %d: %.100s", what, where->line,
                     where->text);
}

void json_fields_begin(struct json_fields *f, const struct json_t *object, const char *what,
                       struct error *err)
{
    *f = (struct json_fields){.object = object, .what = what, .err = err};
    if (!json_is_object(object))
        f->rc = error_set(err, -EINVAL, "%s is not a JSON object", what);
}

int json_fields_end(struct json_fields *f)
{
    const char *key;
    json_t *value;

    if (f->rc < 0)
        return f->rc;
    json_object_foreach((json_t *)f->object, key, value)
    {
        bool asked = false;

        for (int i = 0; i < f->n_asked && !asked; i++)
            asked = strcmp(f->asked[i], key) == 0;
        if (!asked) {
            f->rc = error_set(f->err, -EINVAL, "%s: unknown key \"%.64s\"", f->what, key);
            return f->rc;
        }
    }
    return 0;
}

/* The member, or NULL: an earlier error, an optional one that is missing, or an error now. */
static const json_t *ask(struct json_fields *f, const char *key, enum json_need need)
{
    const json_t *value;

    if (f->rc < 0)
        return NULL;
    assert(f->n_asked < JSON_FIELDS_MAX);
    f->asked[f->n_asked++] = key;
    value = json_object_get(f->object, key);
    if (!value && need == JSON_REQUIRED)
        f->rc = error_set(f->err, -EINVAL, "%s: \"%s\" is missing", f->what, key);
    return value;
}

static void fail(struct json_fields *f, const char *key, const char *why)
{
    f->rc = error_set(f->err, -EINVAL, "%s: \"%s\" is %s", f->what, key, why);
}

void json_fields_int(struct json_fields *f, const char *key, enum json_need need, int min, int max,
                     int *out)
{
    const json_t *value = ask(f, key, need);

    if (!value)
        return;
    if (!json_is_integer(value))
        fail(f, key, "not an integer");
    else if (json_integer_value(value) < min || json_integer_value(value) > max)
        f->rc = error_set(f->err, -EINVAL, "%s: \"%s\" is %lld, not within %d .. %d", f->what, key,
                          (long long)json_integer_value(value), min, max);
    else
        *out = (int)json_integer_value(value);
}

void json_fields_number(struct json_fields *f, const char *key, enum json_need need, double min,
                        double max, double *out)
{
    const json_t *value = ask(f, key, need);
    double number = json_number_value(value);

    if (!value)
        return;
    if (!json_is_number(value))
        fail(f, key, "not a number");
    else if (!(number >= min && number <= max))
        f->rc = error_set(f->err, -EINVAL, "%s: \"%s\" is %g, not within %g .. %g", f->what, key,
                          number, min, max);
    else
        *out = number;
}

void json_fields_bool(struct json_fields *f, const char *key, enum json_need need, bool *out)
{
    const json_t *value = ask(f, key, need);

    if (!value)
        return;
    if (!json_is_boolean(value))
        fail(f, key, "neither true nor false");
    else
        *out = json_is_true(value);
}

void json_fields_string(struct json_fields *f, const char *key, enum json_need need,
                        const char **out)
{
    const json_t *value = ask(f, key, need);

    if (!value)
        return;
    if (!json_is_string(value))
        fail(f, key, "not a string");
    else
        *out = json_string_value(value);
}

void json_fields_ints(struct json_fields *f, const char *key, enum json_need need, int n_min,
                      int n_max, int min, int max, int *out, int *n_out)
{
    const json_t *value = ask(f, key, need);
    size_t n = json_array_size(value);

    if (!value)
        return;
    if (!json_is_array(value) || n < (size_t)n_min || n > (size_t)n_max) {
        f->rc = error_set(f->err, -EINVAL, "%s: \"%s\" is not an array of %d .. %d integers",
                          f->what, key, n_min, n_max);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(value, i);
        json_int_t number = json_integer_value(item);

        if (!json_is_integer(item) || number < min || number > max) {
            f->rc = error_set(f->err, -EINVAL,
                              "%s: \"%s\": element %zu is not an integer within %d .. %d", f->what,
                              key, i, min, max);
            return;
        }
        out[i] = (int)number;
    }
    *n_out = (int)n;
}

void json_fields_numbers(struct json_fields *f, const char *key, enum json_need need, int n,
                         double min, double max, double *out)
{
    const json_t *value = ask(f, key, need);

    if (!value)
        return;
    if (!json_is_array(value) || json_array_size(value) != (size_t)n) {
        f->rc =
            error_set(f->err, -EINVAL, "%s: \"%s\" is not an array of %d numbers", f->what, key, n);
        return;
    }
    for (int i = 0; i < n; i++) {
        const json_t *item = json_array_get(value, (size_t)i);
        double number = json_number_value(item);

        if (!json_is_number(item) || !(number >= min && number <= max)) {
            f->rc =
                error_set(f->err, -EINVAL, "%s: \"%s\": element %d is not a number within %g .. %g",
                          f->what, key, i, min, max);
            return;
        }
        out[i] = number;
    }
}

void json_fields_choice(struct json_fields *f, const char *key, enum json_need need, int n,
                        const char *const *names, int *out)
{
    const char *name = NULL;
    int i;

    json_fields_string(f, key, need, &name);
    if (f->rc < 0 || !name)
        return;
    i = choice_parse(key, name, n, names, f->err);
    if (i >= 0) {
        *out = i;
        return;
    }
    f->rc = i;
    error_prefix(f->err, "%s: ", f->what);
}

void json_fields_value(struct json_fields *f, const char *key, enum json_need need,
                       const struct json_t **out)
{
    const json_t *value = ask(f, key, need);

    if (value)
        *out = value;
}

struct json_t *json_from_float(float x)
{
    char text[32];

    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, (double)x);
        if (strtof(text, NULL) == x)
            break;
    }
    return json_real(strtod(text, NULL));
}

/* Appends a new value, and gives up the array without it. */
static json_t *append(json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) == 0)
        return array;
    json_decref(array);
    return NULL;
}

struct json_t *json_from_doubles(const double *values, int n)
{
    json_t *array = json_array();

    for (int i = 0; array && i < n; i++)
        array = append(array, json_real(values[i]));
    return array;
}

struct json_t *json_from_ints(const int *values, int n)
{
    json_t *array = json_array();

    for (int i = 0; array && i < n; i++)
        array = append(array, json_integer(values[i]));
    return array;
}
