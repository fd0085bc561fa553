/* A training recipe: every number of a training in one JSON file.
 *
 * config/recipes/README.md describes the keys. Reading is strict: unknown keys, wrong types and
 * numbers out of range are errors that name the key.
 */
#ifndef TOOLS_TRAIN_RECIPE_H
#define TOOLS_TRAIN_RECIPE_H

#include "model/architecture.h"
#include "model/checkpoint.h"
#include "model/objective.h"
#include "tools/train/optimizer.h"
#include "tools/train/recipe_schedule.h"

#include <stdbool.h>
#include <stdint.h>

struct error;
struct json_t;

/* How much a time counts. */
enum recipe_weight {
    RECIPE_WEIGHT_SIGMA,    /* 1/sigma^2 */
    RECIPE_WEIGHT_BALANCED, /* trainer_balance() */
    RECIPE_WEIGHT_ONE,
};

/* model/objective.h */
struct recipe_objective {
    enum loss loss;
    enum recipe_weight weight;
    double look_ahead;   /* its largest, [0, 1]; each example's is uniform up to there */
    double residual;     /* >= 0 */
    double perturbation; /* gamma, [0, 1] */
    bool colors;         /* principal directions of colour count alike */
};

struct recipe {
    char name[64];
    struct architecture architecture;
    const struct json_t *corruption; /* in json, for corruption_create() */
    struct recipe_schedule schedule;
    enum output output;
    enum time_embed time_embed;
    struct recipe_objective objective;

    int crop;       /* resize_square() */
    bool flip;      /* mirror every other image, at random */
    double augment; /* probability of each change, tools/train/augmentation.h */

    int batch;
    bool stratified;      /* times of a batch, tools/train/examples.h */
    double label_dropout; /* part of the examples whose label is withheld; 0 without labels */
    uint64_t seed;
    struct optimizer_options optimizer; /* with the number of steps */

    int log_every;             /* steps */
    int grid_every;            /* steps; 0: never */
    int averages_every;        /* steps from one file of averages to the next */
    double checkpoint_minutes; /* > 0 */
    bool tensorboard;          /* its event files, too */
    bool bf16;                 /* round the weights of model.safetensors */
    char licence[256];         /* what the weights may be used for; "" if nothing is said */

    struct json_t *json; /* owned: the document, as it was read */
};

/* Files that it names are looked for from its folder. 0, -errno of the system, -EINVAL, -ENOMEM; the text names file and key. */
int recipe_read(const char *path, struct recipe *out, struct error *err);
/* The same from text, with files looked for from the working directory. */
int recipe_parse(const char *text, struct recipe *out, struct error *err);
void recipe_fini(struct recipe *r);

/* Another number of steps, as if the document had said so. 0 or -ENOMEM. */
int recipe_set_steps(struct recipe *r, uint64_t steps, struct error *err);

/* Keys that have no effect beside the others, as "training.decay_from": the i-th, counted from 0, or
 * NULL. *reason says why. */
const char *recipe_useless(const struct recipe *r, int i, const char **reason);
void recipe_warn_of_useless(const struct recipe *r); /* of each, in the log */

/* Told of a value that is not what it was, e.g. "training.lr", "0.0006", "0.0003". */
typedef void recipe_change(void *arg, const char *key, const char *before, const char *after);

/* Whether a training begun with `before` may go on with `after`: network, corruption, schedule,
 * output, loss and all that belongs to it, data, batch and seed must be the same; lengths, rates, the average and
 * intervals may change, and `changed` is told of each. What is left out is its default.
 * 0, -ENOMEM, or -EINVAL naming what differs. */
int recipe_continues(const struct recipe *before, const struct recipe *after,
                     recipe_change *changed, void *arg, struct error *err);

#endif
