/* Every source of a setting ends in set_text(), except numbers of the file, so that a value means
 * the same wherever it stands.
 */
#include "config/settings.h"

#include "engine/base/error.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum setting_type {
    SETTING_ADDRESS,
    SETTING_CHOICE,
    SETTING_FILE,
    SETTING_NAME,
    SETTING_INTEGER,
    SETTING_DURATION, /* ms */
    SETTING_MODELS,
};

struct setting {
    const char *name;
    enum setting_type type;
    size_t offset;        /* of the field of struct settings */
    const char *fallback; /* the default */
    int min, max;         /* integers and durations */
    const char *choices;  /* "a|b|c" */
    const char *help;
};

#define FIELD(name) offsetof(struct settings, name)

static const struct setting table[] = {
    {"listen", SETTING_ADDRESS, FIELD(listen), "127.0.0.1:8080", 0, 0, NULL,
     "address of the API; port 0: any free one"},
    {"admin-listen", SETTING_ADDRESS, FIELD(admin_listen), "127.0.0.1:9090", 0, 0, NULL,
     "address of probes and the view of the queue"},
    {"model", SETTING_MODELS, FIELD(models), NULL, 0, 0, NULL,
     "NAME=PATH of a checkpoint; repeat for more, the first is the default"},
    {"device", SETTING_NAME, FIELD(device), "auto", 0, 0, NULL, "auto, cpu or reference"},
    {"precision", SETTING_CHOICE, FIELD(precision), "auto", 0, 0, "auto|fp32|bf16",
     "arithmetic of the network; auto: the fastest that the processor has"},
    {"choices", SETTING_FILE, FIELD(choices), "", 0, 0, NULL,
     "table that says which algorithms compute what; default: those that come with softdiff"},
    {"threads", SETTING_INTEGER, FIELD(threads), "0", 0, 1024, NULL,
     "threads of the device; 0: as many as this process may use"},
    {"slots", SETTING_INTEGER, FIELD(slots), "16", 1, 4096, NULL,
     "images that a model computes at a time"},
    {"max-queue", SETTING_INTEGER, FIELD(max_queue), "256", 0, 65536, NULL,
     "images that may wait for a slot, per model; requests beyond it get 503"},
    {"max-images", SETTING_INTEGER, FIELD(max_images), "64", 1, 64, NULL, "images per request"},
    {"max-nfe", SETTING_INTEGER, FIELD(max_nfe), "1000", 1, 10000, NULL,
     "network evaluations per image"},
    {"request-timeout", SETTING_DURATION, FIELD(request_timeout_ms), "60s", 1, 86400000, NULL,
     "longest time from request to answer; beyond it 504"},
    {"max-connections", SETTING_INTEGER, FIELD(max_connections), "1024", 1, 65536, NULL,
     "open connections to the API"},
    {"max-connections-per-ip", SETTING_INTEGER, FIELD(max_connections_per_ip), "256", 0, 65536,
     NULL, "open connections of one client; 0: no limit"},
    {"header-timeout", SETTING_DURATION, FIELD(header_timeout_ms), "10s", 1, 3600000, NULL,
     "time a client has to send a request's head, and again its body"},
    {"idle-timeout", SETTING_DURATION, FIELD(idle_timeout_ms), "60s", 1, 3600000, NULL,
     "time between two requests of a connection, and to receive an answer"},
    {"stall-timeout", SETTING_DURATION, FIELD(stall_timeout_ms), "60s", 1, 3600000, NULL,
     "a network evaluation that takes longer makes the probes fail"},
    {"drain-delay", SETTING_DURATION, FIELD(drain_delay_ms), "0s", 0, 3600000, NULL,
     "time that SIGTERM leaves to balancers to notice; the daemon serves on meanwhile"},
    {"drain-timeout", SETTING_DURATION, FIELD(drain_timeout_ms), "25s", 0, 3600000, NULL,
     "time that SIGTERM leaves to accepted requests"},
    {"log-level", SETTING_CHOICE, FIELD(log_level), "info", 0, 0, "debug|info|warn|error",
     "least level that is logged"},
};

enum { N_SETTINGS = sizeof(table) / sizeof(table[0]) };

static const struct {
    const char *name;
    enum settings_action action;
    const char *help;
} actions[] = {
    {"print-config", SETTINGS_PRINT_CONFIG, "print the settings as a config file and exit"},
    {"check", SETTINGS_CHECK, "check the settings, load the checkpoints and exit"},
    {"healthcheck", SETTINGS_HEALTHCHECK,
     "ask the daemon at --admin-listen whether it is ready; exit 0 or 1"},
    {"version", SETTINGS_VERSION, "print the version and exit"},
    {"help", SETTINGS_HELP, "print this and exit"},
};

enum { N_ACTIONS = sizeof(actions) / sizeof(actions[0]) };

/* A way to spell a setting: "max_queue", "SOFTDIFF_MAX_QUEUE". */
static void key_name(const struct setting *s, char out[64])
{
    size_t i;

    for (i = 0; s->name[i]; i++)
        out[i] = s->name[i] == '-' ? '_' : s->name[i];
    out[i] = '\0';
}

static void env_name(const char *name, char out[64])
{
    size_t i, n = (size_t)snprintf(out, 64, "SOFTDIFF_");

    for (i = 0; name[i]; i++)
        out[n + i] = name[i] == '-' ? '_' : (char)toupper((unsigned char)name[i]);
    out[n + i] = '\0';
}

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

static int set_duration(struct settings *s, const struct setting *setting, const char *text,
                        struct error *err)
{
    static const struct {
        const char *suffix;
        int ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}};
    const char *suffix;
    long long value;

    if (read_number(text, &value, &suffix) == 0)
        for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
            if (strcmp(suffix, units[i].suffix) == 0)
                return set_integer(s, setting, value * units[i].ms, err);
    return error_set(err, -EINVAL, "\"%s\" is not a duration, expected e.g. 500ms, 25s or 2m",
                     text);
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

static bool name_is_good(const char *name, size_t n)
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

    if (!name_is_good(name, name_size))
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

static int set_text(struct settings *s, const struct setting *setting, const char *text,
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
    case SETTING_NAME:
        if (!name_is_good(text, strlen(text)))
            return error_set(err, -EINVAL, "\"%s\" is not a name", text);
        snprintf(text_field(s, setting), SETTINGS_NAME_BYTES + 1, "%s", text);
        return 0;
    case SETTING_INTEGER:
        if (read_number(text, &value, &rest) < 0 || *rest)
            return error_set(err, -EINVAL, "\"%s\" is not an integer from %d to %d", text,
                             setting->min, setting->max);
        return set_integer(s, setting, value, err);
    case SETTING_DURATION:
        return set_duration(s, setting, text, err);
    case SETTING_MODELS:
        return add_models(s, text, err);
    }
    return -EINVAL;
}

static int set_json(struct settings *s, const struct setting *setting, json_t *value,
                    struct error *err)
{
    const json_t *path;
    const char *name;
    int rc = 0;

    if (setting->type == SETTING_INTEGER && json_is_integer(value))
        return set_integer(s, setting, json_integer_value(value), err);
    if (setting->type == SETTING_MODELS) {
        s->n_models = 0;
        if (!json_is_object(value))
            return error_set(err, -EINVAL, "must be an object of names and paths");
        json_object_foreach(value, name, path)
        {
            if (!json_is_string(path))
                return error_set(err, -EINVAL, "the path of model \"%s\" must be a string", name);
            rc = add_model(s, name, strlen(name), json_string_value(path), json_string_length(path),
                           err);
            if (rc < 0)
                return rc;
        }
        return 0;
    }
    if (setting->type == SETTING_INTEGER || !json_is_string(value))
        return error_set(err, -EINVAL, "must be %s",
                         setting->type == SETTING_INTEGER ? "an integer" : "a string");
    return set_text(s, setting, json_string_value(value), err);
}

static int load_file(struct settings *s, const char *path, struct error *err)
{
    json_error_t error;
    json_t *root, *value;
    const char *key;
    char name[64];
    int i, rc = 0;

    root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!root && json_error_code(&error) == json_error_cannot_open_file)
        return error_set(err, -ENOENT, "could not open config \"%s\": %s", path, strerror(errno));
    if (!root)
        return error_set(err, -EINVAL, "config \"%s\", line %d: %s", path, error.line, error.text);
    if (!json_is_object(root))
        rc = error_set(err, -EINVAL, "config \"%s\" is not a JSON object", path);
    json_object_foreach(root, key, value)
    {
        for (i = 0; i < N_SETTINGS; i++) {
            key_name(&table[i], name);
            if (strcmp(name, key) == 0)
                break;
        }
        if (i == N_SETTINGS) {
            rc = error_set(err, -EINVAL, "config \"%s\": \"%s\" is not a setting", path, key);
            break;
        }
        rc = set_json(s, &table[i], value, err);
        if (rc < 0) {
            error_prefix(err, "config \"%s\": \"%s\": ", path, key);
            break;
        }
    }
    json_decref(root);
    return rc;
}

static int load_environment(struct settings *s, struct error *err)
{
    char name[64];
    const char *text;
    int rc;

    for (int i = 0; i < N_SETTINGS; i++) {
        env_name(table[i].name, name);
        text = getenv(name);
        if (!text || !*text)
            continue;
        if (table[i].type == SETTING_MODELS)
            s->n_models = 0;
        rc = set_text(s, &table[i], text, err);
        if (rc < 0) {
            error_prefix(err, "%s: ", name);
            return rc;
        }
    }
    return 0;
}

/* One flag of argv, "--name value" or "--name=value". */
struct flag {
    char name[64];
    const char *value; /* NULL: none in the same word */
};

static int split_flag(const char *word, struct flag *out, struct error *err)
{
    const char *equals = strchr(word, '=');
    size_t n = equals ? (size_t)(equals - word) : strlen(word);

    if (n < 3 || n - 2 >= sizeof(out->name) || strncmp(word, "--", 2) != 0)
        return error_set(err, -EINVAL, "unknown argument \"%s\", see --help", word);
    memcpy(out->name, word + 2, n - 2);
    out->name[n - 2] = '\0';
    out->value = equals ? equals + 1 : NULL;
    return 0;
}

static const struct setting *find_setting(const char *name)
{
    for (int i = 0; i < N_SETTINGS; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

static int load_flags(struct settings *s, int argc, char **argv, const char **config,
                      struct error *err)
{
    const struct setting *setting;
    bool models_seen = false;
    struct flag flag;
    int a, rc;

    for (int i = 1; i < argc; i++) {
        rc = split_flag(argv[i], &flag, err);
        if (rc < 0)
            return rc;
        for (a = 0; a < N_ACTIONS && strcmp(actions[a].name, flag.name) != 0; a++)
            ;
        if (a < N_ACTIONS) {
            if (flag.value)
                return error_set(err, -EINVAL, "--%s takes no value", flag.name);
            s->action = actions[a].action;
            continue;
        }
        setting = find_setting(flag.name);
        if (!setting && strcmp(flag.name, "config") != 0)
            return error_set(err, -EINVAL, "unknown flag --%s, see --help", flag.name);
        if (!flag.value && ++i < argc)
            flag.value = argv[i];
        if (!flag.value)
            return error_set(err, -EINVAL, "--%s needs a value", flag.name);
        if (!setting) {
            *config = flag.value;
            continue;
        }
        if (setting->type == SETTING_MODELS && !models_seen) {
            models_seen = true;
            s->n_models = 0;
        }
        rc = set_text(s, setting, flag.value, err);
        if (rc < 0) {
            error_prefix(err, "--%s: ", flag.name);
            return rc;
        }
    }
    return 0;
}

int settings_load(int argc, char **argv, struct settings *out, struct error *err)
{
    const char *config = getenv("SOFTDIFF_CONFIG");
    struct settings first;
    int rc;

    memset(out, 0, sizeof(*out));
    for (int i = 0; i < N_SETTINGS; i++)
        if (table[i].fallback) {
            rc = set_text(out, &table[i], table[i].fallback, err);
            if (rc < 0)
                return rc;
        }
    /* The file is the weakest source, but a flag names it: read the flags twice. */
    first = *out;
    rc = load_flags(&first, argc, argv, &config, err);
    if (rc < 0)
        return rc;
    if (first.action == SETTINGS_HELP || first.action == SETTINGS_VERSION) {
        out->action = first.action;
        return 0;
    }
    if (config && *config) {
        rc = load_file(out, config, err);
        if (rc < 0)
            return rc;
    }
    rc = load_environment(out, err);
    if (rc < 0)
        return rc;
    return load_flags(out, argc, argv, &config, err);
}

static json_t *value_to_json(const struct settings *s, const struct setting *setting)
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
    case SETTING_MODELS:
        models = json_object();
        for (int i = 0; i < s->n_models; i++)
            json_object_set_new(models, s->models[i].name, json_string(s->models[i].path));
        return models;
    default:
        return json_string(field);
    }
}

int settings_print(const struct settings *s, FILE *file, struct error *err)
{
    json_t *root = json_object();
    char name[64];
    int rc = 0;

    for (int i = 0; i < N_SETTINGS; i++) {
        key_name(&table[i], name);
        if (json_object_set_new(root, name, value_to_json(s, &table[i])) < 0)
            rc = -ENOMEM;
    }
    if (rc < 0 || json_dumpf(root, file, JSON_INDENT(2)) < 0 || fputc('\n', file) == EOF)
        rc = error_set(err, -ENOMEM, "could not print the settings");
    json_decref(root);
    return rc;
}

void settings_help(FILE *file)
{
    static const char *const values[] = {
        [SETTING_ADDRESS] = "ADDRESS:PORT",
        [SETTING_CHOICE] = "NAME",
        [SETTING_FILE] = "FILE",
        [SETTING_NAME] = "NAME",
        [SETTING_INTEGER] = "N",
        [SETTING_DURATION] = "DURATION",
        [SETTING_MODELS] = "NAME=PATH",
    };

    fprintf(file, "softdiffd serves Soft Diffusion models over HTTP.\n\n"
                  "usage: softdiffd --model NAME=PATH [flags]\n\n");
    for (int i = 0; i < N_SETTINGS; i++) {
        fprintf(file, "  --%s %s\n        %s", table[i].name, values[table[i].type], table[i].help);
        if (table[i].choices)
            fprintf(file, "; one of %s", table[i].choices);
        if (table[i].fallback && *table[i].fallback)
            fprintf(file, " (default %s)", table[i].fallback);
        fputc('\n', file);
    }
    fprintf(file, "  --config FILE\n        JSON file of the settings above, with _ for -\n\n");
    for (int i = 0; i < N_ACTIONS; i++)
        fprintf(file, "  --%s\n        %s\n", actions[i].name, actions[i].help);
    fprintf(file, "\nEvery setting is also an environment variable, --max-queue being "
                  "SOFTDIFF_MAX_QUEUE.\nFlags win over the environment, the environment over "
                  "the file.\n");
}
