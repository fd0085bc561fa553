/* Restoration: what comes out agrees with what is known, and who does not restore notices nothing. */
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "model/checkpoint.h"
#include "model/corruption.h"
#include "model/evaluation.h"
#include "model/step.h"
#include "tests/unit/devices.h"
#include "tests/unit/model/untrained.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 16, PIXELS = SIDE * SIDE * 3, NFE_MAX = 8, LANES = 4, LABELS = 2, TASKS = 12 };

static const struct untrained model = {.side = SIDE, .nf = 8, .n_labels = LABELS, .modes = true};

struct rig {
    struct checkpoint *checkpoint;
    struct device *device;
    struct generator *g, *without; /* one that can restore, and one that cannot */
    float y[PIXELS];               /* bytes over 255 */
    uint8_t bytes[PIXELS];         /* the same */
    float mask[SIDE * SIDE];       /* the left half, and a pixel of the right */
};

static struct generator *make(struct rig *rig, int lanes, bool restoration)
{
    struct generator_options options = {.precision = PRECISION_FP32,
                                        .lanes = lanes,
                                        .nfe_max = NFE_MAX,
                                        .restoration = restoration};

    return untrained_generator(rig->device, rig->checkpoint, &options);
}

static struct rig *rig_make(const char *device, int n_threads)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    assert_non_null(rig);
    rig->checkpoint = untrained_checkpoint(&model);
    rig->device = untrained_device(device, n_threads);
    rig->g = make(rig, LANES, true);
    rig->without = make(rig, LANES, false);
    for (int i = 0; i < PIXELS; i++) {
        rig->bytes[i] = (uint8_t)(i * 7 + i / 48 * 5);
        rig->y[i] = (float)rig->bytes[i] / 255;
    }
    for (int i = 0; i < SIDE * SIDE; i++)
        rig->mask[i] = i % SIDE < SIDE / 2 || i == 40;
    return rig;
}

static void rig_free(struct rig *rig)
{
    generator_destroy(rig->g);
    generator_destroy(rig->without);
    device_close(rig->device);
    checkpoint_destroy(rig->checkpoint);
    free(rig);
}

/* Values that differ, where mask is `where`. */
static int count_other(const struct rig *rig, const uint8_t *pixels, float where)
{
    int n = 0;

    for (int i = 0; i < PIXELS; i++)
        n += rig->mask[i / 3] == where && pixels[i] != rig->bytes[i];
    return n;
}

/* Most samplers return h, whose known pixels are those of y up to a rounding far below half a byte.
 * sde-2m adds a trend, which is 0 there from the second step on; pf-literal leaves noise. */
static void test_known_pixels_come_out(void **state)
{
    struct rig *rig = rig_make("cpu", 1);
    struct generator_restoration restoration = {.y = rig->y, .mask = rig->mask, .weight = 1};
    uint8_t pixels[PIXELS];

    for (int s = 0; s < SAMPLER_TUNED; s++) {
        struct generator_task task = {.seed = 3,
                                      .sampler = (enum sampler)s,
                                      .nfe = 4,
                                      .restoration = &restoration};

        if (s == SAMPLER_PF_LITERAL)
            continue;
        restoration.mask = rig->mask;
        untrained_draw(rig->g, &task, 1, pixels);
        assert_int_equal(count_other(rig, pixels, 1), 0);
        assert_true(count_other(rig, pixels, 0) > SIDE * SIDE);
        restoration.mask = NULL; /* all of it, also after a mask in that slot */
        untrained_draw(rig->g, &task, 1, pixels);
        assert_memory_equal(pixels, rig->bytes, PIXELS);
    }
    rig_free(rig);
}

/* h as the step finds it, by a row that makes it x'. */
static void find_h(struct evaluation *e, const float *x, const struct step_lead *lead, float *h)
{
    static const struct philox_key key = {.seed_low = 1};
    static const bool unwanted = false;
    const struct evaluation_noise noise = {.key = &key};
    const struct sampler_row row = {.t = 0.7, .h_scale = {1}};

    assert_int_equal(evaluation_put(e, "x", 0, x, NULL), 0);
    evaluation_write(e, 0, 0, &row, &noise, lead);
    assert_int_equal(evaluation_run(e, 1, &unwanted, &unwanted, NULL), 0);
    assert_int_equal(evaluation_wait(e, NULL), 0);
    assert_int_equal(evaluation_get(e, "x", 0, h, NULL), 0);
}

/* h + g A^T (M (y - A h)), in double. */
static void restore(const struct rig *rig, double blur, double weight, const float *mask, float *h)
{
    struct corruption_matrices *a;
    double blurred[PIXELS], back[PIXELS];
    float difference[PIXELS];

    assert_int_equal(corruption_matrices_create(rig->checkpoint->formulation.corruption, blur, 3,
                                                &a, NULL),
                     0);
    corruption_matrices_apply(a, h, blurred);
    for (int i = 0; i < PIXELS; i++)
        difference[i] = (float)(mask[i / 3] * (rig->y[i] - blurred[i]));
    corruption_matrices_apply(a, difference, back);
    for (int i = 0; i < PIXELS; i++)
        h[i] = (float)(h[i] + weight * back[i]);
    corruption_matrices_destroy(a);
}

static void test_formula(void **state)
{
    static const struct {
        float weight;
        double blur;
    } rows[] = {{1, 0}, {0.3f, 0}, {1, 0.8}, {2.5f, 3}, {1, 1000}};

    for (int d = 0; test_device_at(d); d++) {
        struct rig *rig = rig_make(test_device_at(d), 2);
        struct evaluation_options options = {.precision = PRECISION_FP32,
                                             .batch_max = 2,
                                             .n_slots = 1,
                                             .restoration = true};
        float x[PIXELS], plain[PIXELS], h[PIXELS], a[SIDE];
        struct evaluation *e;

        assert_int_equal(evaluation_create(rig->device, rig->checkpoint, &options, &e, NULL), 0);
        for (int i = 0; i < PIXELS; i++)
            x[i] = 0.5f + 0.4f * sinf(0.01f * (float)(i * i % 991));
        assert_int_equal(evaluation_put(e, "y", 0, rig->y, NULL), 0);
        assert_int_equal(evaluation_put(e, "mask", 0, rig->mask, NULL), 0);
        find_h(e, x, &(struct step_lead){0}, plain);
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            const struct step_lead lead = {.restoration = rows[i].weight, .a = a};

            corruption_blur_row(SIDE, rows[i].blur, SIDE, a);
            find_h(e, x, &lead, h);
            assert_memory_not_equal(h, plain, sizeof(h));
            restore(rig, rows[i].blur, rows[i].weight, rig->mask, plain);
            for (int j = 0; j < PIXELS; j++)
                assert_true(fabsf(h[j] - plain[j]) < 1e-5f * (1 + fabsf(plain[j])));
            find_h(e, x, &(struct step_lead){0}, plain);
        }
        evaluation_destroy(e);
        rig_free(rig);
    }
}

/* Every third restores, each in its own way; some are guided as well. */
static void make_tasks(struct generator_task *tasks, const struct generator_restoration *r)
{
    for (int i = 0; i < TASKS; i++)
        tasks[i] = (struct generator_task){.id = (uint64_t)i,
                                           .seed = (uint64_t)i,
                                           .sampler = (enum sampler)(i % SAMPLER_TUNED),
                                           .nfe = 1 + i % 4,
                                           .label = i % (LABELS + 1),
                                           .guided = i % (LABELS + 1) != 0 && i % 2,
                                           .guidance = 1.5f,
                                           .restoration = i % 3 ? NULL : &r[i % 2]};
}

static void test_others_notice_nothing(void **state)
{
    static uint8_t alone[TASKS * PIXELS], together[TASKS * PIXELS], without[TASKS * PIXELS];
    static const int lanes[] = {1, 3, LANES};
    struct rig *rig = rig_make("cpu", 2);
    const struct generator_restoration restorations[] = {
        {.y = rig->y, .mask = rig->mask, .weight = 1},
        {.y = rig->y, .blur = 2, .weight = 0.7f},
    };
    struct generator_task tasks[TASKS];

    make_tasks(tasks, restorations);
    for (int i = 0; i < 3; i++) {
        struct generator *g = make(rig, lanes[i], true);

        untrained_draw(g, tasks, TASKS, i == 0 ? alone : together);
        if (i > 0)
            assert_memory_equal(alone, together, TASKS * PIXELS);
        generator_destroy(g);
    }
    for (int i = 0; i < TASKS; i++)
        tasks[i].restoration = NULL;
    untrained_draw(rig->without, tasks, TASKS, without);
    for (int i = 0; i < TASKS; i++)
        assert_int_equal(memcmp(alone + i * PIXELS, without + i * PIXELS, PIXELS) == 0, i % 3 != 0);
    rig_free(rig);
}

/* Pictures near the largest float ruin their own image, which is told, and neither those beside it nor
 * those that come into its slot. */
static void test_ruins_stay_alone(void **state)
{
    struct rig *rig = rig_make("cpu", 1);
    struct generator *g = make(rig, 2, true);
    float huge[PIXELS];
    const struct generator_restoration restoration = {.y = huge, .blur = 2, .weight = 1e9f};
    struct generator_task task = {.id = 0, .seed = 3, .sampler = SAMPLER_SDE_2M, .nfe = 4};
    struct generator_task ruined[] = {
        {.id = 1, .nfe = 4, .start = huge},
        {.id = 1, .nfe = 2, .start = huge, .label = 1, .guided = true, .guidance = 3},
        {.id = 1, .nfe = 4, .restoration = &restoration},
    };
    uint8_t expected[2 * PIXELS], pixels[2 * PIXELS];
    struct generator_image images[2];

    for (int i = 0; i < PIXELS; i++)
        huge[i] = 3e38f * (float)(1 - i % 2 * 2);
    for (int labelled = 0; labelled < 2; labelled++) {
        task.label = labelled;
        task.nfe = 4;
        task.guided = labelled;
        task.guidance = 2;
        untrained_draw(rig->without, &task, 1, expected);
        for (size_t i = 0; i < sizeof(ruined) / sizeof(ruined[0]); i++) {
            int n, n_ruined = 0;

            assert_int_equal(generator_submit(g, &task, NULL), 0);
            assert_int_equal(generator_submit(g, &ruined[i], NULL), 0);
            while (generator_busy(g) > 0) {
                assert_int_equal(generator_tick(g, images, &n, NULL), 0);
                for (int j = 0; j < n; j++) {
                    assert_int_equal(images[j].finite, images[j].id == 0);
                    n_ruined += images[j].id == 1;
                    if (images[j].id == 0)
                        assert_memory_equal(images[j].pixels, expected, PIXELS);
                }
            }
            assert_int_equal(n_ruined, 1);
            for (int j = 0; j < 2; j++) { /* whichever slot it was */
                struct generator_task both[2] = {task, task};

                both[1].id = 1;
                untrained_draw(g, both, 2, pixels);
                assert_memory_equal(pixels, expected, PIXELS);
                assert_memory_equal(pixels + PIXELS, expected, PIXELS);
            }
        }
    }
    generator_destroy(g);
    rig_free(rig);
}

static void test_refusals(void **state)
{
    struct rig *rig = rig_make("cpu", 1);
    float broken[PIXELS] = {[PIXELS - 1] = NAN}, hole[SIDE * SIDE] = {[SIDE * SIDE - 1] = INFINITY};
    const struct {
        struct generator_restoration restoration;
        const char *text;
    } rows[] = {
        {{.y = rig->y}, "weight 0"},
        {{.y = rig->y, .weight = -1}, "weight -1"},
        {{.y = rig->y, .weight = NAN}, "weight nan"},
        {{.y = rig->y, .weight = INFINITY}, "weight inf"},
        {{.y = rig->y, .weight = 1, .blur = -1}, "blur -1"},
        {{.y = rig->y, .weight = 1, .blur = NAN}, "blur nan"},
        {{.y = rig->y, .weight = 1, .blur = INFINITY}, "blur inf"},
        {{.y = broken, .weight = 1}, "not finite"},
        {{.y = rig->y, .weight = 1, .mask = hole}, "not finite"},
    };
    struct generator_task task = {.seed = 3, .sampler = SAMPLER_PF_2M, .nfe = 1};
    struct error err;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        task.restoration = &rows[i].restoration;
        assert_int_equal(generator_submit(rig->g, &task, &err), -EINVAL);
        if (!strstr(err.text, rows[i].text))
            fail_msg("\"%s\" does not speak of \"%s\"", err.text, rows[i].text);
    }
    task.restoration = &(struct generator_restoration){.y = rig->y, .weight = 1};
    assert_int_equal(generator_submit(rig->without, &task, &err), -EINVAL);
    assert_string_equal(err.text, "this generator does not restore");
    task.restoration = NULL;
    task.start = broken;
    assert_int_equal(generator_submit(rig->g, &task, &err), -EINVAL);
    assert_non_null(strstr(err.text, "not finite"));
    assert_int_equal(generator_busy(rig->g), 0);
    rig_free(rig);
}

/* What a tick sends per lane at 64 px: 2048 bytes at the most. */
static void test_short_rows(void **state)
{
    static const struct {
        const char *what;
        struct untrained model;
    } rows[] = {
        {"blur, residual", {.side = 64, .nf = 4}},
        {"blur, wiener", {.side = 64, .nf = 4, .wiener = true, .modes = true}},
        {"blur, wiener, labels", {.side = 64, .nf = 4, .wiener = true, .n_labels = LABELS}},
        {"mask, residual",
         {.side = 64, .nf = 4, .corruption = "{\"name\": \"mask\", \"order\": \"spiral\"}"}},
        {"noise, residual", {.side = 64, .nf = 4, .corruption = "{\"name\": \"noise\"}"}},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct checkpoint *c = untrained_checkpoint(&rows[i].model);
        struct device *device = untrained_device("cpu", 1);
        size_t bytes[2];

        for (int restoration = 0; restoration < 2; restoration++) {
            struct generator_options options = {.lanes = 1,
                                                .nfe_max = 1,
                                                .restoration = restoration,
                                                .precision = PRECISION_FP32};
            struct generator *g = untrained_generator(device, c, &options);

            bytes[restoration] = generator_row_bytes(g);
            generator_destroy(g);
        }
        print_message("# %s: %zu bytes, %zu with restoration\n", rows[i].what, bytes[0], bytes[1]);
        assert_true(bytes[1] <= 2048);
        assert_true(bytes[1] - bytes[0] <= (64 + 8) * sizeof(float)); /* its own row */
        device_close(device);
        checkpoint_destroy(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_pixels_come_out),
        cmocka_unit_test(test_formula),
        cmocka_unit_test(test_others_notice_nothing),
        cmocka_unit_test(test_ruins_stay_alone),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_short_rows),
    };

    return cmocka_run_group_tests_name("restoration", tests, NULL, NULL);
}
