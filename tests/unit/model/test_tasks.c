/* What a task may ask for: each of its fields, alone and in company. Bytes are compared, since what a
 * task leaves out must leave them as they are. */
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "model/checkpoint.h"
#include "model/sampler.h"
#include "tests/unit/model/untrained.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 16, PIXELS = SIDE * SIDE * 3, NFE_MAX = 12, LANES = 4, LABELS = 3 };

static const struct untrained labelled = {.side = SIDE, .nf = 8, .n_labels = LABELS, .modes = true};
static const struct untrained plain = {.side = SIDE,
                                       .nf = 8,
                                       .corruption = "{\"name\": \"noise\"}"};

struct rig {
    struct checkpoint *checkpoint;
    struct device *device;
    struct generator *g;
};

static struct rig rig_make(const struct untrained *u, int lanes)
{
    struct generator_options options = {.precision = PRECISION_FP32,
                                        .lanes = lanes,
                                        .nfe_max = NFE_MAX};
    struct rig rig = {untrained_checkpoint(u), untrained_device("cpu", 1), NULL};

    rig.g = untrained_generator(rig.device, rig.checkpoint, &options);
    return rig;
}

static void rig_free(struct rig *rig)
{
    generator_destroy(rig->g);
    device_close(rig->device);
    checkpoint_destroy(rig->checkpoint);
}

static void draw(struct rig *rig, struct generator_task task, uint8_t *pixels)
{
    task.id = 0;
    untrained_draw(rig->g, &task, 1, pixels);
}

static bool same(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, PIXELS) == 0;
}

static void expect_refused(struct rig *rig, const struct generator_task *task, const char *text)
{
    struct error err = {""};

    assert_int_equal(generator_submit(rig->g, task, &err), -EINVAL);
    if (!strstr(err.text, text))
        fail_msg("\"%s\" does not speak of \"%s\"", err.text, text);
    assert_int_equal(generator_busy(rig->g), 0);
}

static void test_rows_of_ones_own(void **state)
{
    struct rig rig = rig_make(&labelled, 1);
    struct sampler_row rows[NFE_MAX];
    uint8_t expected[PIXELS], pixels[PIXELS];
    struct generator_image image = {0};
    int n = 0;

    for (int s = 0; s < SAMPLER_TUNED; s++) {
        struct generator_task task = {.seed = 3, .sampler = (enum sampler)s, .nfe = 3 + s % 4};

        draw(&rig, task, expected);
        assert_int_equal(sampler_table(task.sampler, &rig.checkpoint->formulation, task.nfe, rows,
                                       NULL),
                         0);
        task.rows = rows;
        task.sampler = SAMPLER_TUNED; /* has no table here: not looked at */
        assert_int_equal(generator_submit(rig.g, &task, NULL), 0);
        memset(rows, 0xff, sizeof(rows)); /* nor are the rows, any more */
        while (generator_busy(rig.g) > 0)
            assert_int_equal(generator_tick(rig.g, &image, &n, NULL), 0);
        memcpy(pixels, image.pixels, PIXELS);
        assert_true(same(pixels, expected));
    }
    rig_free(&rig);
}

/* A row that does nothing but read the memory, which is 0 for an image that begins. */
static struct sampler_row memory_row(void)
{
    return (struct sampler_row){.t = 0.5, .from = 0.5, .middle = 0.5, .x_scale = 1, .m_scale = 1};
}

static void test_starts(void **state)
{
    struct rig rig = rig_make(&plain, 1);
    const struct formulation *f = &rig.checkpoint->formulation;
    struct generator_task task = {.seed = 9, .sampler = SAMPLER_SDE_2M, .nfe = 6};
    struct philox_key key = philox_key(task.seed, 0, 0);
    struct sampler_row rows[NFE_MAX], row = memory_row();
    uint8_t expected[PIXELS], pixels[PIXELS];
    float start[PIXELS];

    /* x_1 of this model is noise alone: brought along it makes the same image. */
    draw(&rig, task, expected);
    philox_normals(&key, PHILOX_STREAM_START, PIXELS, start);
    for (int i = 0; i < PIXELS; i++)
        start[i] *= (float)schedule_sigma(&f->schedule, 1);
    task.start = start;
    draw(&rig, task, pixels);
    assert_true(same(pixels, expected));

    /* At a later time, from the rows there on: of what another image left in the slot nothing is
     * seen. */
    for (int i = 0; i < PIXELS; i++)
        start[i] = (float)(i % 256) / 255;
    task = (struct generator_task){.seed = 1, .nfe = 1, .rows = &row, .start = start};
    draw(&rig, task, pixels);
    for (int i = 0; i < PIXELS; i++)
        assert_int_equal(pixels[i], i % 256);
    for (int s = 0; s < SAMPLER_TUNED; s++) {
        struct rig unused = rig_make(&plain, 1);

        assert_int_equal(sampler_table((enum sampler)s, f, 8, rows, NULL), 0);
        task = (struct generator_task){.seed = 2, .nfe = 5, .rows = rows + 3, .start = start};
        draw(&rig, task, pixels);
        draw(&unused, task, expected);
        assert_true(same(pixels, expected));
        rig_free(&unused);
    }
    rig_free(&rig);
}

static void test_two_seeds(void **state)
{
    /* One that renews its noise and one that does not. */
    static const enum sampler samplers[] = {SAMPLER_SDE_2M, SAMPLER_PF_2M};
    static const struct untrained *models[] = {&labelled, &plain};

    for (int i = 0; i < 4; i++) {
        struct rig rig = rig_make(models[i / 2], LANES);
        struct generator_task task = {.seed = 5, .sampler = samplers[i % 2], .nfe = 4};
        struct generator_task tasks[2 * LANES];
        uint8_t a[PIXELS], b[PIXELS], pixels[PIXELS], half[PIXELS], company[2 * LANES * PIXELS];

        draw(&rig, task, a);
        task.seed = 6;
        draw(&rig, task, b);
        assert_false(same(a, b));
        task = (struct generator_task){.seed = 5,
                                       .sampler = samplers[i % 2],
                                       .nfe = 4,
                                       .mixed = true,
                                       .seed_b = 6};
        draw(&rig, task, pixels);
        assert_true(same(pixels, a));
        task.mix = 1;
        draw(&rig, task, pixels);
        assert_true(same(pixels, b));
        task.mix = 0.5;
        draw(&rig, task, half);
        assert_false(same(half, a) || same(half, b));
        for (int j = 0; j < 2 * LANES; j++) {
            tasks[j] = task;
            tasks[j].id = (uint64_t)j;
            tasks[j].nfe = j % 3 == 0 ? 4 : 1 + j % 3;
            tasks[j].mix = j % 3 == 0 ? 0.5 : 0.1 * j;
        }
        untrained_draw(rig.g, tasks, 2 * LANES, company);
        for (int j = 0; j < 2 * LANES; j += 3)
            assert_true(same(company + j * PIXELS, half));

        /* A seed with itself is itself, not more of it. */
        task.seed_b = task.seed;
        draw(&rig, task, pixels);
        assert_true(same(pixels, a));
        task.mix = 1.5;
        expect_refused(&rig, &task, "mix is 0 to 1");
        task.mix = -0.1;
        expect_refused(&rig, &task, "mix is 0 to 1");
        task.mix = NAN;
        expect_refused(&rig, &task, "mix is 0 to 1");
        rig_free(&rig);
    }
}

static void test_labels(void **state)
{
    struct rig rig = rig_make(&labelled, LANES), without = rig_make(&plain, 1);
    struct generator_task task = {.seed = 5, .sampler = SAMPLER_SDE_2M, .nfe = 4};
    uint8_t images[LABELS + 1][PIXELS];

    for (task.label = 0; task.label <= LABELS; task.label++) {
        draw(&rig, task, images[task.label]);
        for (int i = 0; i < task.label; i++)
            assert_false(same(images[i], images[task.label]));
    }
    expect_refused(&rig, &task, "label 4 is not one of 3");
    task.label = -1;
    expect_refused(&rig, &task, "label -1");
    task.label = 1;
    expect_refused(&without, &task, "label 1 is not one of 0");
    task.label = 0;
    task.guided = true;
    expect_refused(&rig, &task, "guidance needs a label");
    expect_refused(&without, &task, "guidance needs a label");
    rig_free(&rig);
    rig_free(&without);
}

static void test_guidance(void **state)
{
    struct rig rig = rig_make(&labelled, LANES);

    for (int s = 0; s < SAMPLER_TUNED; s++) {
        struct generator_task task = {.seed = 8, .sampler = (enum sampler)s, .nfe = 3 + s % 4};
        uint8_t none[PIXELS], label[PIXELS], pixels[PIXELS];

        draw(&rig, task, none);
        task.label = 2;
        assert_int_equal(untrained_draw(rig.g, &task, 1, label), task.nfe);
        task.guided = true;
        task.guidance = 1;
        assert_int_equal(untrained_draw(rig.g, &task, 1, pixels), 2 * task.nfe);
        assert_true(same(pixels, label));
        task.guidance = 0; /* u alone, which is without a label */
        draw(&rig, task, pixels);
        assert_true(same(pixels, none));
        task.guidance = 3;
        draw(&rig, task, pixels);
        assert_false(same(pixels, label) || same(pixels, none));
    }
    rig_free(&rig);
}

static void test_guidance_refused(void **state)
{
    struct rig rig = rig_make(&labelled, 1);
    struct generator_task task = {.seed = 8,
                                  .nfe = NFE_MAX / 2 + 1,
                                  .label = 1,
                                  .guided = true,
                                  .guidance = 2};

    expect_refused(&rig, &task, "7 guided steps take 14 evaluations, 12 are allowed");
    task.nfe = INT_MAX;
    expect_refused(&rig, &task, "nfe is 1 to 12");
    task.nfe = 2;
    task.guidance = INFINITY;
    expect_refused(&rig, &task, "guidance");
    task.guidance = NAN;
    expect_refused(&rig, &task, "guidance");
    rig_free(&rig);
}

/* Everything at once that a model without restoration draws. */
enum { TASKS = 10 };

static void make_company(struct generator_task *tasks, const float *start)
{
    for (int i = 0; i < TASKS; i++) {
        bool guided = i % 3 == 1;

        tasks[i] = (struct generator_task){.id = (uint64_t)i,
                                           .seed = (uint64_t)i,
                                           .sampler = (enum sampler)(i % SAMPLER_TUNED),
                                           .nfe = guided ? 2 + i % 3 : 3 + i % 5,
                                           .label = guided ? 1 + i % LABELS : i % 2,
                                           .guided = guided,
                                           .guidance = 0.5f * (float)i,
                                           .mixed = i % 4 == 2,
                                           .seed_b = 99,
                                           .mix = 0.1 * i,
                                           .start = i % 5 == 3 ? start : NULL,
                                           .previews = i % 4 == 1};
    }
}

static void test_mixed_company(void **state)
{
    static const struct {
        int threads, lanes;
    } company[] = {{1, 1}, {1, 3}, {2, 5}, {3, TASKS}};
    struct checkpoint *c = untrained_checkpoint(&labelled);
    static uint8_t alone[TASKS * PIXELS], together[TASKS * PIXELS];
    struct generator_task tasks[TASKS];
    float start[PIXELS];

    for (int i = 0; i < PIXELS; i++)
        start[i] = 0.5f + 0.3f * sinf((float)i);
    make_company(tasks, start);
    for (int i = 0; i < 4; i++) {
        struct generator_options options = {.precision = PRECISION_FP32,
                                            .lanes = company[i].lanes,
                                            .nfe_max = NFE_MAX};
        struct device *device = untrained_device("cpu", company[i].threads);
        struct generator *g = untrained_generator(device, c, &options);

        untrained_draw(g, tasks, TASKS, i == 0 ? alone : together);
        if (i > 0)
            assert_memory_equal(alone, together, TASKS * PIXELS);
        generator_destroy(g);
        device_close(device);
    }
    checkpoint_destroy(c);
}

/* Counts the previews of a task and keeps the last pair of pictures; returns the ticks. */
static int watch(struct rig *rig, const struct generator_task *task, uint8_t *pixels,
                 uint8_t *predicted)
{
    int n_evaluations = task->guided ? 2 * task->nfe : task->nfe, ticks = 0;
    struct generator_image image;

    assert_int_equal(generator_submit(rig->g, task, NULL), 0);
    while (generator_busy(rig->g) > 0) {
        int n;

        assert_int_equal(generator_tick(rig->g, &image, &n, NULL), 0);
        assert_int_equal(n, 1);
        ticks++;
        assert_int_equal(image.id, task->id);
        assert_int_equal(image.seed, task->seed);
        assert_int_equal(image.n_evaluations, n_evaluations);
        assert_int_equal(image.n_done, ticks);
        assert_int_equal(image.finished, ticks == n_evaluations);
        assert_true(image.finite);
        assert_non_null(image.predicted);
        memcpy(pixels, image.pixels, PIXELS);
        memcpy(predicted, image.predicted, PIXELS);
    }
    return ticks;
}

static void test_previews(void **state)
{
    struct rig rig = rig_make(&labelled, 1);

    for (int s = 0; s < SAMPLER_TUNED; s++) {
        struct generator_task task = {.id = 4, .seed = 7, .sampler = (enum sampler)s, .nfe = 5};
        uint8_t expected[PIXELS], pixels[PIXELS], predicted[PIXELS];

        task.guided = s % 2;
        task.label = s % 2;
        task.guidance = 2;
        draw(&rig, task, expected);
        task.previews = true;
        assert_int_equal(watch(&rig, &task, pixels, predicted), task.guided ? 10 : 5);
        assert_true(same(pixels, expected));
        /* The last step returns h; but one keeps half of its noise, and one has a trend. */
        assert_int_equal(same(pixels, predicted), s != SAMPLER_PF_LITERAL && s != SAMPLER_SDE_2M);
    }
    rig_free(&rig);
}

static void test_without_previews_there_are_none(void **state)
{
    struct rig rig = rig_make(&plain, 1);
    struct generator_task task = {.seed = 7, .sampler = SAMPLER_PF_2M, .nfe = 3};
    struct generator_image image;

    assert_int_equal(generator_submit(rig.g, &task, NULL), 0);
    for (int i = 0; i < 3; i++) {
        int n;

        assert_int_equal(generator_tick(rig.g, &image, &n, NULL), 0);
        assert_int_equal(n, i == 2);
    }
    assert_true(image.finished && image.n_done == 3 && !image.predicted);
    rig_free(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_of_ones_own),
        cmocka_unit_test(test_starts),
        cmocka_unit_test(test_two_seeds),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_guidance),
        cmocka_unit_test(test_guidance_refused),
        cmocka_unit_test(test_mixed_company),
        cmocka_unit_test(test_previews),
        cmocka_unit_test(test_without_previews_there_are_none),
    };

    return cmocka_run_group_tests_name("tasks", tests, NULL, NULL);
}
