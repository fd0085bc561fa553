#include "server/known_models.h"

#include "config/model_folder.h"
#include "server/engine_model.h"

#include <jansson.h>
#include <string.h>

struct known_model *known_models_find(struct known_models *k, const char *name)
{
    for (int i = 0; i < k->n; i++)
        if (strcmp(k->list[i].setting.name, name) == 0)
            return &k->list[i];
    return NULL;
}

int known_models_served(const struct known_models *k)
{
    int n = 0;

    for (int i = 0; i < k->n; i++)
        n += k->list[i].served != NULL;
    return n;
}

bool known_models_full(const struct known_models *k)
{
    int n = 0;

    for (int i = 0; i < k->n; i++)
        n += k->list[i].served && !k->list[i].gone;
    return n >= SETTINGS_MODELS_MAX;
}

int known_models_look_again(struct known_models *k, const struct settings *settings,
                            struct error *err)
{
    struct settings_model list[SETTINGS_FILES_MAX];
    struct known_models now = {.n = 0};
    int rc = model_folder_list(settings, list, &now.n, err);

    if (rc < 0)
        return rc;
    for (int i = 0; i < now.n; i++) {
        struct known_model *before = known_models_find(k, list[i].name);

        if (before) {
            now.list[i] = *before;
            before->served = NULL;
        }
        now.list[i].setting = list[i];
        now.list[i].gone = false;
    }
    for (int i = 0; i < k->n; i++)
        if (k->list[i].served) {
            now.list[now.n] = k->list[i];
            now.list[now.n++].gone = true;
        }
    *k = now;
    return 0;
}

struct json_t *known_models_to_json(const struct known_models *k)
{
    json_t *list = json_array();

    for (int i = 0; i < k->n; i++) {
        const struct known_model *known = &k->list[i];
        const char *state = known->served ? "loaded" : *known->error.text ? "failed" : "unloaded";

        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s, s:s*, s:s*}", "name", known->setting.name,
                                        "path", known->setting.path, "state", state, "checkpoint",
                                        known->served ? known->served->digest : NULL, "error",
                                        *known->error.text ? known->error.text : NULL));
    }
    return list;
}
