/* One setting: its type, and how a value of that type is read and written. Every source ends in
 * setting_set_text(), except numbers of the file, so that a value means the same wherever it stands.
 *
 * Thread: any.
 */
#ifndef CONFIG_SETTING_H
#define CONFIG_SETTING_H

#include <stdbool.h>
#include <stddef.h>

struct error;
struct json_t;
struct settings;

enum setting_type {
    SETTING_ADDRESS,
    SETTING_CHOICE,
    SETTING_FILE,
    SETTING_DEVICES, /* names as engine/device.h has them, with commas between */
    SETTING_INTEGER,
    SETTING_DURATION, /* ms */
    SETTING_BYTES,
    SETTING_ORIGINS,  /* of pages: scheme://host[:port], with commas between; or "*" */
    SETTING_PREFIXES, /* of addresses, with commas between: config/webhook_url.h */
    SETTING_STORE,    /* postgresql://.. without a password */
    SETTING_MODELS,
    SETTING_LIMITS, /* of models: config/model_limits.h */
};

struct setting {
    const char *name;
    enum setting_type type;
    size_t offset;        /* of the field of struct settings */
    const char *fallback; /* the default */
    int min, max;         /* integers, durations, sizes */
    const char *choices;  /* "a|b|c" */
    const char *help;
};

/* Whether n bytes are a name as models have them. */
bool setting_is_name(const char *name, size_t n);

/* Whether a setting is a list to which every text adds, and how it is emptied: a stronger source replaces
 * all of it. */
bool setting_is_list(const struct setting *setting);
void setting_drop_list(struct settings *s, const struct setting *setting);

/* 0 or -EINVAL. */
int setting_set_text(struct settings *s, const struct setting *setting, const char *text,
                     struct error *err);

/* A value of a file in this folder, "" for the working one: paths are relative to it.
 * 0 or -EINVAL. */
int setting_set_json(struct settings *s, const struct setting *setting, struct json_t *value,
                     const char *folder, struct error *err);

/* A value that setting_set_json() reads back in any folder: paths are absolute. New reference; NULL
 * without memory. */
struct json_t *setting_to_json(const struct settings *s, const struct setting *setting);

#endif
