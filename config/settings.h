/* The daemon's settings: one table of names, types, defaults and ranges (settings.c), filled from
 * a file, the environment and the command line; the later of these wins.
 *
 * A setting "max-queue" is the flag --max-queue, the variable SOFTDIFF_MAX_QUEUE and the key
 * "max_queue" of the JSON file. Durations are "25s", "500ms" or "2m", sizes "64MiB",
 * "512KiB" or bytes. Models are name=path;
 * --model and --model-limits repeat, SOFTDIFF_MODEL separates by commas, the file has {"model": {"name": "path"}}; a
 * list replaces that of a weaker source. Paths of a file are relative to its folder, others to the
 * working one. systemd's STATE_DIRECTORY stands for the setting state-dir.
 * Unknown variables are ignored (orchestrators invent some with our prefix), unknown flags and keys are errors.
 *
 * struct settings is filled once and then read by any thread.
 */
#ifndef CONFIG_SETTINGS_H
#define CONFIG_SETTINGS_H

#include "config/address.h"

#include <stdbool.h>
#include <stdio.h>

struct error;

enum {
    SETTINGS_MODELS_MAX = 16, /* that are served */
    SETTINGS_FILES_MAX = 128, /* that may be models: in a folder are others, too */
    SETTINGS_DEVICES_MAX = 16,
    SETTINGS_NAME_BYTES = 64,
    SETTINGS_PATH_BYTES = 1024
};

struct settings_model {
    char name[SETTINGS_NAME_BYTES + 1]; /* [A-Za-z0-9._-], starts with a letter or digit */
    char path[SETTINGS_PATH_BYTES];
    bool found; /* in the folder of models, not named: it need not be one */
};

/* Of one model, where they are not those of all: config/model_limits.h. */
struct settings_limits {
    char model[SETTINGS_NAME_BYTES + 1];
    int max_queue, max_images, max_nfe;
};

/* What to do, from flags only. */
enum settings_action {
    SETTINGS_SERVE,
    SETTINGS_PRINT_CONFIG,
    SETTINGS_CHECK,
    SETTINGS_HEALTHCHECK,
    SETTINGS_LIST_DEVICES,
    SETTINGS_VERSION,
    SETTINGS_HELP,
};

struct settings {
    enum settings_action action;
    char listen[ADDRESS_TEXT_BYTES];
    char admin_listen[ADDRESS_TEXT_BYTES];
    char socket_mode[SETTINGS_NAME_BYTES + 1]; /* octal */
    int n_models;
    struct settings_model models[SETTINGS_MODELS_MAX];
    int n_limits;
    struct settings_limits limits[SETTINGS_MODELS_MAX];
    char model_dir[SETTINGS_PATH_BYTES]; /* a folder of more, config/model_folder.h; "": none */
    int n_devices;                       /* 1 or more */
    char devices[SETTINGS_DEVICES_MAX][SETTINGS_NAME_BYTES + 1];
    char precision[SETTINGS_NAME_BYTES + 1];
    char choices[SETTINGS_PATH_BYTES]; /* a file; "": the tables that come with softdiff */
    int threads;                       /* 0: as many as this process may use */
    int slots;
    int max_queue;
    int max_images;
    int max_nfe;
    int request_timeout_ms;
    int response_cache_bytes;               /* 0: none */
    char api_key_file[SETTINGS_PATH_BYTES]; /* config/key_file.h; "": everybody may */
    char tls_cert[SETTINGS_PATH_BYTES];     /* a PEM file, with tls_key; "": no TLS */
    char tls_key[SETTINGS_PATH_BYTES];
    int hsts_max_age_s;                    /* 0: none */
    char cors_origin[SETTINGS_PATH_BYTES]; /* origins with commas between, "*", or "": none */
    int max_connections;
    int max_connections_per_ip; /* 0: no limit */
    int header_timeout_ms;
    int idle_timeout_ms;
    int stall_timeout_ms;
    int drain_delay_ms;
    int drain_timeout_ms;
    char state_dir[SETTINGS_PATH_BYTES]; /* a folder; "": none */
    char job_store[SETTINGS_PATH_BYTES]; /* a URL without a password; "": state_dir, or none */
    int job_lease_ms;
    int max_jobs;
    int keep_jobs_ms;
    int keep_results_bytes;                    /* 0: none */
    int keep_sources_bytes;                    /* of pictures that jobs restore; 0: none do */
    char webhook_allow[SETTINGS_PATH_BYTES];   /* config/webhook_url.h; "": none are sent */
    char webhook_secrets[SETTINGS_PATH_BYTES]; /* a file, api/webhook.h */
    int webhook_give_up_ms;
    char trace[SETTINGS_PATH_BYTES]; /* a file; "": none */
    char log_level[SETTINGS_NAME_BYTES + 1];
};

/* Reads the file named by --config or SOFTDIFF_CONFIG (if any), the environment and argv.
 * 0, or -EINVAL, -ENOENT or -EIO with a text that names the flag, variable or key; out is then
 * undefined. */
int settings_load(int argc, char **argv, struct settings *out, struct error *err);

/* The settings as JSON, which --config reads back. 0 or -ENOMEM. */
int settings_print(const struct settings *s, FILE *file, struct error *err);

void settings_help(FILE *file);

#endif
