/* What is asked of the network, beside the loss itself. */
#include "engine/base/error.h"
#include "model/json_fields.h"
#include "tools/train/recipe.h"
#include "tools/train/recipe_parts.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

const char *const recipe_loss_names[] = {"soft", "plain"};
const char *const recipe_weight_names[] = {"sigma", "balanced", "one"};
const char *const recipe_colors_names[] = {"rgb", "alike"};

/* What looks ahead, or adds what C_t does not see, needs a loss with a C_t that is not the identity. */
static int check_c(const struct recipe *r, const char *key, struct error *err)
{
    const char *corruption = json_string_value(json_object_get(r->corruption, "name"));

    if (r->objective.loss == LOSS_PLAIN)
        return error_set(err, -EINVAL,
                         "\"objective.%s\" needs the loss \"soft\": \"plain\" has no C_t", key);
    if (corruption && strcmp(corruption, "noise") == 0)
        return error_set(err, -EINVAL,
                         "\"objective.%s\" changes nothing with the corruption \"noise\", whose "
                         "C_t "
                         "leaves pictures as they are",
                         key);
    return 0;
}

int recipe_read_objective(const json_t *json, struct recipe *r, struct error *err)
{
    struct recipe_objective *o = &r->objective;
    struct json_fields f;
    int colors = 0, rc;

    if (!json)
        return 0;
    json_fields_begin(&f, json, "objective", err);
    json_fields_number(&f, "look_ahead", JSON_OPTIONAL, 0, 1, &o->look_ahead);
    json_fields_number(&f, "residual", JSON_OPTIONAL, 0, 1e6, &o->residual);
    json_fields_number(&f, "perturbation", JSON_OPTIONAL, 0, 1, &o->perturbation);
    json_fields_choice(&f, "colors", JSON_OPTIONAL, 2, recipe_colors_names, &colors);
    rc = json_fields_end(&f);
    o->colors = colors == 1;
    if (rc == 0 && o->look_ahead > 0)
        rc = check_c(r, "look_ahead", err);
    if (rc == 0 && o->residual > 0)
        rc = check_c(r, "residual", err);
    return rc;
}
