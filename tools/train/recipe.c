#include "tools/train/recipe.h"
#include "engine/base/error.h"
#include "model/corruption.h"
#include "model/fit/average_fit.h"
#include "model/json_fields.h"
#include "tools/json_file.h"
#include "tools/train/recipe_parts.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const recipe_decay_names[] = {"none", "linear", "cosine"};

/* Of the examples, where the recipe does not say it: enough to be guided with, Ho and Salimans 2022
 * (arXiv:2207.12598). */
#define LABEL_DROPOUT 0.1

static int wrong(struct error *err, const char *key, const char *what)
{
    return error_set(err, -EINVAL, "\"%s\" %s", key, what);
}

static int read_text(const char *key, const char *text, char *out, size_t size, struct error *err)
{
    if (strlen(text) >= size)
        return error_set(err, -EINVAL, "\"%s\" is longer than %zu bytes", key, size - 1);
    snprintf(out, size, "%s", text);
    return 0;
}

static int read_data(const json_t *json, struct recipe *r, struct error *err)
{
    struct json_fields f;

    if (!json)
        return 0;
    json_fields_begin(&f, json, "data", err);
    json_fields_int(&f, "crop", JSON_OPTIONAL, 0, 16384, &r->crop);
    json_fields_bool(&f, "flip", JSON_OPTIONAL, &r->flip);
    json_fields_number(&f, "augment", JSON_OPTIONAL, 0, 1, &r->augment);
    return json_fields_end(&f);
}

/* Up to UPDATE_AVERAGES_MAX, rising. */
static int read_lengths(const json_t *list, struct optimizer_options *o, struct error *err)
{
    static const char key[] = "training.averages";
    size_t n = json_array_size(list);

    if (!list)
        return 0;
    if (!json_is_array(list) || n > UPDATE_AVERAGES_MAX)
        return wrong(err, key, "must be a list of up to 4 lengths");
    for (size_t i = 0; i < n; i++) {
        double length = json_number_value(json_array_get(list, i));

        if (!(length >= AVERAGE_LENGTH_MIN && length <= AVERAGE_LENGTH_MAX))
            return wrong(err, key, "must be numbers within 0.01 and 0.28");
        if (i > 0 && length <= o->lengths[i - 1])
            return wrong(err, key, "must rise");
        o->lengths[i] = length;
    }
    o->n_averages = (int)n;
    return 0;
}

static int read_training(const json_t *json, struct recipe *r, struct error *err)
{
    struct optimizer_options *o = &r->optimizer;
    double dropout = -1;
    int steps = 0, warmup = 0, decay = DECAY_NONE, weight = RECIPE_WEIGHT_SIGMA, seed = 0, rc;
    const json_t *lengths = NULL;
    struct json_fields f;

    json_fields_begin(&f, json, "training", err);
    json_fields_int(&f, "batch", JSON_REQUIRED, 1, 65536, &r->batch);
    json_fields_int(&f, "steps", JSON_REQUIRED, 1, INT_MAX, &steps);
    json_fields_number(&f, "lr", JSON_REQUIRED, 1e-9, 10, &o->lr);
    json_fields_int(&f, "warmup", JSON_OPTIONAL, 0, INT_MAX, &warmup);
    json_fields_choice(&f, "decay", JSON_OPTIONAL, 3, recipe_decay_names, &decay);
    json_fields_number(&f, "decay_from", JSON_OPTIONAL, 0, 0.999, &o->decay_from);
    json_fields_number(&f, "beta1", JSON_OPTIONAL, 0, 0.9999, &o->beta1);
    json_fields_number(&f, "beta2", JSON_OPTIONAL, 0, 0.999999, &o->beta2);
    json_fields_number(&f, "eps", JSON_OPTIONAL, 1e-20, 1, &o->eps);
    json_fields_number(&f, "clip", JSON_OPTIONAL, 0, 1e9, &o->clip);
    json_fields_number(&f, "ema", JSON_OPTIONAL, 0, 0.9999999, &o->ema);
    json_fields_value(&f, "averages", JSON_OPTIONAL, &lengths);
    json_fields_bool(&f, "stratified", JSON_OPTIONAL, &r->stratified);
    json_fields_choice(&f, "weight", JSON_OPTIONAL, 3, recipe_weight_names, &weight);
    json_fields_int(&f, "seed", JSON_OPTIONAL, 0, INT_MAX, &seed);
    json_fields_number(&f, "label_dropout", JSON_OPTIONAL, 0, 1, &dropout);
    rc = json_fields_end(&f);
    if (rc < 0)
        return rc;
    if (dropout >= 0 && r->architecture.n_labels == 0)
        return wrong(err, "training.label_dropout", "needs labels: architecture.n_labels is 0");
    if (r->architecture.n_labels > 0)
        r->label_dropout = dropout >= 0 ? dropout : LABEL_DROPOUT;
    o->steps = (uint64_t)steps;
    o->warmup = (uint64_t)warmup;
    o->decay = (enum decay)decay;
    r->objective.weight = (enum recipe_weight)weight;
    r->seed = (uint64_t)seed;
    return read_lengths(lengths, o, err);
}

static int read_progress(const json_t *json, struct recipe *r, struct error *err)
{
    struct json_fields f;

    if (!json)
        return 0;
    json_fields_begin(&f, json, "progress", err);
    json_fields_int(&f, "log_every", JSON_OPTIONAL, 1, INT_MAX, &r->log_every);
    json_fields_int(&f, "grid_every", JSON_OPTIONAL, 0, INT_MAX, &r->grid_every);
    json_fields_int(&f, "averages_every", JSON_OPTIONAL, 1, INT_MAX, &r->averages_every);
    json_fields_number(&f, "checkpoint_minutes", JSON_OPTIONAL, 0.01, 1e5, &r->checkpoint_minutes);
    json_fields_bool(&f, "bf16", JSON_OPTIONAL, &r->bf16);
    json_fields_bool(&f, "tensorboard", JSON_OPTIONAL, &r->tensorboard);
    return json_fields_end(&f);
}

static void set_defaults(struct recipe *r)
{
    *r = (struct recipe){
        .flip = true,
        .optimizer = {.decay_from = 0.667,
                      .beta1 = 0.9,
                      .beta2 = 0.999,
                      .eps = 1e-8,
                      .clip = 1,
                      .ema = 0.999},
        .log_every = 50,
        .grid_every = 1000,
        .averages_every = 1000,
        .checkpoint_minutes = 10,
    };
}

/* The members of the document; those that are objects are taken apart by other readers. */
struct document {
    const char *name, *output, *time_embed, *licence;
    const json_t *architecture, *corruption, *schedule, *objective, *data, *training, *progress;
    int loss;
};

static int read_document(const json_t *json, struct document *d, struct error *err)
{
    struct json_fields f;

    *d = (struct document){.licence = "", .loss = LOSS_SOFT};
    json_fields_begin(&f, json, "recipe", err);
    json_fields_string(&f, "name", JSON_REQUIRED, &d->name);
    json_fields_value(&f, "architecture", JSON_REQUIRED, &d->architecture);
    json_fields_value(&f, "corruption", JSON_REQUIRED, &d->corruption);
    json_fields_value(&f, "schedule", JSON_REQUIRED, &d->schedule);
    json_fields_string(&f, "output", JSON_REQUIRED, &d->output);
    json_fields_string(&f, "time_embed", JSON_REQUIRED, &d->time_embed);
    json_fields_choice(&f, "loss", JSON_OPTIONAL, 2, recipe_loss_names, &d->loss);
    json_fields_value(&f, "objective", JSON_OPTIONAL, &d->objective);
    json_fields_value(&f, "data", JSON_OPTIONAL, &d->data);
    json_fields_value(&f, "training", JSON_REQUIRED, &d->training);
    json_fields_value(&f, "progress", JSON_OPTIONAL, &d->progress);
    json_fields_string(&f, "licence", JSON_OPTIONAL, &d->licence);
    return json_fields_end(&f);
}

/* Reads a file by a path that may begin in a folder, which is NULL or ends with a slash. */
static int read_file(const char *folder, const char *path, json_t **out, struct error *err)
{
    char *full;
    int rc;

    if (!folder || *path == '/')
        return json_file_read(path, out, err);
    if (asprintf(&full, "%s%s", folder, path) < 0)
        return error_set(err, -ENOMEM, "out of memory for a path");
    rc = json_file_read(full, out, err);
    free(full);
    return rc;
}

/* A member that is the path of a file becomes what the file has: a run does not change with it. */
static int take_file(json_t *object, const char *key, const char *folder, struct error *err)
{
    const char *path = json_string_value(json_object_get(object, key));
    json_t *value;
    int rc;

    if (!path)
        return 0;
    rc = read_file(folder, path, &value, err);
    if (rc == 0 && json_object_set_new(object, key, value) < 0)
        rc = error_set(err, -ENOMEM, "out of memory for a recipe");
    return rc;
}

/* The ranks of a mask, matrices and the schedule may be in files of their own. */
static int take_files(json_t *json, const char *folder, struct error *err)
{
    json_t *corruption = json_object_get(json, "corruption");
    json_t *parts[] = {corruption,
                       json_object_get(json_object_get(corruption, "first"), "corruption"),
                       json_object_get(json_object_get(corruption, "second"), "corruption")};
    int rc = take_file(json, "schedule", folder, err);

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && rc == 0; i++) {
        rc = take_file(parts[i], "ranks", folder, err);
        if (rc == 0)
            rc = take_file(parts[i], "matrices", folder, err);
    }
    return rc;
}

/* It is made once the pictures are read; what is wrong with it is said before. */
static int check_corruption(const struct recipe *r, struct error *err)
{
    int side = r->architecture.image_size, rc;
    struct corruption *c;

    rc = corruption_create(r->corruption, side, side, &c, err);
    if (rc < 0)
        return rc;
    rc = output_check(r->output, c, err);
    corruption_destroy(c);
    return rc;
}

static int read_recipe(json_t *json, const char *folder, struct recipe *r, struct error *err)
{
    struct document d;
    int rc = take_files(json, folder, err);

    if (rc == 0)
        rc = read_document(json, &d, err);
    if (rc == 0)
        rc = read_text("name", d.name, r->name, sizeof(r->name), err);
    if (rc == 0)
        rc = read_text("licence", d.licence, r->licence, sizeof(r->licence), err);
    if (rc == 0)
        rc = architecture_from_json(d.architecture, &r->architecture, err);
    if (rc == 0)
        rc = output_parse(d.output, &r->output, err);
    if (rc == 0)
        rc = time_embed_parse(d.time_embed, &r->time_embed, err);
    if (rc < 0)
        return rc;
    if (r->architecture.num_channels != 3)
        return wrong(err, "architecture.num_channels", "must be 3: training images are RGB");
    if (!time_embed_fits(r->time_embed, r->architecture.embedding_type))
        return wrong(err, "time_embed", "does not fit the architecture's embedding_type");
    r->objective.loss = (enum loss)d.loss;
    r->corruption = d.corruption;
    rc = check_corruption(r, err);
    if (rc == 0)
        rc = recipe_schedule_read(d.schedule, d.corruption, r->architecture.image_size,
                                  &r->schedule, err);
    if (rc == 0)
        rc = recipe_read_objective(d.objective, r, err);
    if (rc == 0)
        rc = read_data(d.data, r, err);
    if (rc == 0 && r->augment > 0 && !r->architecture.augment)
        rc = wrong(err, "data.augment", "needs a network that is told: \"architecture.augment\"");
    if (rc == 0 && r->architecture.augment && r->augment == 0)
        rc = wrong(err, "architecture.augment", "has nothing to tell: \"data.augment\" is 0");
    if (rc == 0)
        rc = read_training(d.training, r, err);
    if (rc == 0)
        rc = read_progress(d.progress, r, err);
    return rc;
}

/* Takes json, also on failure. */
static int take_document(json_t *json, const char *folder, struct recipe *out, struct error *err)
{
    struct recipe r;
    int rc;

    set_defaults(&r);
    r.json = json;
    rc = read_recipe(json, folder, &r, err);
    if (rc < 0) {
        recipe_fini(&r);
        return rc;
    }
    *out = r;
    return 0;
}

int recipe_parse(const char *text, struct recipe *out, struct error *err)
{
    json_error_t json_err;
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &json_err);

    if (!json)
        return json_refuse(&json_err, "it", err);
    return take_document(json, NULL, out, err);
}

int recipe_read(const char *path, struct recipe *out, struct error *err)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : NULL;
    json_t *json;
    int rc = slash && !folder ? error_set(err, -ENOMEM, "out of memory for a path")
                              : json_file_read(path, &json, err);

    if (rc == 0) {
        rc = take_document(json, folder, out, err);
        if (rc < 0)
            error_prefix(err, "recipe \"%s\": ", path);
    }
    free(folder);
    return rc;
}

void recipe_fini(struct recipe *r)
{
    recipe_schedule_fini(&r->schedule);
    json_decref(r->json);
    *r = (struct recipe){0};
}

int recipe_set_steps(struct recipe *r, uint64_t steps, struct error *err)
{
    json_t *training = json_object_get(r->json, "training");

    if (json_object_set_new(training, "steps", json_integer((json_int_t)steps)) < 0)
        return error_set(err, -ENOMEM, "out of memory for a recipe");
    r->optimizer.steps = steps;
    return 0;
}
