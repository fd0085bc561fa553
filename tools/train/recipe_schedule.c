#include "tools/train/recipe_schedule.h"
#include "engine/base/error.h"
#include "model/json_fields.h"

#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <string.h>

static const char *const noise_names[] = {"first", "beside"}; /* by recipe_schedule.beside */
static const char *const estimator_names[] = {"identity", "transport"}; /* by enum */

/* Unless the recipe says how many. To compare every image with every other takes much longer. */
static const int images_wanted[] = {500, 64}, candidates_wanted[] = {256, 64}; /* by estimator */

static int wrong(struct error *err, const char *key, const char *what)
{
    return error_set(err, -EINVAL, "\"schedule.%s\" %s", key, what);
}

/* Whether levels fall on the way: to no pixel, to black, or to the end of a product. */
static bool levels_fall(const char *corruption)
{
    return strcmp(corruption, "mask") == 0 || strcmp(corruption, "fade") == 0 ||
           strcmp(corruption, "product") == 0;
}

static int read_levels(const json_t *levels, bool fall, struct recipe_schedule *s,
                       struct error *err)
{
    const char *rule = json_string_value(levels);
    size_t n = json_array_size(levels);

    if (rule && (strcmp(rule, "fit") == 0 || strcmp(rule, "mse") == 0)) {
        s->kind = RECIPE_SCHEDULE_FIT;
        s->n_levels = s->fit.n_levels;
        s->fit.rule = rule[0] == 'f' ? SCHEDULE_RULE_PATH : SCHEDULE_RULE_MSE;
        if (!fall && s->fit.level_min >= s->fit.level_max)
            return wrong(err, "level_max", "must be larger than level_min");
        if (s->fit.n_candidates < s->fit.n_levels)
            return wrong(err, "candidates", "must not be fewer than n_levels");
        if (s->fit.ve_sigma_min >= s->fit.ve_sigma_max)
            return wrong(err, "ve_sigma_max", "must be larger than ve_sigma_min");
        return 0;
    }
    if (n < 2 || n > RECIPE_LEVELS_MAX)
        return wrong(err, "levels", "must be \"fit\", \"mse\" or a list of 2 to 1024 numbers");
    for (size_t i = 0; i < n; i++) {
        const json_t *level = json_array_get(levels, i);

        if (!json_is_number(level))
            return wrong(err, "levels", "must hold numbers");
        s->levels[i] = json_number_value(level);
        if (i > 0 && (fall ? s->levels[i] > s->levels[i - 1] : s->levels[i] < s->levels[i - 1]))
            return wrong(err, "levels",
                         fall ? "must fall: what is left of a picture gets less"
                              : "must rise: a picture gets more corrupted");
    }
    s->kind = RECIPE_SCHEDULE_LEVELS;
    s->n_levels = (int)n;
    return 0;
}

static int check_noise(struct recipe_schedule *s, const json_t *levels, struct error *err)
{
    if (s->sigma_min == s->sigma_max && levels) {
        s->beside = true; /* what does not grow takes no time */
        return 0;
    }
    if (s->sigma_min >= s->sigma_max)
        return wrong(err, "sigma_max", "must be larger than sigma_min, or both the same");
    if (s->sigma_min == 0)
        return wrong(err, "sigma_min", "must be above 0 where noise grows");
    if (!s->beside && s->t_noise > 0.999)
        return wrong(err, "t_noise", "must leave some time for the levels: at most 0.999");
    return 0;
}

/* What softdiff-schedule writes. */
static int read_knots(const json_t *json, const json_t *corruption, int side,
                      struct recipe_schedule *s, struct error *err)
{
    const json_t *of = NULL, *level = NULL, *sigma = NULL, *fitted = NULL;
    struct json_fields f;
    json_t *knots;
    int own = 0, rc;

    json_fields_begin(&f, json, "schedule", err);
    json_fields_value(&f, "corruption", JSON_REQUIRED, &of);
    json_fields_int(&f, "image_size", JSON_REQUIRED, 1, 1 << 14, &own);
    json_fields_value(&f, "level", JSON_REQUIRED, &level);
    json_fields_value(&f, "sigma", JSON_REQUIRED, &sigma);
    json_fields_value(&f, "fitted", JSON_OPTIONAL, &fitted); /* how it came about, for people */
    rc = json_fields_end(&f);
    if (rc < 0)
        return rc;
    if (own != side)
        return error_set(err, -EINVAL, "\"schedule.image_size\" is %d, that of the recipe %d", own,
                         side);
    if (!json_equal(of, corruption))
        return wrong(err, "corruption", "is not that of the recipe");
    knots = json_pack("{s:O, s:O}", "level", level, "sigma", sigma);
    rc = knots ? schedule_from_json(knots, &s->knots, err)
               : error_set(err, -ENOMEM, "out of memory for a schedule");
    json_decref(knots);
    s->kind = RECIPE_SCHEDULE_KNOTS;
    return rc;
}

static void set_defaults(struct recipe_schedule *s)
{
    *s = (struct recipe_schedule){.sigma_min = 0.01,
                                  .sigma_max = 0.1,
                                  .t_noise = 0.2,
                                  .fit = {.n_levels = 32,
                                          .level_min = 0.01,
                                          .level_max = 18,
                                          .ve_sigma_min = 0.01,
                                          .ve_sigma_max = 50},
                                  .beta_min = 0.1,
                                  .beta_max = 20,
                                  .noise_scale = 1};
}

static void read_vp(struct json_fields *f, struct recipe_schedule *s)
{
    json_fields_number(f, "beta_min", JSON_OPTIONAL, 1e-3, 1e3, &s->beta_min);
    json_fields_number(f, "beta_max", JSON_OPTIONAL, 1e-3, 1e3, &s->beta_max);
    json_fields_number(f, "noise_scale", JSON_OPTIONAL, 1e-3, 1e3, &s->noise_scale);
    s->kind = RECIPE_SCHEDULE_VP;
}

static void read_fit(struct json_fields *f, bool fall, struct recipe_schedule *s)
{
    int estimator = SCHEDULE_ESTIMATOR_IDENTITY, images = 0, candidates = 0;

    json_fields_choice(f, "estimator", JSON_OPTIONAL, 2, estimator_names, &estimator);
    json_fields_int(f, "n_levels", JSON_OPTIONAL, 2, RECIPE_LEVELS_MAX, &s->fit.n_levels);
    json_fields_int(f, "candidates", JSON_OPTIONAL, 2, 4096, &candidates);
    json_fields_int(f, "images", JSON_OPTIONAL, 2, 1000000, &images);
    json_fields_number(f, "ve_sigma_min", JSON_OPTIONAL, 1e-6, 1e6, &s->fit.ve_sigma_min);
    json_fields_number(f, "ve_sigma_max", JSON_OPTIONAL, 1e-6, 1e6, &s->fit.ve_sigma_max);
    if (!fall) {
        json_fields_number(f, "level_min", JSON_OPTIONAL, 1e-6, 1e6, &s->fit.level_min);
        json_fields_number(f, "level_max", JSON_OPTIONAL, 1e-6, 1e6, &s->fit.level_max);
    }
    s->fit.estimator = (enum schedule_estimator)estimator;
    s->images = images ? images : images_wanted[estimator];
    s->fit.n_candidates = candidates ? candidates : candidates_wanted[estimator];
}

int recipe_schedule_read(const struct json_t *json, const struct json_t *corruption, int side,
                         struct recipe_schedule *s, struct error *err)
{
    const char *named = json_string_value(json_object_get(corruption, "name"));
    const char *name = named ? named : "";
    bool vp = strcmp(name, "vp") == 0 || strcmp(name, "subvp") == 0;
    bool noise = strcmp(name, "noise") == 0, fall = levels_fall(name);
    const json_t *levels = NULL;
    struct json_fields f;
    int beside = 0, rc;

    set_defaults(s);
    if (json_object_get(json, "level"))
        return read_knots(json, corruption, side, s, err);
    json_fields_begin(&f, json, "schedule", err);
    if (vp) {
        read_vp(&f, s);
        return json_fields_end(&f);
    }
    json_fields_number(&f, "sigma_min", JSON_OPTIONAL, 0, 1e6, &s->sigma_min);
    json_fields_number(&f, "sigma_max", JSON_OPTIONAL, 0, 1e6, &s->sigma_max);
    if (!noise) {
        json_fields_choice(&f, "noise", JSON_OPTIONAL, 2, noise_names, &beside);
        json_fields_number(&f, "t_noise", JSON_OPTIONAL, 1e-3, 1, &s->t_noise);
        json_fields_value(&f, "levels", JSON_REQUIRED, &levels);
        read_fit(&f, fall, s);
    }
    s->beside = beside == 1;
    s->kind = RECIPE_SCHEDULE_NOISE;
    rc = json_fields_end(&f);
    if (rc == 0)
        rc = check_noise(s, levels, err);
    return rc < 0 || !levels ? rc : read_levels(levels, fall, s, err);
}

void recipe_schedule_fini(struct recipe_schedule *s)
{
    schedule_fini(&s->knots);
}
