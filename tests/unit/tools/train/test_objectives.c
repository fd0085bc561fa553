/* Three steps of every objective that a recipe can ask for: those of cpu are those of the reference, what
 * is asked for makes a difference, and the balance knows of it.
 */
#include "engine/base/error.h"
#include "engine/base/log.h"
#include "engine/communicator/communicator.h"
#include "tests/unit/model/pictures.h"
#include "tools/pictures/dataset.h"
#include "tools/train/examples.h"
#include "tools/train/fit.h"
#include "tools/train/recipe.h"
#include "tools/train/trainer.h"

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

enum { SIDE = 8, IMAGES = 8, BATCH = 4, STEPS = 3 };

struct objective_recipe {
    const char *output, *loss, *weight, *objective;
};

static const struct objective_recipe recipes[] = {
    {"residual", "soft", "sigma", "{}"}, /* the first is what others differ from */
    {"residual", "plain", "sigma", "{}"},
    {"residual", "soft", "one", "{}"},
    {"residual", "soft", "balanced", "{}"},
    {"scaled", "soft", "sigma", "{}"},
    {"scaled", "soft", "balanced", "{\"look_ahead\": 0.2}"},
    {"residual", "soft", "sigma", "{\"look_ahead\": 0.2}"},
    {"residual", "soft", "sigma", "{\"residual\": 0.1}"},
    {"residual", "soft", "sigma", "{\"perturbation\": 0.1}"},
    {"residual", "soft", "sigma", "{\"colors\": \"alike\"}"},
    {"wiener", "soft", "one",
     "{\"look_ahead\": 0.1, \"residual\": 0.1, \"perturbation\": 0.1, \"colors\": \"alike\"}"},
};

struct run {
    double loss[STEPS], norm[STEPS];
};

static void read_recipe(const struct objective_recipe *r, struct recipe *out)
{
    struct error err;
    char text[1024];

    snprintf(text, sizeof(text),
             "{\"name\": \"x\", \"architecture\": {\"image_size\": 8, \"nf\": 8, \"ch_mult\": "
             "[1],"
             " \"num_res_blocks\": 1, \"attn_resolutions\": [], \"dropout\": 0.1},"
             " \"corruption\": {\"name\": \"blur\", \"half_size\": 8},"
             " \"schedule\": {\"levels\": [0.01, 1, 3]}, \"output\": \"%s\","
             " \"time_embed\": \"fourier_t\", \"loss\": \"%s\", \"objective\": %s,"
             " \"training\": {\"batch\": 4, \"steps\": 10, \"lr\": 1e-4, \"weight\": \"%s\"}}",
             r->output, r->loss, r->objective, r->weight);
    if (recipe_parse(text, out, &err) < 0)
        fail_msg("%s: %s", r->objective, err.text);
}

static int begin(struct trainer *t, const struct recipe *r, const struct dataset *d,
                 struct error *err)
{
    float colors[9];
    int rc = r->objective.colors ? fit_color_weights(r, d, colors, err) : 0;

    if (rc == 0 && r->objective.colors)
        rc = trainer_weigh_colors(t, colors, err);
    if (rc == 0 && r->objective.weight == RECIPE_WEIGHT_BALANCED)
        rc = trainer_balance(t, d, 3, NULL, err);
    return rc;
}

static struct run take_steps(const struct objective_recipe *which, const char *device,
                             const struct dataset *d, struct communicator *communicator)
{
    const struct trainer_options options = {.precision = PRECISION_FP32,
                                            .communicator = communicator,
                                            .n_runs = 1};
    struct formulation f;
    struct recipe r;
    struct device *opened;
    struct examples *order;
    struct example examples[BATCH];
    struct trainer *t;
    struct run run;
    struct error err;

    read_recipe(which, &r);
    if (fit_formulation(&r, d, NULL, &f, &err) < 0 ||
        device_open(device, 2, NULL, &opened, &err) < 0 ||
        examples_create(&(struct examples_options){.n_images = IMAGES,
                                                   .batch = BATCH,
                                                   .look_ahead = r.objective.look_ahead},
                        &order, &err) < 0 ||
        trainer_create(opened, &f, &r, &options, &t, &err) < 0 || begin(t, &r, d, &err) < 0)
        fail_msg("%s: %s", which->objective, err.text);
    for (int step = 0; step < STEPS; step++) {
        struct trainer_report report;

        examples_of_step(order, (uint64_t)step, examples);
        if (trainer_step(t, d, examples, NULL, (uint64_t)step, &report, &err) < 0)
            fail_msg("%s: %s", which->objective, err.text);
        assert_false(report.skipped);
        run.loss[step] = report.loss;
        run.norm[step] = report.grad_norm;
    }
    trainer_destroy(t);
    examples_destroy(order);
    device_close(opened);
    formulation_fini(&f);
    recipe_fini(&r);
    return run;
}

static void test_three_steps(void **state)
{
    size_t n = (size_t)IMAGES * SIDE * SIDE * 3;
    float *images = pictures(IMAGES, SIDE, 3);
    struct dataset d = {.n = IMAGES, .side = SIDE, .pixels = malloc(n)};
    struct communicator *communicator;
    struct run first = {{0}, {0}};

    for (size_t i = 0; i < n; i++)
        d.pixels[i] = (uint8_t)fminf(fmaxf(255 * images[i], 0), 255);
    free(images);
    log_set_level(LOG_WARN);
    assert_int_equal(communicator_open_single(&communicator, NULL), 0);
    for (size_t i = 0; i < sizeof(recipes) / sizeof(recipes[0]); i++) {
        struct run cpu = take_steps(&recipes[i], "cpu", &d, communicator);
        bool balanced = strcmp(recipes[i].weight, "balanced") == 0; /* slow there */
        struct run reference =
            balanced ? cpu : take_steps(&recipes[i], "reference", &d, communicator);

        for (int step = 0; step < STEPS; step++) {
            if (!(fabs(cpu.loss[step] / reference.loss[step] - 1) < 1e-4 &&
                  fabs(cpu.norm[step] / reference.norm[step] - 1) < 1e-3))
                fail_msg("recipe %zu, step %d: loss %g, norm %g on cpu; %g, %g on reference", i,
                         step, cpu.loss[step], cpu.norm[step], reference.loss[step],
                         reference.norm[step]);
        }
        if (i == 0)
            first = cpu;
        else
            assert_true(cpu.norm[2] != first.norm[2]);
    }
    communicator_close(communicator);
    free(d.pixels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_three_steps)};

    return cmocka_run_group_tests_name("objectives", tests, NULL, NULL);
}
