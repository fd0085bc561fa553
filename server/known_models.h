/* The models that could be served: those of the settings and of the folder of models, and behind them
 * those that are served and gone from the folder. models.h changes what is served.
 *
 * Thread: loop.
 */
#ifndef SERVER_KNOWN_MODELS_H
#define SERVER_KNOWN_MODELS_H

#include "config/settings.h"
#include "engine/base/error.h"

#include <stdbool.h>

struct engine_model;
struct json_t;

enum { KNOWN_MODELS_MAX = SETTINGS_FILES_MAX + SETTINGS_MODELS_MAX };

struct known_model {
    struct settings_model setting;
    struct engine_model *served; /* NULL: it is not */
    struct error error;          /* why its last loading failed; "": it did not */
    bool gone;                   /* from the folder: served until the others are there */
};

struct known_models {
    struct known_model list[KNOWN_MODELS_MAX];
    int n;
};

/* NULL: none has this name. */
struct known_model *known_models_find(struct known_models *k, const char *name);

int known_models_served(const struct known_models *k); /* how many are */
bool known_models_full(const struct known_models *k);  /* of those that stay, as many as may be */

/* Reads settings and folder anew. 0, or why the folder cannot be read: then nothing has changed. */
int known_models_look_again(struct known_models *k, const struct settings *settings,
                            struct error *err);

struct json_t *known_models_to_json(const struct known_models *k); /* models_to_json() */

#endif
