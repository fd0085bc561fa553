#include "config/setting.h"

#include "config/model_limits.h"
#include "config/settings.h"
#include "config/webhook_url.h"
#include "engine/base/error.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of names of devices. */
#define DEVICE_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:._-"

static char *text_field(struct settings *s, const struct setting *setting)
{
    return (char *)s + setting->offset;
}

static int *int_field(struct settings *s, const struct setting *setting)
{
    return (int *)(void *)((char *)s + setting->offset);
}

static int set_integer(struct settings *s, const struct setting *setting, long long value,
                       struct error *err)
{
    if (value < setting->min || value > setting->max)
        return error_set(err, -EINVAL, "%lld is out of range, expected %d to %d%s", value,
                         setting->min, setting->max,
                         setting->type == SETTING_DURATION ? " ms" : "");
    *int_field(s, setting) = (int)value;
    return 0;
}

static int read_number(const char *text, long long *out, const char **rest)
{
    char *end;

    if (!isdigit((unsigned char)*text))
        return -EINVAL;
    errno = 0;
    *out = strtoll(text, &end, 10);
    *rest = end;
    return errno || *out > 1000000000 ? -EINVAL : 0;
}

static const struct unit {
    const char *suffix;
    int factor;
} durations[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}},
  sizes[] = {{"", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};

/* A number and one of n units. 0 or -EINVAL. */
static int read_quantity(const char *text, const struct unit *units, size_t n, long long *out)
{
    const char *suffix;

    if (read_number(text, out, &suffix) < 0)
        return -EINVAL;
    for (size_t i = 0; i < n; i++)
        if (strcmp(suffix, units[i].suffix) == 0) {
            *out *= units[i].factor;
            return 0;
        }
    return -EINVAL;
}

static int set_duration(struct settings *s, const struct setting *setting, const char *text,
                        struct error *err)
{
    long long value;

    if (read_quantity(text, durations, sizeof(durations) / sizeof(durations[0]), &value) == 0)
        return set_integer(s, setting, value, err);
    return error_set(err, -EINVAL, "\"%s\" is not a duration, expected e.g. 500ms, 25s or 2m",
                     text);
}

static int set_size(struct settings *s, const struct setting *setting, const char *text,
                    struct error *err)
{
    long long value;

    if (read_quantity(text, sizes, sizeof(sizes) / sizeof(sizes[0]), &value) == 0)
        return set_integer(s, setting, value, err);
    return error_set(err, -EINVAL, "\"%s\" is not a size, expected e.g. 64MiB, 512KiB or 0", text);
}

/* The size in its largest unit. */
static json_t *size_to_json(int bytes)
{
    size_t i = sizeof(sizes) / sizeof(sizes[0]) - 1;

    while (bytes == 0 ? i > 0 : bytes % sizes[i].factor != 0)
        i--;
    return json_sprintf("%d%s", bytes / sizes[i].factor, sizes[i].suffix);
}

static int set_choice(struct settings *s, const struct setting *setting, const char *text,
                      struct error *err)
{
    const char *choice = setting->choices;
    size_t n;

    for (;; choice += n + 1) {
        n = strcspn(choice, "|");
        if (strlen(text) == n && memcmp(choice, text, n) == 0)
            break;
        if (!choice[n])
            return error_set(err, -EINVAL, "\"%s\" is not one of %s", text, setting->choices);
    }
    memcpy(text_field(s, setting), text, n + 1);
    return 0;
}

bool setting_is_name(const char *name, size_t n)
{
    if (n == 0 || n > SETTINGS_NAME_BYTES || !isalnum((unsigned char)name[0]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && !memchr("._-", name[i], 3))
            return false;
    return true;
}

static int add_model(struct settings *s, const char *name, size_t name_size, const char *path,
                     size_t path_size, struct error *err)
{
    struct settings_model *model;

    if (!setting_is_name(name, name_size))
        return error_set(err, -EINVAL,
                         "\"%.*s\" is not a model name; expected 1 to %d letters, digits, \".\", "
                         "\"_\" or \"-\"",
                         (int)(name_size < 80 ? name_size : 80), name, SETTINGS_NAME_BYTES);
    if (path_size == 0 || path_size >= SETTINGS_PATH_BYTES)
        return error_set(err, -EINVAL, "model \"%.*s\" needs a path of 1 to %d bytes",
                         (int)name_size, name, SETTINGS_PATH_BYTES - 1);
    for (int i = 0; i < s->n_models; i++)
        if (strncmp(s->models[i].name, name, name_size) == 0 && !s->models[i].name[name_size])
            return error_set(err, -EINVAL, "model \"%.*s\" is given twice", (int)name_size, name);
    if (s->n_models == SETTINGS_MODELS_MAX)
        return error_set(err, -EINVAL, "more than %d models", SETTINGS_MODELS_MAX);
    model = &s->models[s->n_models++];
    memcpy(model->name, name, name_size);
    model->name[name_size] = '\0';
    memcpy(model->path, path, path_size);
    model->path[path_size] = '\0';
    return 0;
}

/* "name=path,name=path" */
static int add_models(struct settings *s, const char *text, struct error *err)
{
    size_t n, name_size;
    int rc;

    for (;; text += n + 1) {
        n = strcspn(text, ",");
        name_size = strcspn(text, "=");
        if (name_size >= n)
            return error_set(err, -EINVAL, "\"%s\" is not NAME=PATH", text);
        rc = add_model(s, text, name_size, text + name_size + 1, n - name_size - 1, err);
        if (rc < 0 || !text[n])
            return rc;
    }
}

/* "name,name": which there are is the engine's to know. */
static int set_devices(struct settings *s, const char *text, struct error *err)
{
    size_t n;

    for (s->n_devices = 0;; text += n + 1) {
        n = strcspn(text, ",");
        if (n == 0 || n > SETTINGS_NAME_BYTES || n > strspn(text, DEVICE_BYTES))
            return error_set(err, -EINVAL, "\"%.*s\" is not the name of a device",
                             (int)(n < 80 ? n : 80), text);
        if (s->n_devices == SETTINGS_DEVICES_MAX)
            return error_set(err, -EINVAL, "more than %d devices", SETTINGS_DEVICES_MAX);
        memcpy(s->devices[s->n_devices], text, n);
        s->devices[s->n_devices++][n] = '\0';
        if (!text[n])
            return 0;
    }
}

static json_t *devices_to_json(const struct settings *s)
{
    char text[SETTINGS_DEVICES_MAX * (SETTINGS_NAME_BYTES + 1)] = "";
    size_t n = 0;

    for (int i = 0; i < s->n_devices; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", i > 0 ? "," : "", s->devices[i]);
    return json_string(text);
}

/* scheme://host[:port] as browsers send it: lower case and nothing behind it. */
static bool origin_is_good(const char *text, size_t n)
{
    size_t scheme = n > 7 && memcmp(text, "http://", 7) == 0    ? 7
                    : n > 8 && memcmp(text, "https://", 8) == 0 ? 8
                                                                : 0;

    for (size_t i = scheme; i < n; i++)
        if (!islower((unsigned char)text[i]) && !isdigit((unsigned char)text[i]) &&
            !memchr(".-:[]", text[i], 5))
            return false;
    return scheme > 0;
}

static int set_origins(struct settings *s, const struct setting *setting, const char *text,
                       struct error *err)
{
    size_t n;

    if (strlen(text) >= SETTINGS_PATH_BYTES)
        return error_set(err, -EINVAL, "origins have less than %d bytes", SETTINGS_PATH_BYTES);
    for (const char *p = text; strcmp(text, "*") != 0 && *p; p += n + (p[n] != '\0')) {
        n = strcspn(p, ",");
        if (!origin_is_good(p, n))
            return error_set(err, -EINVAL,
                             "\"%.*s\" is not an origin, expected e.g. https://a.example or "
                             "http://localhost:8000",
                             (int)n, p);
    }
    snprintf(text_field(s, setting), SETTINGS_PATH_BYTES, "%s", text);
    return 0;
}

/* Whoever lists processes sees flags, and whoever prints settings all of them: secrets are elsewhere. */
static int set_store(struct settings *s, const struct setting *setting, const char *text,
                     struct error *err)
{
    const char *host = strstr(text, "://"), *user_end;

    if (!*text) {
        *text_field(s, setting) = '\0';
        return 0;
    }
    if (strncmp(text, "postgresql://", 13) != 0 && strncmp(text, "postgres://", 11) != 0)
        return error_set(err, -EINVAL, "the store is not a URL that begins with postgresql://");
    if (strlen(text) >= SETTINGS_PATH_BYTES)
        return error_set(err, -EINVAL, "a URL has less than %d bytes", SETTINGS_PATH_BYTES);
    host += 3;
    user_end = memchr(host, '@', strcspn(host, "/?"));
    if ((user_end && memchr(host, ':', (size_t)(user_end - host))) || strstr(text, "password="))
        return error_set(err, -EINVAL,
                         "the store's URL has a password, which others could read; put it into "
                         "PGPASSWORD, or into the file that PGPASSFILE or ?passfile= names");
    snprintf(text_field(s, setting), SETTINGS_PATH_BYTES, "%s", text);
    return 0;
}

static int set_prefixes(struct settings *s, const struct setting *setting, const char *text,
                        struct error *err)
{
    if (strlen(text) >= SETTINGS_PATH_BYTES)
        return error_set(err, -EINVAL, "they have less than %d bytes together",
                         SETTINGS_PATH_BYTES);
    if (webhook_rules_check(text, err) < 0)
        return -EINVAL;
    snprintf(text_field(s, setting), SETTINGS_PATH_BYTES, "%s", text);
    return 0;
}

/* "NAME:LIMITS,NAME:LIMITS" */
static int add_limits(struct settings *s, const char *text, struct error *err)
{
    char one[SETTINGS_PATH_BYTES];
    size_t n;
    int rc;

    for (;; text += n + 1) {
        n = strcspn(text, ",");
        if (n >= sizeof(one))
            return error_set(err, -EINVAL, "limits have less than %zu bytes", sizeof(one));
        memcpy(one, text, n);
        one[n] = '\0';
        rc = model_limits_add(s, one, err);
        if (rc < 0 || !text[n])
            return rc;
    }
}

bool setting_is_list(const struct setting *setting)
{
    return setting->type == SETTING_MODELS || setting->type == SETTING_LIMITS;
}

void setting_drop_list(struct settings *s, const struct setting *setting)
{
    if (setting->type == SETTING_MODELS)
        s->n_models = 0;
    else
        s->n_limits = 0;
}

int setting_set_text(struct settings *s, const struct setting *setting, const char *text,
                     struct error *err)
{
    struct address address;
    const char *rest;
    long long value;
    int rc;

    switch (setting->type) {
    case SETTING_ADDRESS:
        rc = address_parse(text, &address, err);
        if (rc == 0)
            snprintf(text_field(s, setting), ADDRESS_TEXT_BYTES, "%s", text);
        return rc;
    case SETTING_CHOICE:
        return set_choice(s, setting, text, err);
    case SETTING_FILE:
        if (strlen(text) >= SETTINGS_PATH_BYTES)
            return error_set(err, -EINVAL, "a path has less than %d bytes", SETTINGS_PATH_BYTES);
        snprintf(text_field(s, setting), SETTINGS_PATH_BYTES, "%s", text);
        return 0;
    case SETTING_DEVICES:
        return set_devices(s, text, err);
    case SETTING_INTEGER:
        if (read_number(text, &value, &rest) < 0 || *rest)
            return error_set(err, -EINVAL, "\"%s\" is not an integer from %d to %d", text,
                             setting->min, setting->max);
        return set_integer(s, setting, value, err);
    case SETTING_DURATION:
        return set_duration(s, setting, text, err);
    case SETTING_BYTES:
        return set_size(s, setting, text, err);
    case SETTING_ORIGINS:
        return set_origins(s, setting, text, err);
    case SETTING_PREFIXES:
        return set_prefixes(s, setting, text, err);
    case SETTING_STORE:
        return set_store(s, setting, text, err);
    case SETTING_MODELS:
        return add_models(s, text, err);
    case SETTING_LIMITS:
        return add_limits(s, text, err);
    }
    return -EINVAL;
}

/* A path as it is meant in a folder. out: [SETTINGS_PATH_BYTES]. */
static int join(const char *folder, const char *path, char *out, struct error *err)
{
    bool as_it_is = *path == '/' || !*path || !*folder;
    int n = snprintf(out, SETTINGS_PATH_BYTES, "%s%s%s", as_it_is ? "" : folder,
                     as_it_is ? "" : "/", path);

    if (n >= SETTINGS_PATH_BYTES)
        return error_set(err, -EINVAL, "a path has less than %d bytes", SETTINGS_PATH_BYTES);
    return 0;
}

static int set_models(struct settings *s, json_t *value, const char *folder, struct error *err)
{
    char path[SETTINGS_PATH_BYTES];
    const json_t *item;
    const char *name;
    int rc = 0;

    s->n_models = 0;
    if (!json_is_object(value))
        return error_set(err, -EINVAL, "must be an object of names and paths");
    json_object_foreach(value, name, item)
    {
        if (!json_is_string(item))
            return error_set(err, -EINVAL, "the path of model \"%s\" must be a string", name);
        rc = join(folder, json_string_value(item), path, err);
        if (rc == 0)
            rc = add_model(s, name, strlen(name), path, strlen(path), err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int setting_set_json(struct settings *s, const struct setting *setting, struct json_t *value,
                     const char *folder, struct error *err)
{
    char path[SETTINGS_PATH_BYTES];
    int rc;

    if ((setting->type == SETTING_INTEGER || setting->type == SETTING_BYTES) &&
        json_is_integer(value))
        return set_integer(s, setting, json_integer_value(value), err);
    if (setting->type == SETTING_MODELS)
        return set_models(s, value, folder, err);
    if (setting->type == SETTING_LIMITS)
        return model_limits_set(s, value, err);
    if (setting->type == SETTING_INTEGER || !json_is_string(value))
        return error_set(err, -EINVAL, "must be %s",
                         setting->type == SETTING_INTEGER ? "an integer" : "a string");
    if (setting->type != SETTING_FILE)
        return setting_set_text(s, setting, json_string_value(value), err);
    rc = join(folder, json_string_value(value), path, err);
    return rc < 0 ? rc : setting_set_text(s, setting, path, err);
}

/* A path that means the same in any folder; new reference. */
static json_t *absolute(const char *path)
{
    char folder[PATH_MAX];

    if (*path == '/' || !*path || !getcwd(folder, sizeof(folder)))
        return json_string(path);
    return json_sprintf("%s/%s", folder, path);
}

struct json_t *setting_to_json(const struct settings *s, const struct setting *setting)
{
    const char *field = (const char *)s + setting->offset;
    json_t *models;
    char text[32];
    int number;

    switch (setting->type) {
    case SETTING_INTEGER:
    case SETTING_DURATION:
        memcpy(&number, field, sizeof(number));
        if (setting->type == SETTING_INTEGER)
            return json_integer(number);
        snprintf(text, sizeof(text), number % 1000 ? "%dms" : "%ds",
                 number % 1000 ? number : number / 1000);
        return json_string(text);
    case SETTING_BYTES:
        memcpy(&number, field, sizeof(number));
        return size_to_json(number);
    case SETTING_DEVICES:
        return devices_to_json(s);
    case SETTING_MODELS:
        models = json_object();
        for (int i = 0; i < s->n_models; i++)
            json_object_set_new(models, s->models[i].name, absolute(s->models[i].path));
        return models;
    case SETTING_LIMITS:
        return model_limits_to_json(s);
    case SETTING_FILE:
        return absolute(field);
    default:
        return json_string(field);
    }
}
