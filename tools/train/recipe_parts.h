/* What the files that read recipes share; others use recipe.h. */
#ifndef TOOLS_TRAIN_RECIPE_PARTS_H
#define TOOLS_TRAIN_RECIPE_PARTS_H

struct error;
struct json_t;
struct recipe;

/* What stands in the document, by their enums; colours by whether they count alike. */
extern const char *const recipe_decay_names[];
extern const char *const recipe_loss_names[];
extern const char *const recipe_weight_names[];
extern const char *const recipe_colors_names[];

/* The section "objective", which may be NULL, of a recipe whose loss and corruption are read. 0, or
 * -EINVAL where something in it has no meaning. */
int recipe_read_objective(const struct json_t *json, struct recipe *r, struct error *err);

#endif
