#include "config/settings.h"

#include "config/model_limits.h"
#include "config/setting.h"
#include "engine/base/error.h"
#include "engine/base/whole_file.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define FIELD(name) offsetof(struct settings, name)

static const struct setting table[] = {
    {"listen", SETTING_ADDRESS, FIELD(listen), "127.0.0.1:8080", 0, 0, NULL,
     "address of the API; port 0: any free one; unix:PATH: a socket there"},
    {"admin-listen", SETTING_ADDRESS, FIELD(admin_listen), "127.0.0.1:9090", 0, 0, NULL,
     "address of probes and the view of the queue"},
    {"socket-mode", SETTING_CHOICE, FIELD(socket_mode), "660", 0, 0, "600|660|666",
     "who may connect to unix:PATH: owner, group, all"},
    {"model", SETTING_MODELS, FIELD(models), NULL, 0, 0, NULL,
     "NAME=PATH of a checkpoint; repeat for more, the first is the default"},
    {"model-dir", SETTING_FILE, FIELD(model_dir), "", 0, 0, NULL,
     "folder whose every NAME.safetensors is a model, behind those of --model"},
    {"device", SETTING_DEVICES, FIELD(devices), "auto", 0, 0, NULL,
     "auto, cuda:0 to cuda:63, cpu or reference; several, too: cuda:0,cuda:1"},
    {"precision", SETTING_CHOICE, FIELD(precision), "auto", 0, 0, "auto|fp32|bf16|fp16",
     "arithmetic; auto: the device's fastest"},
    {"choices", SETTING_FILE, FIELD(choices), "", 0, 0, NULL,
     "table that says which algorithms compute what; default: those that come with softdiff"},
    {"threads", SETTING_INTEGER, FIELD(threads), "0", 0, 1024, NULL,
     "threads of each device; 0: as many as this process may use, shared out"},
    {"slots", SETTING_INTEGER, FIELD(slots), "16", 1, 4096, NULL,
     "images that a model computes at a time on each device"},
    {"max-queue", SETTING_INTEGER, FIELD(max_queue), "256", 0, 65536, NULL,
     "images that may wait for a slot, per model; requests beyond it get 503"},
    {"max-images", SETTING_INTEGER, FIELD(max_images), "64", 1, 64, NULL, "images per request"},
    {"max-nfe", SETTING_INTEGER, FIELD(max_nfe), "1000", 1, 10000, NULL,
     "network evaluations per image"},
    {"model-limits", SETTING_LIMITS, FIELD(limits), NULL, 0, 0, NULL,
     "limits of one model, as NAME:max-queue=N:max-images=N:max-nfe=N; repeat for more"},
    {"request-timeout", SETTING_DURATION, FIELD(request_timeout_ms), "60s", 1, 86400000, NULL,
     "longest time from request to answer; beyond it 504"},
    {"response-cache", SETTING_BYTES, FIELD(response_cache_bytes), "64MiB", 0, INT_MAX, NULL,
     "memory for images that were asked for by their address; 0: none"},
    {"api-key-file", SETTING_FILE, FIELD(api_key_file), "", 0, 0, NULL,
     "who may use the API: lines of NAME and the SHA-256 of a key; default: everybody"},
    {"tls-cert", SETTING_FILE, FIELD(tls_cert), "", 0, 0, NULL,
     "PEM file of the API's certificate and its chain, with --tls-key; default: no TLS"},
    {"tls-key", SETTING_FILE, FIELD(tls_key), "", 0, 0, NULL,
     "PEM file of its key, without a password"},
    {"hsts-max-age", SETTING_INTEGER, FIELD(hsts_max_age_s), "31536000", 0, 63072000, NULL,
     "seconds for which browsers ask this host by TLS alone; 0: untold"},
    {"cors-origin", SETTING_ORIGINS, FIELD(cors_origin), "", 0, 0, NULL,
     "origins whose pages may read answers, as https://a.example,http://b:8000; * for all"},
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
    {"state-dir", SETTING_FILE, FIELD(state_dir), "", 0, 0, NULL,
     "folder for jobs that outlive the daemon; default: they do not"},
    {"job-store", SETTING_STORE, FIELD(job_store), "", 0, 0, NULL,
     "postgresql://USER@HOST/NAME, a server that daemons share; password: PGPASSWORD, PGPASSFILE"},
    {"job-lease", SETTING_DURATION, FIELD(job_lease_ms), "15s", 1000, 3600000, NULL,
     "time after which other daemons take up the jobs of one that has gone"},
    {"max-jobs", SETTING_INTEGER, FIELD(max_jobs), "64", 1, 65536, NULL,
     "jobs that have not ended, in the store; beyond it 503"},
    {"keep-jobs", SETTING_DURATION, FIELD(keep_jobs_ms), "10m", 1000, INT_MAX, NULL,
     "time that jobs are known after their end"},
    {"keep-results", SETTING_BYTES, FIELD(keep_results_bytes), "0", 0, INT_MAX, NULL,
     "room for images of jobs in the store; where it is 0 they are drawn again"},
    {"keep-sources", SETTING_BYTES, FIELD(keep_sources_bytes), "64MiB", 0, INT_MAX, NULL,
     "room for pictures that jobs restore in the store; beyond it 503"},
    {"webhook-allow", SETTING_PREFIXES, FIELD(webhook_allow), "", 0, 0, NULL,
     "how addresses begin that jobs may tell their end to, as https://a.example/b/,http://c:8/"},
    {"webhook-secrets", SETTING_FILE, FIELD(webhook_secrets), "", 0, 0, NULL,
     "file of what webhooks are signed with: lines of [KEY'S NAME] whsec_BASE64"},
    {"webhook-give-up", SETTING_DURATION, FIELD(webhook_give_up_ms), "1440m", 1000, INT_MAX, NULL,
     "time after a job's end for which its webhook is tried again"},
    {"trace", SETTING_FILE, FIELD(trace), "", 0, 0, NULL,
     "trace of the last ticks, in Chrome's format; of several devices FILE.0, FILE.1, .."},
    {"log-level", SETTING_CHOICE, FIELD(log_level), "info", 0, 0, "debug|info|warn|error",
     "least level that is logged"},
};

enum { N_SETTINGS = sizeof(table) / sizeof(table[0]), FILE_BYTES_MAX = 16 << 20 };

static const struct {
    const char *name;
    enum settings_action action;
    const char *help;
} actions[] = {
    {"print-config", SETTINGS_PRINT_CONFIG, "print the settings as a config file and exit"},
    {"check", SETTINGS_CHECK,
     "bind the addresses, load the checkpoints, generate with them and exit: what a start does"},
    {"healthcheck", SETTINGS_HEALTHCHECK,
     "ask the daemon at --admin-listen whether it is ready; exit 0 or 1"},
    {"list-devices", SETTINGS_LIST_DEVICES, "print what device may be on this machine and exit"},
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

static int read_json(const char *path, json_t **out, struct error *err)
{
    unsigned char *bytes;
    json_error_t error;
    size_t size;
    int rc = whole_file_read(path, FILE_BYTES_MAX, &bytes, &size, err);

    if (rc < 0) {
        error_prefix(err, "could not read config \"%s\": ", path);
        return rc;
    }
    *out = json_loadb((const char *)bytes, size, JSON_REJECT_DUPLICATES, &error);
    free(bytes);
    if (!*out && !*error.text) /* jansson has words for everything but this */
        return error_set(err, -ENOMEM, "out of memory reading config \"%s\"", path);
    if (!*out)
        return error_set(err, -EINVAL, "config \"%s\", line %d: %s", path, error.line, error.text);
    return 0;
}

static int load_file(struct settings *s, const char *path, struct error *err)
{
    json_t *root, *value;
    const char *key, *slash = strrchr(path, '/');
    char name[64], folder[SETTINGS_PATH_BYTES] = "";
    int i, rc;

    if (slash && slash - path >= SETTINGS_PATH_BYTES)
        return error_set(err, -EINVAL, "a path has less than %d bytes", SETTINGS_PATH_BYTES);
    if (slash) /* of a file in the root the slash itself */
        snprintf(folder, sizeof(folder), "%.*s", (int)(slash > path ? slash - path : 1), path);
    rc = read_json(path, &root, err);
    if (rc < 0)
        return rc;
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
        rc = setting_set_json(s, &table[i], value, folder, err);
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
    const char *text = getenv("STATE_DIRECTORY"); /* of systemd, which may name several */
    char name[64];
    int rc;

    if (text && strlen(text) < sizeof(s->state_dir))
        snprintf(s->state_dir, sizeof(s->state_dir), "%.*s", (int)strcspn(text, ":"), text);

    for (int i = 0; i < N_SETTINGS; i++) {
        env_name(table[i].name, name);
        text = getenv(name);
        if (!text || !*text)
            continue;
        if (setting_is_list(&table[i]))
            setting_drop_list(s, &table[i]);
        rc = setting_set_text(s, &table[i], text, err);
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
        return error_set(err, -EINVAL, "unknown argument \"%s\"", word);
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
    bool seen[N_SETTINGS] = {false}; /* lists: a flag replaces those of other sources */
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
            return error_set(err, -EINVAL, "unknown flag --%s", flag.name);
        if (!flag.value && ++i < argc)
            flag.value = argv[i];
        if (!flag.value)
            return error_set(err, -EINVAL, "--%s needs a value", flag.name);
        if (!setting) {
            *config = flag.value;
            continue;
        }
        if (setting_is_list(setting) && !seen[setting - table]) {
            seen[setting - table] = true;
            setting_drop_list(s, setting);
        }
        rc = setting_set_text(s, setting, flag.value, err);
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
            rc = setting_set_text(out, &table[i], table[i].fallback, err);
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
    if (rc == 0)
        rc = load_flags(out, argc, argv, &config, err);
    if (rc < 0)
        return rc;
    if (!*out->tls_cert != !*out->tls_key)
        return error_set(err, -EINVAL,
                         "--tls-cert and --tls-key go together: one of them is missing");
    if (!*out->webhook_allow != !*out->webhook_secrets)
        return error_set(err, -EINVAL,
                         "--webhook-allow and --webhook-secrets go together: one of them is "
                         "missing");
    return model_limits_check(out, err);
}

int settings_print(const struct settings *s, FILE *file, struct error *err)
{
    json_t *root = json_object();
    char name[64];
    int rc = 0;

    for (int i = 0; i < N_SETTINGS; i++) {
        key_name(&table[i], name);
        if (json_object_set_new(root, name, setting_to_json(s, &table[i])) < 0)
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
        [SETTING_DEVICES] = "NAME,..",
        [SETTING_INTEGER] = "N",
        [SETTING_DURATION] = "DURATION",
        [SETTING_ORIGINS] = "ORIGIN,..",
        [SETTING_PREFIXES] = "URL,..",
        [SETTING_BYTES] = "SIZE",
        [SETTING_STORE] = "URL",
        [SETTING_MODELS] = "NAME=PATH",
        [SETTING_LIMITS] = "NAME:LIMITS",
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
    fprintf(file, "  --config FILE\n        JSON file of the settings above, with _ for -; its "
                  "paths are relative to "
                  "it\n\n");
    for (int i = 0; i < N_ACTIONS; i++)
        fprintf(file, "  --%s\n        %s\n", actions[i].name, actions[i].help);
    fprintf(file, "\nEvery setting is also an environment variable, --max-queue being "
                  "SOFTDIFF_MAX_QUEUE.\nFlags win over the environment, the environment over "
                  "the file.\n");
}
