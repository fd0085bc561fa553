/* What of a recipe may change while a training goes on. */
#include "engine/base/error.h"
#include "model/json_fields.h"
#include "tools/train/recipe.h"
#include "tools/train/recipe_parts.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

/* Values that must stay, with defaults where the document says nothing; NULL without memory. */
static json_t *fixed_values(const struct recipe *r)
{
    const struct recipe_objective *o = &r->objective;

    /* clang-format off */
    return json_pack("{s:o, s:O, s:O, s:s, s:s, s:s, s:f, s:f, s:f, s:s, s:i, s:b, s:f, s:i, s:I, s:b,"
                     " s:f, s:s, s:o}",
                     "architecture", architecture_to_json(&r->architecture),
                     "corruption", r->corruption,
                     "schedule", json_object_get(r->json, "schedule"),
                     "output", output_name(r->output),
                     "time_embed", time_embed_name(r->time_embed),
                     "loss", recipe_loss_names[o->loss],
                     "objective.look_ahead", o->look_ahead,
                     "objective.residual", o->residual,
                     "objective.perturbation", o->perturbation,
                     "objective.colors", recipe_colors_names[o->colors],
                     "data.crop", r->crop,
                     "data.flip", r->flip,
                     "data.augment", r->augment,
                     "training.batch", r->batch,
                     "training.seed", (json_int_t)r->seed,
                     "training.stratified", r->stratified,
                     "training.label_dropout", r->label_dropout,
                     "training.weight", recipe_weight_names[o->weight],
                     "training.averages", json_from_doubles(r->optimizer.lengths,
                                                            r->optimizer.n_averages));
    /* clang-format on */
}

/* Values that may change. */
static json_t *free_values(const struct recipe *r)
{
    const struct optimizer_options *o = &r->optimizer;

    /* clang-format off */
    return json_pack("{s:s, s:s, s:I, s:f, s:I, s:s, s:f, s:f, s:f, s:f, s:f, s:f,"
                     " s:i, s:i, s:i, s:f, s:b, s:b}",
                     "name", r->name,
                     "licence", r->licence,
                     "training.steps", (json_int_t)o->steps,
                     "training.lr", o->lr,
                     "training.warmup", (json_int_t)o->warmup,
                     "training.decay", recipe_decay_names[o->decay],
                     "training.decay_from", o->decay_from,
                     "training.beta1", o->beta1,
                     "training.beta2", o->beta2,
                     "training.eps", o->eps,
                     "training.clip", o->clip,
                     "training.ema", o->ema,
                     "progress.log_every", r->log_every,
                     "progress.grid_every", r->grid_every,
                     "progress.averages_every", r->averages_every,
                     "progress.checkpoint_minutes", r->checkpoint_minutes,
                     "progress.bf16", r->bf16,
                     "progress.tensorboard", r->tensorboard);
    /* clang-format on */
}

/* Takes both, also on failure. */
static int refuse_changes(json_t *before, json_t *after, struct error *err)
{
    int rc = before && after ? 0 : error_set(err, -ENOMEM, "out of memory comparing recipes");
    const char *key;
    json_t *value;

    json_object_foreach(before, key, value)
    {
        if (rc == 0 && !json_equal(value, json_object_get(after, key)))
            rc = error_set(err, -EINVAL,
                           "\"%s\" of the recipe is not what this training was begun with", key);
    }
    json_decref(before);
    json_decref(after);
    return rc;
}

/* Takes both, also on failure. */
static int tell_changes(json_t *before, json_t *after, recipe_change *changed, void *arg,
                        struct error *err)
{
    const size_t flags = JSON_ENCODE_ANY | JSON_REAL_PRECISION(6);
    int rc = before && after ? 0 : error_set(err, -ENOMEM, "out of memory comparing recipes");
    const char *key;
    json_t *value;

    json_object_foreach(before, key, value)
    {
        json_t *other = json_object_get(after, key);
        char *x, *y;

        if (rc < 0 || json_equal(value, other))
            continue;
        x = json_dumps(value, flags);
        y = json_dumps(other, flags);
        if (x && y)
            changed(arg, key, x, y);
        else
            rc = error_set(err, -ENOMEM, "out of memory comparing recipes");
        free(x);
        free(y);
    }
    json_decref(before);
    json_decref(after);
    return rc;
}

int recipe_continues(const struct recipe *before, const struct recipe *after,
                     recipe_change *changed, void *arg, struct error *err)
{
    int rc = refuse_changes(fixed_values(before), fixed_values(after), err);

    if (rc == 0)
        rc = tell_changes(free_values(before), free_values(after), changed, arg, err);
    return rc;
}
