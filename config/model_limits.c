#include "config/model_limits.h"

#include "config/setting.h"
#include "engine/base/error.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct limit {
    const char *name, *key; /* of texts, and of files */
    size_t offset;          /* in struct settings_limits */
    int max;
} table[] = {
    {"max-queue", "max_queue", offsetof(struct settings_limits, max_queue), 65536},
    {"max-images", "max_images", offsetof(struct settings_limits, max_images), 64},
    {"max-nfe", "max_nfe", offsetof(struct settings_limits, max_nfe), 10000},
};

enum { N_LIMITS = sizeof(table) / sizeof(table[0]), LIMIT_ABSENT = -1 };

static int *field(struct settings_limits *limits, const struct limit *limit)
{
    return (int *)(void *)((char *)limits + limit->offset);
}

/* Room for one more. */
static int begin(struct settings *s, const char *name, size_t n, struct settings_limits **out,
                 struct error *err)
{
    struct settings_limits *limits;

    if (!setting_is_name(name, n))
        return error_set(err, -EINVAL, "\"%.*s\" is not a model name", (int)(n < 80 ? n : 80),
                         name);
    for (int i = 0; i < s->n_limits; i++)
        if (strncmp(s->limits[i].model, name, n) == 0 && !s->limits[i].model[n])
            return error_set(err, -EINVAL, "model \"%.*s\" has limits twice", (int)n, name);
    if (s->n_limits == SETTINGS_MODELS_MAX)
        return error_set(err, -EINVAL, "limits of more than %d models", SETTINGS_MODELS_MAX);
    limits = &s->limits[s->n_limits++];
    memcpy(limits->model, name, n);
    limits->model[n] = '\0';
    for (int i = 0; i < N_LIMITS; i++)
        *field(limits, &table[i]) = LIMIT_ABSENT;
    *out = limits;
    return 0;
}

static int set(struct settings_limits *limits, const struct limit *limit, long long value,
               struct error *err)
{
    int min = limit->offset == offsetof(struct settings_limits, max_queue) ? 0 : 1;

    if (value < min || value > limit->max)
        return error_set(err, -EINVAL, "%s of model \"%s\" is out of range, expected %d to %d",
                         limit->name, limits->model, min, limit->max);
    if (*field(limits, limit) != LIMIT_ABSENT)
        return error_set(err, -EINVAL, "%s of model \"%s\" is there twice", limit->name,
                         limits->model);
    *field(limits, limit) = (int)value;
    return 0;
}

/* "max-nfe=100" of n bytes. */
static int read_one(struct settings_limits *limits, const char *text, size_t n, struct error *err)
{
    size_t name = strcspn(text, "=");
    char *end;
    long long value;

    for (int i = 0; i < N_LIMITS && name < n; i++) {
        if (strlen(table[i].name) != name || memcmp(table[i].name, text, name) != 0 ||
            !isdigit((unsigned char)text[name + 1]))
            continue;
        value = strtoll(text + name + 1, &end, 10);
        if (end == text + n)
            return set(limits, &table[i], value, err);
    }
    return error_set(err, -EINVAL,
                     "\"%.*s\" is not a limit, expected max-queue=N, max-images=N or max-nfe=N",
                     (int)n, text);
}

int model_limits_add(struct settings *s, const char *text, struct error *err)
{
    struct settings_limits *limits;
    size_t n = strcspn(text, ":");
    int rc;

    if (!text[n])
        return error_set(err, -EINVAL, "\"%s\" is not NAME:max-nfe=N, with a : between limits",
                         text);
    rc = begin(s, text, n, &limits, err);
    while (rc == 0 && text[n]) {
        text += n + 1;
        n = strcspn(text, ":");
        rc = read_one(limits, text, n, err);
    }
    return rc;
}

static int read_object(struct settings_limits *limits, json_t *object, struct error *err)
{
    const json_t *value;
    const char *key;
    int i, rc = 0;

    json_object_foreach(object, key, value)
    {
        for (i = 0; i < N_LIMITS && strcmp(table[i].key, key) != 0; i++)
            ;
        if (i == N_LIMITS || !json_is_integer(value))
            return error_set(err, -EINVAL, "\"%s\" of model \"%s\" is not a limit with an integer",
                             key, limits->model);
        rc = set(limits, &table[i], json_integer_value(value), err);
        if (rc < 0)
            return rc;
    }
    return rc;
}

int model_limits_set(struct settings *s, struct json_t *object, struct error *err)
{
    struct settings_limits *limits;
    const char *name;
    json_t *value;
    int rc = 0;

    s->n_limits = 0;
    if (!json_is_object(object))
        return error_set(err, -EINVAL, "must be an object of models and their limits");
    json_object_foreach(object, name, value)
    {
        rc = begin(s, name, strlen(name), &limits, err);
        if (rc == 0 && !json_is_object(value))
            rc = error_set(err, -EINVAL, "limits of model \"%s\" must be an object", name);
        if (rc == 0)
            rc = read_object(limits, value, err);
        if (rc < 0)
            return rc;
    }
    return rc;
}

struct json_t *model_limits_to_json(const struct settings *s)
{
    json_t *models = json_object(), *limits;

    for (int i = 0; i < s->n_limits; i++) {
        struct settings_limits copy = s->limits[i];

        limits = json_object();
        for (int j = 0; j < N_LIMITS; j++)
            if (*field(&copy, &table[j]) != LIMIT_ABSENT)
                json_object_set_new(limits, table[j].key, json_integer(*field(&copy, &table[j])));
        json_object_set_new(models, copy.model, limits);
    }
    return models;
}

int model_limits_check(const struct settings *s, struct error *err)
{
    for (int i = 0; i < s->n_limits; i++) {
        const struct settings_limits *limits = &s->limits[i];

        if (limits->max_images > s->max_images || limits->max_nfe > s->max_nfe)
            return error_set(err, -EINVAL,
                             "model-limits: those of model \"%s\" are beyond max-images or "
                             "max-nfe, which hold for all",
                             limits->model);
    }
    return 0;
}

struct settings_limits model_limits_of(const struct settings *s, const char *name)
{
    struct settings_limits all = {.max_queue = s->max_queue,
                                  .max_images = s->max_images,
                                  .max_nfe = s->max_nfe},
                           own;

    snprintf(all.model, sizeof(all.model), "%s", name);
    for (int i = 0; i < s->n_limits; i++) {
        if (strcmp(s->limits[i].model, name) != 0)
            continue;
        own = s->limits[i];
        for (int j = 0; j < N_LIMITS; j++)
            if (*field(&own, &table[j]) == LIMIT_ABSENT)
                *field(&own, &table[j]) = *field(&all, &table[j]);
        return own;
    }
    return all;
}
