/* The two losses against their formulas, with a network whose last convolution is zero, so that
 * h = x_t.
 */
#include "model/objective.h"
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/parameters.h"
#include "tests/planned.h"
#include "engine/program.h"
#include "model/checkpoint.h"
#include "model/ncsnpp.h"
#include "tests/unit/model/pictures.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 16, CHANNELS = 3, SIZE = SIDE * SIDE * CHANNELS, BATCH = 3 };

struct expected {
    double loss[BATCH];
    double bias[CHANNELS]; /* gradient of the mean loss by the last bias */
};

/* The formulas on the host; C is symmetric. */
static void expect(const struct formulation *f, enum loss loss, const double *times,
                   const float *x0, const float *eta, struct expected *out)
{
    *out = (struct expected){{0}, {0}};
    for (int i = 0; i < BATCH; i++) {
        double sigma = schedule_sigma(&f->schedule, times[i]);
        double level = schedule_level(&f->schedule, times[i]);
        float error[SIZE], blurred[SIZE], twice[SIZE];

        assert_int_equal(corruption_apply_host(f->corruption, level, CHANNELS, x0 + i * SIZE,
                                               blurred, NULL),
                         0);
        for (int e = 0; e < SIZE; e++)
            error[e] = blurred[e] + (float)sigma * eta[i * SIZE + e] - x0[i * SIZE + e];
        memcpy(blurred, error, sizeof(error));
        memcpy(twice, error, sizeof(error));
        if (loss == LOSS_SOFT) {
            assert_int_equal(corruption_apply_host(f->corruption, level, CHANNELS, error, blurred,
                                                   NULL),
                             0);
            assert_int_equal(corruption_apply_host(f->corruption, level, CHANNELS, blurred, twice,
                                                   NULL),
                             0);
        }
        for (int e = 0; e < SIZE; e++) {
            out->loss[i] += 0.5 * (double)blurred[e] * (double)blurred[e] / (sigma * sigma);
            out->bias[e % CHANNELS] += (double)twice[e] / (sigma * sigma) / BATCH;
        }
    }
}

static void check(enum loss loss)
{
    static const double levels[] = {0.01, 1, 4}, times[BATCH] = {0.1, 0.55, 1};
    const struct objective_options options = {.loss = loss, .eta_given = true};
    struct formulation f = {.architecture = {.image_size = SIDE,
                                             .num_channels = CHANNELS,
                                             .nf = 8,
                                             .n_levels = 2,
                                             .ch_mult = {1, 1},
                                             .num_res_blocks = 1,
                                             .embedding_type = EMBEDDING_POSITIONAL},
                            .time_embed = TIME_POSITIONAL_999T};
    float *weights, *x0 = pictures(BATCH, SIDE, CHANNELS), eta[BATCH * SIZE], losses[BATCH],
                    bias[CHANNELS];
    struct philox_key key = philox_key(1, 2, 3);
    struct expected expected;
    struct device *device;
    struct parameters *parameters = NULL;
    struct objective o;
    struct program *p;
    struct planned *plan;
    struct error err;
    int outputs[2], last;

    f.corruption = pictures_corruption("{\"name\": \"blur\", \"half_size\": 16}", SIDE);
    assert_int_equal(schedule_noise_then_levels(0.01, 0.1, 0.2, 3, levels, &f.schedule, &err), 0);
    philox_normals(&key, 0, BATCH * SIZE, eta);
    expect(&f, loss, times, x0, eta, &expected);
    assert_int_equal(device_open("reference", 2, NULL, &device, &err), 0);
    assert_int_equal(program_create(&p, &err), 0);
    if (objective_append(p, &f, &options, &o, &err) < 0 ||
        parameters_create(device, p, &parameters, &err) < 0)
        fail_msg("%s", err.text);
    weights = planned_take_weights(parameters);
    assert_non_null(weights);
    ncsnpp_init(&f.architecture, parameters, 1, weights);
    last = parameters_n(parameters) - 1;
    memset(weights + parameters_offset(parameters, last - 1), 0,
           shape_count(parameters_shape(parameters, last - 1)) * sizeof(float));
    assert_int_equal(planned_put_weights(parameters, weights), 0);
    outputs[0] = o.loss;
    outputs[1] = o.gradients[last];
    if (planned_create(device, p, parameters,
                       &(struct plan_options){.precision = PRECISION_FP32,
                                              .batch_max = BATCH,
                                              .size = 1,
                                              .n_outputs = 2,
                                              .outputs = outputs},
                       &plan, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(planned_write(plan, o.x0, 0, BATCH, x0, &err), 0);
    assert_int_equal(planned_write(plan, o.eta, 0, BATCH, eta, &err), 0);
    for (int i = 0; i < BATCH; i++)
        objective_write_time(&o, &f, plan->executor, i, times[i], 1.0 / BATCH, &key);
    assert_int_equal(planned_run(plan, BATCH, &err), 0);
    assert_int_equal(planned_read(plan, o.loss, 0, BATCH, losses, &err), 0);
    assert_int_equal(planned_read(plan, outputs[1], 0, 1, bias, &err), 0);
    for (int i = 0; i < BATCH; i++)
        assert_true(fabs((double)losses[i] - expected.loss[i]) <= 1e-4 * expected.loss[i]);
    for (int ch = 0; ch < CHANNELS; ch++)
        assert_true(fabs((double)bias[ch] - expected.bias[ch]) <=
                    1e-3 * fabs(expected.bias[ch]) + 1e-2);
    planned_destroy(plan);
    parameters_destroy(parameters);
    objective_fini(&o);
    program_destroy(p);
    device_close(device);
    schedule_fini(&f.schedule);
    corruption_destroy(f.corruption);
    free(x0);
}

static void test_soft_loss(void **state)
{
    check(LOSS_SOFT);
}

static void test_plain_loss(void **state)
{
    check(LOSS_PLAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_soft_loss),
        cmocka_unit_test(test_plain_loss),
    };

    return cmocka_run_group_tests_name("objective", tests, NULL, NULL);
}
