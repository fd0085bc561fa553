/* Recipes: the shipped ones are what they claim, and mistakes are named. */
#include "tools/train/recipe.h"
#include "engine/base/error.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A whole recipe with room for one more member of a section. */
static char *write_recipe(const char *top, const char *schedule, const char *training)
{
    bool given = strstr(schedule, "levels\"") || strstr(schedule, "level\"");
    char *text;

    assert_true(asprintf(&text,
                         "{\"name\": \"x\", \"architecture\": {\"image_size\": 16, \"nf\": 16, "
                         "\"ch_mult\": [1, 2], \"num_res_blocks\": 1, \"attn_resolutions\": [8]}, "
                         "\"corruption\": {\"name\": \"blur\", \"half_size\": 16}, "
                         "\"schedule\": {%s%s%s}, \"output\": \"wiener\", "
                         "\"time_embed\": \"fourier_t\", "
                         "\"training\": {\"batch\": 4, \"steps\": 10, \"lr\": 1e-3%s}%s}",
                         schedule, given || !*schedule ? "" : ", ",
                         given ? "" : "\"levels\": [0.01, 8]", training, top) > 0);
    return text;
}

static int parse(const char *top, const char *schedule, const char *training, struct recipe *r,
                 struct error *err)
{
    char *text = write_recipe(top, schedule, training);
    int rc = recipe_parse(text, r, err);

    free(text);
    return rc;
}

static void test_defaults(void **state)
{
    struct recipe r;
    struct error err;

    assert_int_equal(parse("", "", "", &r, &err), 0);
    assert_int_equal(r.schedule.kind, RECIPE_SCHEDULE_LEVELS);
    assert_int_equal(r.objective.loss, LOSS_SOFT);
    assert_true(r.objective.look_ahead == 0 && r.objective.residual == 0);
    assert_true(r.objective.perturbation == 0);
    assert_false(r.objective.colors);
    assert_true(r.flip);
    assert_false(r.stratified);
    assert_int_equal(r.objective.weight, RECIPE_WEIGHT_SIGMA);
    assert_int_equal(r.optimizer.decay, DECAY_NONE);
    assert_true(r.optimizer.beta2 == 0.999);
    recipe_fini(&r);
}

static void test_levels(void **state)
{
    struct recipe r;

    assert_int_equal(parse("", "\"levels\": [0.01, 2, 18]", "", &r, NULL), 0);
    assert_int_equal(r.schedule.kind, RECIPE_SCHEDULE_LEVELS);
    assert_int_equal(r.schedule.n_levels, 3);
    assert_true(r.schedule.levels[2] == 18);
    recipe_fini(&r);
    assert_int_equal(parse("", "\"levels\": \"fit\", \"n_levels\": 20", "", &r, NULL), 0);
    assert_int_equal(r.schedule.kind, RECIPE_SCHEDULE_FIT);
    assert_int_equal(r.schedule.n_levels, 20);
    recipe_fini(&r);
}

/* The settings of the ablations, and what is the matter with others. */
static void test_noise(void **state)
{
    struct recipe r;
    const char *reason;

    assert_int_equal(parse("", "\"noise\": \"beside\", \"t_noise\": 1", "", &r, NULL), 0);
    assert_true(r.schedule.beside && r.schedule.t_noise == 1);
    assert_null(recipe_useless(&r, 0, &reason));
    recipe_fini(&r);
    assert_int_equal(parse("", "\"sigma_min\": 0.05, \"sigma_max\": 0.05, \"t_noise\": 0.3", "", &r,
                           NULL),
                     0);
    assert_true(r.schedule.beside && r.schedule.sigma_min == r.schedule.sigma_max);
    assert_string_equal(recipe_useless(&r, 0, &reason), "schedule.t_noise");
    recipe_fini(&r);
    assert_int_equal(parse("", "\"sigma_min\": 0, \"sigma_max\": 0", "", &r, NULL), 0);
    assert_true(r.schedule.sigma_max == 0);
    recipe_fini(&r);
    assert_int_equal(parse("", "\"candidates\": 9, \"estimator\": \"transport\"", "", &r, NULL), 0);
    for (int i = 0; i < 3; i++) {
        const char *key = recipe_useless(&r, i, &reason);

        assert_true(i < 2 ? key && strcmp(reason, "the levels are given") == 0 : !key);
    }
    recipe_fini(&r);
}

/* Keys that have no effect, elsewhere than in noise and levels alone. */
static void test_useless(void **state)
{
    static const char *const useless[] = {"architecture.attn_resolutions", "schedule.images",
                                          "training.decay_from", "progress.averages_every"};
    static const char text[] =
        "{\"name\": \"x\", \"architecture\": {\"image_size\": 16, \"nf\": 16, \"ch_mult\": [1, 2], "
        "\"num_res_blocks\": 1, \"attn_resolutions\": [16, 4]}, \"corruption\": {\"name\": "
        "\"fade\"}, \"schedule\": {\"levels\": [1, 0], \"images\": 9}, \"output\": \"residual\", "
        "\"time_embed\": \"fourier_t\", \"training\": {\"batch\": 4, \"steps\": 10, \"lr\": 1e-3, "
        "\"decay_from\": 0.5}, \"progress\": {\"averages_every\": 5}}";
    const char *key, *reason;
    struct recipe r;
    struct error err;
    int i = 0;

    if (recipe_parse(text, &r, &err) < 0)
        fail_msg("%s", err.text);
    for (; (key = recipe_useless(&r, i, &reason)); i++)
        assert_string_equal(key, useless[i]);
    assert_int_equal(i, 4);
    recipe_fini(&r);
    assert_int_equal(parse(", \"progress\": {\"averages_every\": 5}", "",
                           ", \"averages\": [0.1], \"decay\": \"linear\", \"decay_from\": 0.5", &r,
                           NULL),
                     0);
    assert_null(recipe_useless(&r, 0, &reason));
    recipe_fini(&r);
}

static void test_rules(void **state)
{
    struct recipe r;

    assert_int_equal(parse("", "\"levels\": \"mse\", \"ve_sigma_max\": 90", "", &r, NULL), 0);
    assert_int_equal(r.schedule.kind, RECIPE_SCHEDULE_FIT);
    assert_int_equal(r.schedule.fit.rule, SCHEDULE_RULE_MSE);
    assert_true(r.schedule.fit.ve_sigma_max == 90);
    recipe_fini(&r);
    assert_int_equal(parse("", "\"levels\": \"fit\", \"estimator\": \"transport\"", "", &r, NULL),
                     0);
    assert_int_equal(r.schedule.fit.estimator, SCHEDULE_ESTIMATOR_TRANSPORT);
    assert_int_equal(r.schedule.images, 64);
    recipe_fini(&r);
}

#define OF_BLUR "\"corruption\": {\"name\": \"blur\", \"half_size\": 16}, \"image_size\": "
#define LEVELS  ", \"level\": {\"t\": [0, 1], \"value\": [0, 9]}"
#define SIGMA   ", \"sigma\": {\"t\": [0, 1], \"value\": [0.1, 0.1]}"

/* What softdiff-schedule wrote is taken as it is, where it fits. */
static void test_knots(void **state)
{
    static const struct {
        const char *schedule, *named;
    } wrong[] = {
        {OF_BLUR "32" LEVELS SIGMA, "image_size"},
        {OF_BLUR "16" LEVELS, "sigma"},
        {OF_BLUR "16" LEVELS SIGMA ", \"t_noise\": 0.2", "t_noise"},
        {"\"corruption\": {\"name\": \"fade\"}, \"image_size\": 16" LEVELS SIGMA, "corruption"},
        {OF_BLUR "16, \"level\": {\"t\": [0, 1], \"value\": [0, -9]}" SIGMA, "value"},
    };
    struct recipe r;
    struct error err;

    assert_int_equal(parse("", OF_BLUR "16" LEVELS SIGMA, "", &r, NULL), 0);
    assert_int_equal(r.schedule.kind, RECIPE_SCHEDULE_KNOTS);
    assert_true(schedule_level(&r.schedule.knots, 0.5) == 4.5);
    recipe_fini(&r);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(parse("", wrong[i].schedule, "", &r, &err), -EINVAL);
        if (!strstr(err.text, wrong[i].named))
            fail_msg("\"%s\" does not name \"%s\"", err.text, wrong[i].named);
    }
}

/* Each is refused with a text that names the key. */
static void test_mistakes(void **state)
{
    static const struct {
        const char *top, *schedule, *training, *named;
    } cases[] = {
        {", \"colour\": 1", "", "", "colour"},
        {", \"loss\": \"hard\"", "", "", "loss"},
        {", \"data\": {\"flip\": 1}", "", "", "flip"},
        {", \"objective\": {\"lookahead\": 0.1}", "", "", "lookahead"},
        {", \"objective\": {\"look_ahead\": 1.5}", "", "", "look_ahead"},
        {", \"objective\": {\"look_ahead\": \"far\"}", "", "", "look_ahead"},
        {", \"objective\": {\"residual\": -1}", "", "", "residual"},
        {", \"objective\": {\"perturbation\": true}", "", "", "perturbation"},
        {", \"objective\": {\"colors\": \"grey\"}", "", "", "colors"},
        {", \"loss\": \"plain\", \"objective\": {\"look_ahead\": 0.1}", "", "", "has no C_t"},
        {", \"loss\": \"plain\", \"objective\": {\"residual\": 1}", "", "", "has no C_t"},
        {"", "", ", \"weight\": \"two\"", "weight"},
        {", \"output\": \"scaling\"", "", "", "output"},
        {", \"progress\": {\"log_every\": 0}", "", "", "log_every"},
        {", \"progress\": {\"log_evry\": 5}", "", "", "log_evry"},
        {"", "\"sigma_max\": 0.001", "", "sigma_max"},
        {"", "\"levels\": \"find\"", "", "levels"},
        {"", "\"levels\": [1]", "", "levels"},
        {"", "\"levels\": [1, \"2\"]", "", "levels"},
        {"", "\"levels\": [0, 5, 4]", "", "must rise"},
        {"", "\"levels\": \"fit\", \"candidates\": 8", "", "candidates"},
        {"", "\"levels\": \"fit\", \"level_max\": 0.01", "", "level_max"},
        {"", "\"levels\": \"mse\", \"ve_sigma_max\": 0.01", "", "ve_sigma_max"},
        {"", "\"estimator\": \"guess\"", "", "estimator"},
        {"", "\"noise\": \"after\"", "", "noise"},
        {"", "\"sigma_min\": 0", "", "sigma_min"},
        {"", "\"t_noise\": 1", "", "t_noise"},
        {"", "\"beta_min\": 1", "", "beta_min"}, /* of vp, not of blur */
        {"", "", ", \"beta2\": 1", "beta2"},
        {"", "", ", \"decay\": \"steep\"", "decay"},
        {"", "", ", \"warmup\": 1.5", "warmup"},
        {"", "", ", \"seed\": -1", "seed"},
        {"", "", ", \"label_dropout\": 0.1", "needs labels"},
        {", \"data\": {\"augment\": 0.1}", "", "", "architecture.augment"},
        {", \"data\": {\"augment\": 1.1}", "", "", "augment"},
        {"", "", ", \"averages\": 0.1", "averages"},
        {"", "", ", \"averages\": [0.1, 0.05]", "averages"},
        {"", "", ", \"averages\": [0.1, \"0.2\"]", "averages"},
        {"", "", ", \"averages\": [0.001]", "averages"},
        {"", "", ", \"averages\": [0.01, 0.02, 0.03, 0.04, 0.05]", "averages"},
        {", \"progress\": {\"averages_every\": 0}", "", "", "averages_every"},
    };
    struct recipe r;
    struct error err;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(parse(cases[i].top, cases[i].schedule, cases[i].training, &r, &err),
                         -EINVAL);
        if (!strstr(err.text, cases[i].named))
            fail_msg("\"%s\" does not name \"%s\"", err.text, cases[i].named);
    }
    assert_int_equal(recipe_parse("{\"name\": ", &r, &err), -EINVAL);
    assert_int_equal(recipe_parse("[]", &r, &err), -EINVAL);
}

/* Where C_t leaves pictures as they are, nothing is hidden from the loss. */
static void test_noise_hides_nothing(void **state)
{
    static const char *const keys[] = {"look_ahead", "residual", "perturbation"};
    struct recipe r;
    struct error err;
    char text[512];

    for (int i = 0; i < 3; i++) {
        snprintf(
            text, sizeof(text),
            "{\"name\": \"x\", \"architecture\": {\"image_size\": 16, \"nf\": 16, \"ch_mult\": [1],"
            " \"num_res_blocks\": 1}, \"corruption\": {\"name\": \"noise\"}, \"schedule\": {},"
            " \"output\": \"scaled\", \"time_embed\": \"fourier_t\", \"objective\": {\"%s\": 0.1},"
            " \"training\": {\"batch\": 4, \"steps\": 10, \"lr\": 1e-3}}",
            keys[i]);
        assert_int_equal(recipe_parse(text, &r, &err), i < 2 ? -EINVAL : 0);
        if (i < 2 && !strstr(err.text, keys[i]))
            fail_msg("\"%s\" does not name \"%s\"", err.text, keys[i]);
        if (i == 2)
            recipe_fini(&r);
    }
    assert_int_equal(recipe_read(RECIPES "/noise-faces32.json", &r, &err), 0);
    assert_string_equal(json_string_value(json_object_get(r.corruption, "name")), "noise");
    recipe_fini(&r);
}

/* Appends "key before after; " to a text. */
static void note_change(void *arg, const char *key, const char *before, const char *after)
{
    char *text = arg;
    size_t used = strlen(text);

    snprintf(text + used, 256 - used, "%s %s %s; ", key, before, after);
}

static void test_what_a_resume_may_change(void **state)
{
    static const struct {
        const char *top, *schedule, *training;
        const char *told;    /* what may change and did */
        const char *refused; /* or what may not; NULL */
    } cases[] = {
        {"", "", "", "", NULL},
        /* What is left out is its default. */
        {", \"data\": {\"flip\": true}, \"loss\": \"soft\"", "",
         ", \"ema\": 0.999, \"weight\": \"sigma\", \"stratified\": false, \"warmup\": 0", "", NULL},
        {"", "", ", \"averages\": [0.05]", "", "training.averages"},
        {", \"progress\": {\"log_every\": 7}", "", ", \"ema\": 0.9, \"clip\": 2.5",
         "training.clip 1.0 2.5; training.ema 0.999 0.9; progress.log_every 50 7; ", NULL},
        {"", "", ", \"decay\": \"cosine\", \"beta2\": 0.99",
         "training.decay \"none\" \"cosine\"; training.beta2 0.999 0.99; ", NULL},
        {"", "\"t_noise\": 0.3", "", "", "schedule"},
        {", \"loss\": \"plain\"", "", "", "", "loss"},
        {", \"data\": {\"flip\": false}", "", "", "", "data.flip"},
        {"", "", ", \"seed\": 2", "", "training.seed"},
        {"", "", ", \"stratified\": true", "", "training.stratified"},
        {"", "", ", \"weight\": \"balanced\"", "", "training.weight"},
        {"", "", ", \"weight\": \"one\"", "", "training.weight"},
        {", \"objective\": {\"look_ahead\": 0, \"residual\": 0, \"perturbation\": 0, "
         "\"colors\": \"rgb\"}",
         "", "", "", NULL},
        {", \"objective\": {\"look_ahead\": 0.1}", "", "", "", "objective.look_ahead"},
        {", \"objective\": {\"residual\": 0.1}", "", "", "", "objective.residual"},
        {", \"objective\": {\"perturbation\": 0.1}", "", "", "", "objective.perturbation"},
        {", \"objective\": {\"colors\": \"alike\"}", "", "", "", "objective.colors"},
    };
    struct recipe before, after;

    assert_int_equal(parse("", "", "", &before, NULL), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct error err = {""};
        char told[256] = "";
        int rc;

        assert_int_equal(parse(cases[i].top, cases[i].schedule, cases[i].training, &after, NULL),
                         0);
        rc = recipe_continues(&before, &after, note_change, told, &err);
        assert_int_equal(rc, cases[i].refused ? -EINVAL : 0);
        assert_string_equal(told, cases[i].told);
        if (cases[i].refused && !strstr(err.text, cases[i].refused))
            fail_msg("\"%s\" does not name \"%s\"", err.text, cases[i].refused);
        recipe_fini(&after);
    }
    recipe_fini(&before);
}

/* The number of steps on the command line is what a resume compares with. */
static void test_another_number_of_steps(void **state)
{
    struct recipe before, after;
    char told[256] = "";

    assert_int_equal(parse("", "", "", &before, NULL), 0);
    assert_int_equal(parse("", "", "", &after, NULL), 0);
    assert_int_equal(recipe_set_steps(&before, 3, NULL), 0);
    assert_int_equal(before.optimizer.steps, 3);
    assert_int_equal(recipe_continues(&before, &after, note_change, told, NULL), 0);
    assert_string_equal(told, "training.steps 3 10; ");
    recipe_fini(&before);
    recipe_fini(&after);
}

/* What both runs of the paper have in common: appendix D, and the code that it names. */
static void check_paper(const struct recipe *r)
{
    const struct architecture *a = &r->architecture;

    assert_int_equal(a->nf, 128);
    assert_int_equal(a->num_res_blocks, 4);
    assert_int_equal(a->n_levels, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(a->ch_mult[i], i ? 2 : 1);
    assert_int_equal(a->attn_resolutions[0], 16);
    assert_true(fabs((double)a->dropout - 0.1) < 1e-6 && !a->centered && a->num_channels == 3);
    assert_int_equal(r->output, OUTPUT_RESIDUAL);
    assert_string_equal(json_string_value(json_object_get(r->corruption, "name")), "blur");
    assert_int_equal(r->schedule.kind, RECIPE_SCHEDULE_FIT);
    assert_int_equal(r->schedule.fit.rule, SCHEDULE_RULE_PATH);
    assert_true(!r->schedule.beside && r->schedule.t_noise == 0.2);
    assert_true(r->schedule.sigma_min == 0.01 && r->schedule.sigma_max == 0.1);
    assert_int_equal(r->schedule.fit.n_levels, 32);
    assert_int_equal(r->schedule.fit.n_candidates, 256);
    assert_true(r->schedule.fit.level_min == 0.01);
    assert_true(r->flip && !r->stratified);
    assert_int_equal(r->objective.loss, LOSS_SOFT);
    assert_int_equal(r->objective.weight, RECIPE_WEIGHT_SIGMA);
    assert_true(r->objective.look_ahead == 0 && r->objective.perturbation == 0);
    assert_int_equal(r->batch, 128);
    assert_int_equal(r->optimizer.steps, 1000000);
    assert_true(r->optimizer.lr == 2e-4 && r->optimizer.beta1 == 0.9 &&
                r->optimizer.beta2 == 0.999);
    assert_true(r->optimizer.eps == 1e-8 && r->optimizer.clip == 1 && r->optimizer.ema == 0.999);
    assert_int_equal(r->optimizer.warmup, 5000);
    assert_int_equal(r->optimizer.decay, DECAY_NONE);
}

static int half_size(const struct recipe *r)
{
    return (int)json_integer_value(json_object_get(r->corruption, "half_size"));
}

/* The paper's settings, as the shipped recipes must keep them; and one for every corruption. */
static void test_shipped(void **state)
{
    static const char *const others[] = {"blur-dct", "pixelate", "fade",    "vp",
                                         "subvp",    "product",  "matrices"};
    struct recipe r;
    struct error err;

    assert_int_equal(recipe_read(RECIPES "/faces32.json", &r, &err), 0);
    assert_int_equal(r.output, OUTPUT_WIENER);
    recipe_fini(&r);

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        char path[256];

        snprintf(path, sizeof(path), RECIPES "/faces32-%s.json", others[i]);
        if (recipe_read(path, &r, &err) < 0)
            fail_msg("%s", err.text);
        assert_string_equal(r.name + strlen("faces32-"), others[i]);
        assert_string_equal(json_string_value(json_object_get(r.corruption, "name")), others[i]);
        recipe_fini(&r);
    }

    assert_int_equal(recipe_read(RECIPES "/mask-faces32.json", &r, &err), 0);
    assert_string_equal(json_string_value(json_object_get(r.corruption, "name")), "mask");
    recipe_fini(&r);

    assert_int_equal(recipe_read(RECIPES "/cifar10.json", &r, &err), 0);
    check_paper(&r);
    assert_int_equal(r.architecture.image_size, 32);
    assert_int_equal(half_size(&r), 32);
    assert_int_equal(r.crop, 0);
    assert_int_equal(r.time_embed, TIME_FOURIER_T);
    assert_true(r.schedule.fit.level_max == 18);
    recipe_fini(&r);

    assert_int_equal(recipe_read(RECIPES "/celeba64.json", &r, &err), 0);
    check_paper(&r);
    assert_int_equal(half_size(&r), 80);
    assert_int_equal(r.architecture.image_size, 64);
    assert_int_equal(r.time_embed, TIME_POSITIONAL_999T);
    assert_true(r.schedule.fit.level_max == 23);
    assert_int_equal(r.crop, 140);
    recipe_fini(&r);

    assert_int_equal(recipe_read(RECIPES "/none.json", &r, &err), -ENOENT);
    assert_non_null(strstr(err.text, "none.json"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_useless),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_knots),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_noise_hides_nothing),
        cmocka_unit_test(test_what_a_resume_may_change),
        cmocka_unit_test(test_another_number_of_steps),
        cmocka_unit_test(test_shipped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
