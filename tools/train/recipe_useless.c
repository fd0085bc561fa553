/* What of a recipe has no effect beside the rest of it. */
#include "engine/base/log.h"
#include "tools/train/recipe.h"

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* Whether the network attends wherever it is asked to. */
static bool attends(const struct architecture *a)
{
    for (int i = 0; i < a->n_attn; i++) {
        int level = 0;

        while (level < a->n_levels && a->image_size >> level != a->attn_resolutions[i])
            level++;
        if (level == a->n_levels)
            return false;
    }
    return true;
}

/* Whether the document has a key, as "training.lr". */
static bool is_given(const struct recipe *r, const char *key)
{
    const char *dot = strchr(key, '.');
    char part[32];

    snprintf(part, sizeof(part), "%.*s", (int)(dot - key), key);
    return json_object_get(json_object_get(r->json, part), dot + 1) != NULL;
}

const char *recipe_useless(const struct recipe *r, int i, const char **reason)
{
    static const char constant[] = "the noise does not grow", given[] = "the levels are given",
                      mse[] = "only \"levels\": \"fit\" compares laws",
                      path[] = "only \"levels\": \"mse\" follows a VE diffusion";
    const struct recipe_schedule *s = &r->schedule;
    bool list = s->kind == RECIPE_SCHEDULE_LEVELS, fit = s->kind == RECIPE_SCHEDULE_FIT;
    bool is_path = fit && s->fit.rule == SCHEDULE_RULE_PATH;
    const struct {
        const char *key, *reason;
        bool useless;
    } keys[] = {
        {"architecture.attn_resolutions",
         "not all of them are sides that pictures have in the network", !attends(&r->architecture)},
        {"schedule.t_noise", constant, (list || fit) && s->sigma_min == s->sigma_max},
        {"schedule.n_levels", given, list},
        {"schedule.level_min", given, list},
        {"schedule.level_max", given, list},
        {"schedule.candidates", given, list},
        {"schedule.images", given, list},
        {"schedule.estimator", list ? given : mse, list || (fit && !is_path)},
        {"schedule.ve_sigma_min", list ? given : path, list || is_path},
        {"schedule.ve_sigma_max", list ? given : path, list || is_path},
        {"training.decay_from", "the rate does not decay", r->optimizer.decay == DECAY_NONE},
        {"progress.averages_every", "there are no averages", r->optimizer.n_averages == 0},
    };

    for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
        if (!keys[k].useless || !is_given(r, keys[k].key) || i-- > 0)
            continue;
        *reason = keys[k].reason;
        return keys[k].key;
    }
    return NULL;
}

void recipe_warn_of_useless(const struct recipe *r)
{
    const char *key, *reason;

    for (int i = 0; (key = recipe_useless(r, i, &reason)); i++)
        log_write(LOG_WARN, "event=useless_setting key=%s reason=%s", key, LOG_TEXT(reason));
}
