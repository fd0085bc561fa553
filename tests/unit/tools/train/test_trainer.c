/* Steps that go wrong, and a batch in parts. */
#include "tools/train/trainer.h"
#include "engine/base/error.h"
#include "engine/communicator/communicator.h"
#include "tests/unit/model/pictures.h"
#include "tools/pictures/dataset.h"
#include "tools/train/examples.h"
#include "tools/train/fit.h"
#include "tools/train/recipe.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 16, IMAGES = 8, BATCH = 32 };

static const char text[] =
    "{\"name\": \"x\", \"architecture\": {\"image_size\": 16, \"nf\": 16, \"ch_mult\": [1],"
    " \"num_res_blocks\": 1, \"attn_resolutions\": []}, \"corruption\": {\"name\": \"noise\"},"
    " \"schedule\": {\"sigma_max\": 20}, \"output\": \"residual\", \"time_embed\": \"fourier_t\","
    " \"training\": {\"batch\": 32, \"steps\": 10, \"lr\": 1e-3}}";

struct fixture {
    struct recipe recipe;
    struct dataset dataset;
    struct formulation formulation;
    struct communicator *communicator;
    struct device *device;
    struct examples *order;
    struct example examples[BATCH];
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    size_t n = (size_t)IMAGES * SIDE * SIDE * 3;
    float *images = pictures(IMAGES, SIDE, 3);
    struct error err;

    f->dataset = (struct dataset){.n = IMAGES, .side = SIDE, .pixels = malloc(n)};
    for (size_t i = 0; i < n; i++)
        f->dataset.pixels[i] = (uint8_t)fminf(fmaxf(255 * images[i], 0), 255);
    free(images);
    if (recipe_parse(text, &f->recipe, &err) < 0 ||
        fit_formulation(&f->recipe, &f->dataset, NULL, &f->formulation, &err) < 0 ||
        communicator_open_single(&f->communicator, &err) < 0 ||
        device_open("cpu", 2, NULL, &f->device, &err) < 0 ||
        examples_create(&(struct examples_options){.n_images = IMAGES,
                                                   .batch = BATCH,
                                                   .flip = true},
                        &f->order, &err) < 0)
        fail_msg("%s", err.text);
    examples_of_step(f->order, 0, f->examples);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    examples_destroy(f->order);
    device_close(f->device);
    communicator_close(f->communicator);
    formulation_fini(&f->formulation);
    recipe_fini(&f->recipe);
    free(f->dataset.pixels);
    free(f);
    return 0;
}

static struct trainer *create(struct fixture *f, int n_runs)
{
    struct trainer_options options = {.communicator = f->communicator, .n_runs = n_runs};
    struct trainer *t;
    struct error err;

    if (trainer_create(f->device, &f->formulation, &f->recipe, &options, &t, &err) < 0)
        fail_msg("%s", err.text);
    return t;
}

static struct trainer_report step(struct fixture *f, struct trainer *t, uint64_t number)
{
    struct trainer_report report;
    struct error err;

    if (trainer_step(t, &f->dataset, f->examples, NULL, number, &report, &err) < 0)
        fail_msg("%s", err.text);
    return report;
}

static struct optimizer_state arrays_of(struct trainer *t)
{
    struct optimizer_state s;
    struct error err;

    assert_int_equal(optimizer_state_init(&s, trainer_count(t), 0), 0);
    if (trainer_read(t, &s, &err) < 0)
        fail_msg("%s", err.text);
    return s;
}

static void assert_same(const struct optimizer_state *a, const struct optimizer_state *b)
{
    assert_memory_equal(a->weights, b->weights, a->n * sizeof(float));
    assert_memory_equal(a->ema, b->ema, a->n * sizeof(float));
    assert_memory_equal(a->m, b->m, a->n * sizeof(float));
    assert_memory_equal(a->v, b->v, a->n * sizeof(float));
}

/* A loss that is not finite, by one weight; the next step finds everything as it was, and no gradient of
 * this one. */
static void a_step_that_is_not_finite_is_skipped(void **state)
{
    struct fixture *f = *state;
    struct trainer *t = create(f, 1), *other = create(f, 1);
    struct optimizer_state before, bad, after;
    struct trainer_report report;

    report = step(f, t, 0);
    assert_false(report.skipped);
    assert_true(report.loss > 0 && report.grad_norm > 0);
    step(f, other, 0);
    before = arrays_of(t);
    bad = arrays_of(t);
    for (size_t i = 0; i < bad.n; i++)
        bad.weights[i] = 1e30f;
    assert_int_equal(trainer_write(t, &bad, NULL), 0);
    report = step(f, t, 1);
    assert_true(report.skipped);
    after = arrays_of(t);
    assert_same(&bad, &after);
    assert_int_equal(trainer_write(t, &before, NULL), 0);
    report = step(f, t, 2);
    assert_false(report.skipped);
    step(f, other, 2);
    optimizer_state_fini(&before);
    optimizer_state_fini(&after);
    before = arrays_of(other);
    after = arrays_of(t);
    assert_same(&before, &after);
    optimizer_state_fini(&before);
    optimizer_state_fini(&bad);
    optimizer_state_fini(&after);
    trainer_destroy(t);
    trainer_destroy(other);
}

/* Runs of whole chunks, and the losses of all of them. */
static void parts_are_the_whole(void **state)
{
    struct fixture *f = *state;
    struct trainer *whole = create(f, 1), *parts = create(f, 4);
    struct trainer_report one = step(f, whole, 0), four = step(f, parts, 0);
    struct optimizer_state a = arrays_of(whole), b = arrays_of(parts);

    assert_memory_equal(one.losses, four.losses, BATCH * sizeof(float));
    assert_true(one.loss == four.loss && one.grad_norm == four.grad_norm);
    assert_same(&a, &b);
    optimizer_state_fini(&a);
    optimizer_state_fini(&b);
    trainer_destroy(whole);
    trainer_destroy(parts);
}

/* Images that are read while the step before is computed are those of their own step, and the device
 * waits for none of them. */
static void reading_ahead_changes_nothing(void **state)
{
    enum { STEPS = 4 };
    struct fixture *f = *state;
    static struct example batches[STEPS + 1][BATCH];
    struct trainer *alone = create(f, 4), *ahead = create(f, 4);
    struct optimizer_state a, b;
    struct error err;

    for (uint64_t i = 0; i <= STEPS; i++)
        examples_of_step(f->order, i, batches[i]);
    for (uint64_t i = 0; i < STEPS; i++) {
        const struct example *next = batches[i == 1 ? 3 : i + 1]; /* once another step than it is */
        struct trainer_report one, two;

        if (trainer_step(alone, &f->dataset, batches[i], NULL, i, &one, &err) < 0 ||
            trainer_step(ahead, &f->dataset, batches[i], i == 1 ? NULL : next, i, &two, &err) < 0)
            fail_msg("%s", err.text);
        assert_memory_equal(one.losses, two.losses, BATCH * sizeof(float));
        assert_true(one.idle_ms > 0 && one.idle_ms <= one.batch_ms && two.idle_ms <= two.batch_ms);
        if (i == 1 || i == 3) /* what follows a step that was told of it */
            assert_true(i == 3 || two.idle_ms < two.batch_ms);
    }
    a = arrays_of(alone);
    b = arrays_of(ahead);
    assert_same(&a, &b);
    optimizer_state_fini(&a);
    optimizer_state_fini(&b);
    trainer_destroy(alone);
    trainer_destroy(ahead);
}

static void what_does_not_divide_is_refused(void **state)
{
    struct fixture *f = *state;
    struct communicator three = *f->communicator;
    struct trainer_options options = {.communicator = &three, .n_runs = 5};
    struct trainer *t;
    struct error err;

    assert_int_equal(trainer_create(f->device, &f->formulation, &f->recipe, &options, &t, &err),
                     -EINVAL);
    three.n_ranks = 3;
    options.n_runs = 1;
    assert_int_equal(trainer_create(f->device, &f->formulation, &f->recipe, &options, &t, &err),
                     -EINVAL);
    assert_string_equal(err.text, "a batch of 32 cannot be divided among 3 ranks with 1 runs each");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_that_is_not_finite_is_skipped),
        cmocka_unit_test(parts_are_the_whole),
        cmocka_unit_test(reading_ahead_changes_nothing),
        cmocka_unit_test(what_does_not_divide_is_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
