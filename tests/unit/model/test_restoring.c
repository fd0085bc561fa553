/* What a picture is restored by: where it starts, what leads it, and that it comes out. */
#include "engine/base/error.h"
#include "model/checkpoint.h"
#include "model/corruption.h"
#include "model/generator.h"
#include "model/restoration.h"
#include "model/schedule.h"
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

enum { SIDE = 16, VALUES = SIDE * SIDE * 3, NFE = 6, LANES = 4 };

static const struct untrained model = {.side = SIDE, .nf = 8};

struct rig {
    struct checkpoint *checkpoint;
    struct device *device;
    struct generator *g;
    float picture[VALUES], mask[SIDE * SIDE];
    uint8_t bytes[VALUES];
};

static struct rig *rig_make(const char *device)
{
    struct generator_options options = {.precision = PRECISION_FP32,
                                        .lanes = LANES,
                                        .nfe_max = NFE,
                                        .restoration = true};
    struct rig *rig = calloc(1, sizeof(*rig));

    assert_non_null(rig);
    rig->checkpoint = untrained_checkpoint(&model);
    rig->device = untrained_device(device, 1);
    rig->g = untrained_generator(rig->device, rig->checkpoint, &options);
    for (int i = 0; i < VALUES; i++) {
        rig->bytes[i] = (uint8_t)(i * 7 + i / 48 * 5);
        rig->picture[i] = (float)rig->bytes[i] / 255;
    }
    for (int i = 0; i < SIDE * SIDE; i++)
        rig->mask[i] = i % SIDE < SIDE / 2;
    return rig;
}

static void rig_free(struct rig *rig)
{
    generator_destroy(rig->g);
    device_close(rig->device);
    checkpoint_destroy(rig->checkpoint);
    free(rig);
}

static struct restoration_options options_of(const struct rig *rig, enum degradation d, double std)
{
    return (struct restoration_options){.degradation = d,
                                        .std = std,
                                        .picture = rig->picture,
                                        .mask = rig->mask,
                                        .time = -1,
                                        .consistency = -1,
                                        .sampler = SAMPLER_PF_2M,
                                        .nfe = NFE};
}

static void draw(struct rig *rig, const struct restoration_options *options, uint64_t seed,
                 uint8_t *pixels)
{
    struct generator_task task = {.seed = seed, .sampler = options->sampler, .nfe = options->nfe};
    struct restoration *r;

    assert_int_equal(restoration_create(&rig->checkpoint->formulation, options, &r, NULL), 0);
    restoration_lead(r, &task);
    untrained_draw(rig->g, &task, 1, pixels);
    restoration_destroy(r);
}

/* The time is that at which the model's corruption is the picture's, the first one. */
static void test_the_time_of_a_std(void **state)
{
    struct rig *rig = rig_make("cpu");
    const struct formulation *f = &rig->checkpoint->formulation;
    double most = schedule_level(&f->schedule, 1), t;
    struct error err;

    for (int i = 1; i < 4; i++) {
        double std = 0.25 * i * most;

        assert_int_equal(restoration_time(f, DEGRADATION_BLUR, std, &t, NULL), 0);
        assert_true(fabs(schedule_level(&f->schedule, t) - std) < 1e-6 * most);
    }
    assert_int_equal(restoration_time(f, DEGRADATION_NOISE, 0.04, &t, NULL), 0);
    assert_true(fabs(schedule_sigma(&f->schedule, t) - 0.04) < 1e-6);
    assert_int_equal(restoration_time(f, DEGRADATION_MASK, 0, &t, NULL), 0);
    assert_true(t == 1);
    assert_true(restoration_std_max(f, DEGRADATION_MASK) < 0);
    assert_true(fabs(restoration_std_max(f, DEGRADATION_BLUR) - most) < 1e-6 * most);
    assert_int_equal(restoration_time(f, DEGRADATION_BLUR, most + 1, &t, &err), -EDOM);
    assert_non_null(strstr(err.text, "up to"));
    assert_int_equal(restoration_time(f, DEGRADATION_NOISE, 5, &t, &err), -EDOM);
    rig_free(rig);
}

static const struct {
    enum degradation degradation;
    double std;
} cases[] = {{DEGRADATION_BLUR, 1}, {DEGRADATION_NOISE, 0.05}, {DEGRADATION_MASK, 0}};

enum { CASES = sizeof(cases) / sizeof(cases[0]) };

static void test_time_0_is_the_picture_and_1_a_sample(void **state)
{
    struct rig *rig = rig_make("cpu");
    uint8_t pixels[VALUES], sample[VALUES];
    struct generator_task task = {.seed = 5, .sampler = SAMPLER_PF_2M, .nfe = NFE};

    untrained_draw(rig->g, &task, 1, sample);
    for (int i = 0; i < CASES; i++) {
        struct restoration_options o = options_of(rig, cases[i].degradation, cases[i].std);

        o.time = 0;
        draw(rig, &o, 5, pixels);
        assert_memory_equal(pixels, rig->bytes, VALUES);
        o.time = 1;
        o.consistency = 0;
        draw(rig, &o, 5, pixels);
        assert_memory_equal(pixels, sample, VALUES);
    }
    rig_free(rig);
}

/* x_t is C_t of the picture and noise whose variance makes up for what is missing. */
static void test_the_start(void **state)
{
    struct rig *rig = rig_make("cpu");
    const struct formulation *f = &rig->checkpoint->formulation;

    for (int i = 0; i < 2; i++) {
        struct restoration_options o = options_of(rig, cases[i].degradation, cases[i].std);
        struct generator_task task = {.seed = 9};
        double sum = 0, squares = 0, sigma, expected;
        struct restoration_choice choice;
        float mean[VALUES], ones[VALUES];
        struct restoration *r;

        o.time = cases[i].degradation == DEGRADATION_NOISE ? 0.2 : -1;
        assert_int_equal(restoration_create(f, &o, &r, NULL), 0);
        restoration_chosen(r, &choice);
        restoration_lead(r, &task);
        memcpy(mean, rig->picture, sizeof(mean));
        for (int k = 0; k < VALUES; k++)
            ones[k] = 1;
        if (cases[i].degradation == DEGRADATION_BLUR) { /* it grows dark at the edges */
            assert_int_equal(corruption_apply_host(f->corruption, cases[i].std, 3, ones, mean,
                                                   NULL),
                             0);
            for (int k = 0; k < VALUES; k++)
                mean[k] *= rig->picture[k];
        }
        for (int k = 0; k < VALUES; k++) {
            double eta = (double)task.start[k] - (double)mean[k];

            sum += eta;
            squares += eta * eta;
        }
        sigma = schedule_sigma(&f->schedule, choice.time);
        expected = sigma * sigma;
        if (cases[i].degradation == DEGRADATION_NOISE)
            expected -= cases[i].std * cases[i].std;
        assert_true(expected > 0);
        assert_true(fabs(sum / VALUES) < 0.2 * sqrt(expected));
        assert_true(fabs(squares / VALUES / expected - 1) < 0.2);
        restoration_destroy(r);
    }
    rig_free(rig);
}

/* Corrupted again, what comes out is what came in: the more exact, the more evaluations led there. */
static void test_what_comes_out_agrees(void **state)
{
    struct rig *rig = rig_make("cpu");
    uint8_t pixels[VALUES];
    struct restoration_options o = options_of(rig, DEGRADATION_MASK, 0);
    const struct corruption *c = rig->checkpoint->formulation.corruption;
    double led = 0, alone = 0;
    float out[VALUES], again[VALUES], ones[VALUES], edges[VALUES], smooth[VALUES];

    draw(rig, &o, 3, pixels);
    for (int i = 0; i < VALUES; i++)
        if (rig->mask[i / 3] != 0)
            assert_int_equal(pixels[i], rig->bytes[i]);
    for (int i = 0; i < VALUES; i++) {
        int row = i / 48, column = i / 3 % SIDE;

        ones[i] = 1;
        smooth[i] = (float)(0.5 + 0.3 * sin(0.2 * row) * cos(0.25 * column));
    }
    assert_int_equal(corruption_apply_host(c, 1, 3, ones, edges, NULL), 0);
    for (int k = 0; k < 2; k++) {
        o = options_of(rig, DEGRADATION_BLUR, 1);
        o.picture = smooth;
        o.consistency = k;
        draw(rig, &o, 3, pixels);
        for (int i = 0; i < VALUES; i++)
            out[i] = (float)pixels[i] / 255;
        assert_int_equal(corruption_apply_host(c, 1, 3, out, again, NULL), 0);
        for (int i = 0; i < VALUES; i++)
            *(k ? &led : &alone) += pow((double)(again[i] - smooth[i] * edges[i]), 2) / VALUES;
    }
    print_message("rms of what came in and comes out, corrupted again: %.4f, unled %.4f\n",
                  sqrt(led), sqrt(alone));
    assert_true(led < 0.6 * alone);
    rig_free(rig);
}

/* What ends a blurred picture brings it to what came; what is not led, or not blurred, stays. */
static void test_the_finish(void **state)
{
    struct rig *rig = rig_make("cpu");
    const struct formulation *f = &rig->checkpoint->formulation;
    double before = 0, after = 0;
    float out[VALUES], again[VALUES];
    uint8_t pixels[VALUES];

    assert_int_equal(corruption_apply_host(f->corruption, 0.8, 3, rig->picture, again, NULL), 0);
    memcpy(rig->picture, again,
           sizeof(again)); /* as if the edges were dark: they are not divided */
    for (int i = 0; i < 4; i++) {
        struct restoration_options o =
            options_of(rig, i < 2 ? DEGRADATION_BLUR : cases[i - 1].degradation,
                       i < 2 ? 0.8 : cases[i - 1].std);
        struct restoration *r;

        o.consistency = i == 1 ? 0 : -1;
        assert_int_equal(restoration_create(f, &o, &r, NULL), 0);
        for (int k = 0; k < VALUES; k++)
            pixels[k] = (uint8_t)(96 + rig->bytes[k] / 4);
        for (int k = 0; k < 2; k++) {
            for (int v = 0; v < VALUES; v++)
                out[v] = (float)pixels[v] / 255;
            assert_int_equal(corruption_apply_host(f->corruption, 0.8, 3, out, again, NULL), 0);
            for (int v = 0; v < VALUES && i == 0; v++) /* away from the edges */
                if (v / 48 > 3 && v / 48 < 12 && v / 3 % SIDE > 3 && v / 3 % SIDE < 12)
                    *(k ? &after : &before) += pow((double)again[v] - (double)rig->picture[v], 2);
            if (k == 0)
                assert_int_equal(restoration_finish(r, pixels), 0);
        }
        for (int k = 0; k < VALUES && i > 0; k++)
            assert_int_equal(pixels[k], 96 + rig->bytes[k] / 4);
        restoration_destroy(r);
    }
    print_message("the sum of squares was %.4g and became %.4g\n", before, after);
    assert_true(after < 0.05 * before);
    rig_free(rig);
}

/* Alone, in company and on the reference device. */
static void test_the_same_wherever(void **state)
{
    struct rig *rig = rig_make("cpu"), *reference = rig_make("reference");
    uint8_t alone[VALUES], again[LANES * VALUES];

    for (int i = 0; i < CASES; i++) {
        struct restoration_options o = options_of(rig, cases[i].degradation, cases[i].std);
        struct generator_task tasks[LANES];
        struct restoration *r[LANES];

        draw(rig, &o, 3, alone);
        for (int k = 0; k < LANES; k++) { /* others are restored, and start elsewhere */
            o = options_of(rig, cases[(i + k) % CASES].degradation, cases[(i + k) % CASES].std);
            assert_int_equal(restoration_create(&rig->checkpoint->formulation, &o, &r[k], NULL), 0);
            tasks[k] = (struct generator_task){.id = (uint64_t)k, .seed = 3 + (uint64_t)k};
            restoration_lead(r[k], &tasks[k]);
        }
        untrained_draw(rig->g, tasks, LANES, again);
        for (int k = 0; k < LANES; k++)
            restoration_destroy(r[k]);
        assert_memory_equal(alone, again, VALUES);
        o = options_of(reference, cases[i].degradation, cases[i].std);
        draw(reference, &o, 3, again);
        for (int k = 0; k < VALUES; k++)
            assert_true(abs(again[k] - alone[k]) <= 1);
    }
    rig_free(rig);
    rig_free(reference);
}

static void test_what_cannot_be(void **state)
{
    struct rig *rig = rig_make("cpu");
    struct restoration_options o = options_of(rig, DEGRADATION_BLUR, 1000);
    struct restoration *r = NULL;

    assert_int_equal(restoration_create(&rig->checkpoint->formulation, &o, &r, NULL), -EDOM);
    o = options_of(rig, DEGRADATION_BLUR, 1);
    o.sampler = SAMPLER_TUNED;
    assert_int_equal(restoration_create(&rig->checkpoint->formulation, &o, &r, NULL), -EINVAL);
    assert_null(r);
    rig_free(rig);
}

/* A picture with edges and little else, as most are, blurred or with noise by known amounts. */
static void test_the_std_of_a_picture(void **state)
{
    enum { BIG = 32, N = BIG * BIG * 3 };
    static const double blurs[] = {1, 2, 3}, noises[] = {0.03, 0.1};
    static float picture[N], row[BIG], middle[N], out[N];
    uint32_t random = 1;
    double found;

    for (int i = 0; i < N; i++) {
        int y = i / 3 / BIG, x = i / 3 % BIG;

        picture[i] = (float)(0.3 + 0.4 * (hypot(x - 14, y - 17) < 9) + 0.1 * (x > 2 * y));
    }
    for (int b = 0; b < 3; b++) {
        corruption_blur_row(BIG, blurs[b], BIG, row);
        for (int pass = 0; pass < 2; pass++)
            for (int i = 0; i < N; i++) {
                int y = i / 3 / BIG, x = i / 3 % BIG, c = i % 3, at = pass ? y : x;
                double sum = 0, weights = 0;

                for (int k = 0; k < BIG; k++) {
                    int from = pass ? k * BIG + x : y * BIG + k;

                    sum += (double)row[abs(at - k)] * (pass ? middle : picture)[3 * from + c];
                    weights += (double)row[abs(at - k)];
                }
                (pass ? out : middle)[i] = (float)(sum / weights);
            }
        for (int i = 0; i < N; i++)
            out[i] = roundf(255 * out[i]) / 255;
        assert_int_equal(restoration_estimate(DEGRADATION_BLUR, BIG, 3, out, &found, NULL), 0);
        assert_true(found > 0.6 * blurs[b] && found < 1.4 * blurs[b]);
    }
    for (int b = 0; b < 2; b++) {
        for (int i = 0; i < N; i++) {
            double sum = -6;

            for (int k = 0; k < 12; k++) {
                random = random * 1664525 + 1013904223;
                sum += (double)(random >> 8) / (1 << 24);
            }
            out[i] = (float)((double)picture[i] + noises[b] * sum);
        }
        assert_int_equal(restoration_estimate(DEGRADATION_NOISE, BIG, 3, out, &found, NULL), 0);
        assert_true(found > 0.8 * noises[b] && found < 1.2 * noises[b]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_time_of_a_std),
        cmocka_unit_test(test_time_0_is_the_picture_and_1_a_sample),
        cmocka_unit_test(test_the_start),
        cmocka_unit_test(test_what_comes_out_agrees),
        cmocka_unit_test(test_the_finish),
        cmocka_unit_test(test_the_same_wherever),
        cmocka_unit_test(test_what_cannot_be),
        cmocka_unit_test(test_the_std_of_a_picture),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
