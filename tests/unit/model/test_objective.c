/* The losses against their formulas, with a network whose last convolution gives its bias alone, so that
 * h = x + c_out bias; and their gradients against differences of the losses that the engine computes.
 */
#include "model/objective.h"
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/parameters.h"
#include "tests/planned.h"
#include "engine/program.h"
#include "model/checkpoint.h"
#include "model/fit/color_fit.h"
#include "model/fit/scaling_fit.h"
#include "model/ncsnpp.h"
#include "tests/unit/devices.h"
#include "tests/unit/model/pictures.h"

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

enum { SIDE = 16, CHANNELS = 3, PIXELS = SIDE * SIDE, SIZE = PIXELS * CHANNELS, BATCH = 3 };

static const double times[BATCH] = {0.1, 0.55, 1}, levels[] = {0.01, 1, 4};
static const float bias[CHANNELS] = {0.02f, -0.01f, 0.03f};

/* Not a rotation, so that it must be multiplied from the right side. */
static const float colors[] = {0.6f, 0.5f, 0.7f, 2.0f, 0.1f, -1.5f, 3.0f, -4.0f, 1.0f};

struct objective_case {
    const char *name, *corruption;
    struct objective_options options;
    bool scaled;
    double ahead[BATCH];
};

#define BLUR "{\"name\": \"blur\", \"half_size\": 16}"

static const struct objective_case cases[] = {
    {"soft", BLUR, {.loss = LOSS_SOFT}, false, {0}},
    {"plain", BLUR, {.loss = LOSS_PLAIN}, false, {0}},
    {"weight 1", BLUR, {.weight = LOSS_WEIGHT_ONE}, false, {0}},
    {"plain, weight 1", BLUR, {.loss = LOSS_PLAIN, .weight = LOSS_WEIGHT_ONE}, false, {0}},
    {"mask", "{\"name\": \"mask\", \"order\": \"spiral\"}", {.loss = LOSS_SOFT}, false, {0}},
    {"scaled", BLUR, {.loss = LOSS_SOFT}, true, {0}},
    {"look ahead", BLUR, {.look_ahead = true}, false, {0.05, 0, 0.3}},
    {"look ahead beyond 0", BLUR, {.look_ahead = true}, false, {0.5, 0.9, 1}},
    {"look ahead, pixelate",
     "{\"name\": \"pixelate\"}",
     {.look_ahead = true},
     false,
     {0, 0.2, 0.3}},
    {"residual", BLUR, {.residual = 0.25f}, false, {0}},
    {"perturbation", BLUR, {.perturbation = 0.3f}, false, {0}},
    {"perturbation, plain", BLUR, {.loss = LOSS_PLAIN, .perturbation = 0.3f}, true, {0}},
    {"colors", BLUR, {.colors = true}, false, {0}},
    {"colors, plain", BLUR, {.loss = LOSS_PLAIN, .colors = true}, false, {0}},
    {"all",
     BLUR,
     {.look_ahead = true, .residual = 0.5f, .perturbation = 0.1f, .colors = true},
     true,
     {0, 0.1, 0.2}},
};

struct expected {
    double loss[BATCH];
    double bias[CHANNELS]; /* gradient of the mean loss by the last bias */
    float x[BATCH * SIZE]; /* what the network is given */
};

static void apply(const struct formulation *f, double t, const float *x, float *y)
{
    double level = schedule_level(&f->schedule, t);

    assert_int_equal(corruption_apply_host(f->corruption, level, CHANNELS, x, y, NULL), 0);
}

/* out = W x for every pixel, or W^T x. */
static void multiply(const struct objective_options *o, bool transposed, const float *x, float *out)
{
    for (int e = 0; e < SIZE; e++) {
        int c = e % CHANNELS;
        float sum = 0;

        for (int k = 0; k < CHANNELS; k++)
            sum +=
                (transposed ? colors[k * CHANNELS + c] : colors[c * CHANNELS + k]) * x[e - c + k];
        out[e] = o->colors ? sum : x[e];
    }
}

/* Loss and gradient of image i; C is symmetric. */
static void expect_image(const struct objective_case *c, const struct formulation *f, int i,
                         const float *x0, const float *eta, const float *xi, struct expected *out)
{
    const struct objective_options *o = &c->options;
    double sigma = schedule_sigma(&f->schedule, times[i]),
           seen_at = fmax(times[i] - c->ahead[i], 0);
    double weight = o->weight == LOSS_WEIGHT_ONE ? 1 : 1 / (sigma * sigma);
    float c_in, c_out = 1, x[SIZE], error[SIZE], colored[SIZE], seen[SIZE], back[SIZE], sum[SIZE];

    if (c->scaled)
        scaling_at(&f->scaling, times[i], sigma, false, &c_in, &c_out);
    apply(f, times[i], x0, x);
    for (int e = 0; e < SIZE; e++) {
        x[e] += (float)sigma * eta[e];
        out->x[i * SIZE + e] = x[e] + (float)sigma * o->perturbation * xi[e];
        error[e] = x[e] + c_out * bias[e % CHANNELS] - x0[e];
    }
    multiply(o, false, error, colored);
    memcpy(seen, colored, sizeof(seen));
    memcpy(back, colored, sizeof(back));
    if (o->loss == LOSS_SOFT) {
        apply(f, seen_at, colored, seen);
        apply(f, seen_at, seen, back);
    }
    for (int e = 0; e < SIZE; e++) {
        out->loss[i] += weight / 2 * (double)(seen[e] * seen[e]);
        out->loss[i] += weight / 2 * (double)(o->residual * colored[e] * colored[e]);
        sum[e] = back[e] + o->residual * colored[e];
    }
    multiply(o, true, sum, back);
    for (int e = 0; e < SIZE; e++)
        out->bias[e % CHANNELS] += weight * (double)(c_out * back[e]) / BATCH;
}

/* An objective on a device. */
struct bench {
    struct formulation formulation;
    struct device *device;
    struct program *program;
    struct objective objective;
    struct parameters *parameters;
    struct planned *plan;
    float *weights, *losses;
    int last; /* parameter: the bias */
};

static void make_formulation(const struct objective_case *c, const float *x0, struct formulation *f)
{
    static const double visible[] = {SIDE * SIDE, 150, 40};
    bool mask = strstr(c->corruption, "mask") != NULL;
    struct error err;

    *f = (struct formulation){.architecture = {.image_size = SIDE,
                                               .num_channels = CHANNELS,
                                               .nf = 8,
                                               .n_levels = 2,
                                               .ch_mult = {1, 1},
                                               .num_res_blocks = 1,
                                               .embedding_type = EMBEDDING_POSITIONAL},
                              .output = c->scaled ? OUTPUT_SCALED : OUTPUT_RESIDUAL,
                              .time_embed = TIME_POSITIONAL_999T};
    f->corruption = pictures_corruption(c->corruption, SIDE);
    assert_int_equal(schedule_noise_then_levels(0.01, 0.1, 0.2, 3, mask ? visible : levels,
                                                &f->schedule, &err),
                     0);
    if (c->scaled)
        assert_int_equal(scaling_fit(f->corruption, &f->schedule, false, SIDE, CHANNELS, BATCH, x0,
                                     NULL, &f->scaling, &err),
                         0);
}

/* The weights of the network are those of an untrained one, its last convolution the bias. */
static void load_bias(struct bench *b, const float *values)
{
    struct error err;

    memcpy(b->weights + parameters_offset(b->parameters, b->last), values, sizeof(bias));
    assert_int_equal(parameters_load(b->parameters, b->weights, &err), 0);
}

static void open_bench(const struct objective_case *c, const char *device, const float *x0,
                       struct bench *b)
{
    struct objective_options options = c->options;
    struct error err;
    int outputs[3];

    options.eta_given = true;
    make_formulation(c, x0, &b->formulation);
    assert_int_equal(device_open(device, 2, NULL, &b->device, &err), 0);
    assert_int_equal(program_create(&b->program, &err), 0);
    if (objective_append(b->program, &b->formulation, &options, &b->objective, &err) < 0 ||
        parameters_create(b->device, b->program, &b->parameters, &err) < 0)
        fail_msg("%s: %s", c->name, err.text);
    b->last = parameters_n(b->parameters) - 1;
    b->weights = planned_take_weights(b->parameters);
    assert_non_null(b->weights);
    ncsnpp_init(&b->formulation.architecture, b->parameters, 1, b->weights);
    memset(b->weights + parameters_offset(b->parameters, b->last - 1), 0,
           shape_count(parameters_shape(b->parameters, b->last - 1)) * sizeof(float));
    outputs[0] = b->objective.loss;
    outputs[1] = b->objective.gradients[b->last];
    outputs[2] = b->objective.x_t;
    if (planned_create(b->device, b->program, b->parameters,
                       &(struct plan_options){.precision = PRECISION_FP32,
                                              .batch_max = BATCH,
                                              .size = 1,
                                              .n_outputs = 3,
                                              .outputs = outputs},
                       &b->plan, &err) < 0)
        fail_msg("%s: %s", c->name, err.text);
    if (denoiser_write_tables(&b->formulation, b->parameters, &err) < 0 ||
        (options.colors &&
         parameters_write_table(b->parameters, OBJECTIVE_COLORS, colors, &err) < 0))
        fail_msg("%s: %s", c->name, err.text);
    load_bias(b, bias);
}

static void close_bench(struct bench *b)
{
    planned_destroy(b->plan);
    free(b->weights);
    parameters_destroy(b->parameters);
    objective_fini(&b->objective);
    program_destroy(b->program);
    device_close(b->device);
    formulation_fini(&b->formulation);
}

/* Both inboxes are written, since a run takes the one that was. */
static void run(struct bench *b, const struct objective_case *c, const float *x0, const float *eta,
                const float *xi, float losses[BATCH], float gradient[CHANNELS], float *x)
{
    const struct objective *o = &b->objective;
    struct error err;

    assert_int_equal(planned_write(b->plan, o->x0, 0, BATCH, x0, &err), 0);
    assert_int_equal(planned_write(b->plan, o->eta, 0, BATCH, eta, &err), 0);
    if (o->xi >= 0)
        assert_int_equal(planned_write(b->plan, o->xi, 0, BATCH, xi, &err), 0);
    for (int i = 0; i < BATCH; i++)
        objective_write_row(o, &b->formulation, b->plan->executor, i,
                            &(struct objective_row){.t = times[i],
                                                    .ahead = c->ahead[i],
                                                    .dloss = 1.0 / BATCH,
                                                    .key = philox_key(1, 2, 3)});
    assert_int_equal(planned_run(b->plan, BATCH, &err), 0);
    assert_int_equal(planned_read(b->plan, o->loss, 0, BATCH, losses, &err), 0);
    assert_int_equal(planned_read(b->plan, o->gradients[b->last], 0, 1, gradient, &err), 0);
    assert_int_equal(planned_read(b->plan, o->x_t, 0, BATCH, x, &err), 0);
}

static void near(const char *name, const char *what, double actual, double expected, double limit)
{
    if (!(fabs(actual - expected) <= limit))
        fail_msg("%s: %s is %.9g, not %.9g", name, what, actual, expected);
}

/* The mean loss, which is a polynomial of the second degree in the bias: whatever the step, a difference
 * of both sides is the slope. */
static void check_slope(struct bench *b, const struct objective_case *c, const float *x0,
                        const float *eta, const float *xi, const double *expected)
{
    static float x[BATCH * SIZE];

    for (int ch = 0; ch < CHANNELS; ch++) {
        double mean[2] = {0};
        float moved[CHANNELS], losses[BATCH], gradient[CHANNELS];

        for (int side = 0; side < 2; side++) {
            memcpy(moved, bias, sizeof(moved));
            moved[ch] += side ? 0.125f : -0.125f;
            load_bias(b, moved);
            run(b, c, x0, eta, xi, losses, gradient, x);
            for (int i = 0; i < BATCH; i++)
                mean[side] += (double)losses[i] / BATCH;
        }
        near(c->name, "a slope", (mean[1] - mean[0]) / 0.25, expected[ch],
             1e-3 * fabs(expected[ch]) + 1e-5 * (mean[0] + mean[1]));
    }
}

static void check(const struct objective_case *c, const char *device)
{
    static struct expected expected;
    static float eta[BATCH * SIZE], xi[BATCH * SIZE], x[BATCH * SIZE];
    float *x0 = pictures(BATCH, SIDE, CHANNELS), losses[BATCH], gradient[CHANNELS];
    struct philox_key key = philox_key(1, 2, 3);
    struct bench b = {0};

    philox_normals(&key, 0, BATCH * SIZE, eta);
    philox_normals(&key, 1, BATCH * SIZE, xi);
    open_bench(c, device, x0, &b);
    expected = (struct expected){{0}, {0}, {0}};
    for (int i = 0; i < BATCH; i++)
        expect_image(c, &b.formulation, i, x0 + i * SIZE, eta + i * SIZE, xi + i * SIZE, &expected);
    run(&b, c, x0, eta, xi, losses, gradient, x);
    for (int i = 0; i < BATCH; i++)
        near(c->name, "a loss", (double)losses[i], expected.loss[i], 1e-4 * expected.loss[i]);
    for (int ch = 0; ch < CHANNELS; ch++)
        near(c->name, "a gradient", (double)gradient[ch], expected.bias[ch],
             1e-3 * fabs(expected.bias[ch]) + 1e-2);
    for (int e = 0; e < BATCH * SIZE; e++)
        near(c->name, "what the network is given", (double)x[e], (double)expected.x[e], 1e-5);
    if (!device_base(b.device)->ops->simulated) /* 18 images more */
        check_slope(&b, c, x0, eta, xi, expected.bias);
    close_bench(&b);
    free(x0);
}

static void test_losses(void **state)
{
    const char *device;

    for (int d = 0; (device = test_device_at(d)); d++) {
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
            check(&cases[i], device);
    }
}

/* Of its own moments: with noise alone c_out is sigma, and c_in brings the input to a mean square of 1. */
static void test_scales(void **state)
{
    const struct objective_case noise = {"", "{\"name\": \"noise\"}", {0}, false, {0}};
    const struct objective_case blur = {"", BLUR, {0}, false, {0}};
    float *x0 = pictures(BATCH, SIDE, CHANNELS), c_in, c_out, y[SIZE];
    struct formulation f;
    double kept = 0, taken = 0;

    make_formulation(&noise, x0, &f);
    assert_int_equal(scaling_fit(f.corruption, &f.schedule, false, SIDE, CHANNELS, BATCH, x0, NULL,
                                 &f.scaling, NULL),
                     0);
    for (int i = 0; i <= 10; i++) {
        double sigma = schedule_sigma(&f.schedule, i / 10.0);

        scaling_at(&f.scaling, i / 10.0, sigma, false, &c_in, &c_out);
        near("noise", "c_out", (double)c_out, sigma, 1e-6 * sigma);
    }
    formulation_fini(&f);
    make_formulation(&blur, x0, &f);
    assert_int_equal(scaling_fit(f.corruption, &f.schedule, false, SIDE, CHANNELS, BATCH, x0, NULL,
                                 &f.scaling, NULL),
                     0);
    for (int i = 0; i < BATCH; i++) {
        apply(&f, 1, x0 + i * SIZE, y);
        for (int e = 0; e < SIZE; e++) {
            kept += pow(2 * (double)y[e] - 1, 2) / (BATCH * SIZE);
            taken += pow((double)(x0[i * SIZE + e] - y[e]), 2) / (BATCH * SIZE);
        }
    }
    scaling_at(&f.scaling, 1, 0.1, false, &c_in, &c_out);
    near("blur", "c_in", (double)c_in, 1 / sqrt(kept + 0.04), 1e-5);
    near("blur", "c_out", (double)c_out, sqrt(taken + 0.01), 1e-5);
    formulation_fini(&f);
    free(x0);
}

/* Pixels whose errors are as the colours themselves count a third in each direction. */
static void test_color_weights(void **state)
{
    enum { N = 4000 };
    static float pixels[N * CHANNELS];
    float w[CHANNELS * CHANNELS], g[3 * N];
    double power[CHANNELS] = {0}, cross = 0, all = 0;
    struct philox_key key = philox_key(5, 0, 0);
    struct error err;

    philox_normals(&key, 0, 3 * N, g);
    for (int i = 0; i < N; i++) { /* grey, and two faint colours */
        pixels[3 * i] = 0.5f + 0.3f * g[3 * i] + 0.05f * g[3 * i + 1];
        pixels[3 * i + 1] = 0.4f + 0.3f * g[3 * i] - 0.02f * g[3 * i + 2];
        pixels[3 * i + 2] = 0.3f + 0.3f * g[3 * i] - 0.05f * g[3 * i + 1];
    }
    assert_int_equal(color_weights_fit(1, N, CHANNELS, pixels, w, &err), 0);
    for (int i = 0; i < N; i++) {
        double e[CHANNELS], u[CHANNELS] = {0};

        for (int c = 0; c < CHANNELS; c++) {
            e[c] = (double)pixels[3 * i + c] - (c == 0 ? 0.5 : c == 1 ? 0.4 : 0.3);
            all += e[c] * e[c] / N;
        }
        for (int c = 0; c < CHANNELS * CHANNELS; c++)
            u[c / CHANNELS] += (double)w[c] * e[c % CHANNELS];
        for (int c = 0; c < CHANNELS; c++)
            power[c] += u[c] * u[c] / N;
        cross += u[0] * u[1] / N;
    }
    for (int c = 0; c < CHANNELS; c++)
        near("colors", "a direction's part", power[c], all / 3, 1e-3 * all);
    near("colors", "a correlation", cross, 0, 1e-3 * all);
    for (int i = 0; i < N; i++)
        pixels[3 * i + 1] = pixels[3 * i + 2] = pixels[3 * i];
    assert_int_equal(color_weights_fit(1, N, CHANNELS, pixels, w, &err), -EINVAL);
    assert_non_null(strstr(err.text, "no or hardly any colour"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_losses),
        cmocka_unit_test(test_scales),
        cmocka_unit_test(test_color_weights),
    };

    return cmocka_run_group_tests_name("objective", tests, NULL, NULL);
}
