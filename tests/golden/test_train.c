/* Three training steps of soft score matching against the reference's network, optimiser, warm-up,
 * clipping and moving average.
 */
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/executor.h"
#include "engine/parameters.h"
#include "engine/state.h"
#include "tests/planned.h"
#include "engine/program.h"
#include "model/checkpoint.h"
#include "model/corruption.h"
#include "model/objective.h"
#include "model/update.h"
#include "model/safetensors.h"
#include "tests/golden/golden.h"
#include "tools/train/optimizer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

enum { STEPS = 3, BATCH = 4, SIDE = 16, PIXELS = SIDE * SIDE * 3 };

static float *read_step(const struct safetensors *file, int step, const char *leaf)
{
    char name[64];

    snprintf(name, sizeof(name), "step%d.%s", step, leaf);
    return golden_read(file, name);
}

struct knot {
    double t, level, sigma;
};

static int by_time(const void *a, const void *b)
{
    double x = ((const struct knot *)a)->t, y = ((const struct knot *)b)->t;

    return x < y ? -1 : x > y;
}

/* A schedule that passes exactly through the levels and sigmas of the golden steps. */
static void make_schedule(const struct safetensors *file, struct schedule *schedule)
{
    enum { KNOTS = STEPS * BATCH + 2 };
    struct knot knots[KNOTS];
    double *t = malloc(4 * KNOTS * sizeof(*t));

    assert_non_null(t);
    for (int step = 0; step < STEPS; step++) {
        float *times = read_step(file, step, "t"), *levels = read_step(file, step, "blur_std");
        float *sigmas = read_step(file, step, "sigma");

        for (int i = 0; i < BATCH; i++)
            knots[step * BATCH + i] = (struct knot){times[i], levels[i], sigmas[i]};
        free(times);
        free(levels);
        free(sigmas);
    }
    knots[KNOTS - 2] = (struct knot){0, 0.01, 0.01};
    knots[KNOTS - 1] = (struct knot){1, 18, 0.1};
    qsort(knots, KNOTS, sizeof(*knots), by_time);
    schedule->level = (struct schedule_knots){KNOTS, t, t + KNOTS};
    schedule->sigma = (struct schedule_knots){KNOTS, t + 2 * KNOTS, t + 3 * KNOTS};
    for (int i = 0; i < KNOTS; i++) {
        schedule->level.t[i] = schedule->sigma.t[i] = knots[i].t;
        schedule->level.value[i] = knots[i].level;
        schedule->sigma.value[i] = knots[i].sigma;
    }
}

static void write_step(struct planned *plan, const struct objective *o, const struct formulation *f,
                       const struct safetensors *file, int step)
{
    float *x0 = read_step(file, step, "x0"), *eta = read_step(file, step, "eta");
    float *t = read_step(file, step, "t");

    golden_write(plan, o->x0, BATCH, x0);
    golden_write(plan, o->eta, BATCH, eta);
    for (int i = 0; i < BATCH; i++)
        objective_write_row(o, f, plan->executor, i,
                            &(struct objective_row){.t = t[i],
                                                    .dloss = 1.0 / BATCH,
                                                    .key = philox_key(0, 0, 0)});
    free(x0);
    free(eta);
    free(t);
}

/* Step 0's unclipped gradients, held as whole networks are (test_network.c). */
static void check_gradients(const struct safetensors *file, const struct place *place,
                            struct parameters *parameters, const float *gradient)
{
    double largest = golden_largest(gradient, parameters_count(parameters));
    int compared = 0;

    for (int i = 0; i < parameters_n(parameters); i++) {
        size_t n = shape_count(parameters_shape(parameters, i));
        char name[160];
        float *expected;

        snprintf(name, sizeof(name), "step0.grad.%s", parameters_name(parameters, i));
        if (!safetensors_find(file, name))
            continue;
        expected = golden_read_raw(file, name);
        golden_close_to(name, place, gradient + parameters_offset(parameters, i), expected, n,
                        fmax(5e-4 * golden_largest(expected, n), 1e-4 * largest));
        free(expected);
        compared++;
    }
    assert_int_equal(compared, parameters_n(parameters) - 1); /* all but the frozen W */
}

/* Every tensor "<prefix><name>" against a flat array; returns how many there are. */
static int check_array(const struct safetensors *file, const struct place *place,
                       const char *prefix, struct parameters *parameters, const float *values,
                       double relative)
{
    int compared = 0;

    for (int i = 0; i < parameters_n(parameters); i++) {
        size_t n = shape_count(parameters_shape(parameters, i));
        char name[160];
        float *expected;
        double tolerance = strstr(parameters_name(parameters, i), "NIN_1.b") ? 2e-5 : 2e-6;

        snprintf(name, sizeof(name), "%s%s", prefix, parameters_name(parameters, i));
        if (!safetensors_find(file, name))
            continue;
        expected = golden_read_raw(file, name);
        if (relative > 0)
            tolerance = relative * golden_largest(expected, n);
        golden_close_to(name, place, values + parameters_offset(parameters, i), expected, n,
                        tolerance);
        free(expected);
        compared++;
    }
    return compared;
}

static void train(const struct place *place, const struct safetensors *file,
                  const struct safetensors *weights_file)
{
    static const struct optimizer_options options = {.lr = 2e-4,
                                                     .warmup = 5,
                                                     .beta1 = 0.9,
                                                     .beta2 = 0.999,
                                                     .eps = 1e-8,
                                                     .clip = 1.0,
                                                     .ema = 0.999};
    const struct objective_options objective_options = {.loss = LOSS_SOFT, .eta_given = true};
    struct formulation f = {.architecture = golden_net_a};
    json_t *blur = json_pack("{s:s, s:i}", "name", "blur", "half_size", 32);
    struct parameters *parameters = NULL;
    struct objective o;
    struct program *p, *second;
    struct planned *plan, *update_plan;
    struct update update;
    struct error err;
    float *array, *weights;
    void *kept;
    int *outputs, n_outputs = 0, count, gradient;
    size_t n;

    if (corruption_create(blur, SIDE, SIDE, &f.corruption, &err) < 0)
        fail_msg("%s", err.text);
    json_decref(blur);
    make_schedule(file, &f.schedule);
    assert_int_equal(program_create(&p, &err), 0);
    if (objective_append(p, &f, &objective_options, &o, &err) < 0 ||
        parameters_create(place->opened, p, &parameters, &err) < 0)
        fail_msg("%s", err.text);
    golden_load(parameters, weights_file, "");
    n = parameters_count(parameters);
    count = (int)n;
    gradient = program_state(p, UPDATE_GRADIENT, shape_constant(1, &count));
    for (int i = 0; i < o.n_gradients; i++) {
        if (o.gradients[i] >= 0)
            program_sum_into(p, gradient, (int)parameters_offset(parameters, i), o.gradients[i]);
    }
    outputs = malloc(((size_t)o.n_gradients + 2) * sizeof(int));
    assert_non_null(outputs);
    outputs[n_outputs++] = o.loss;
    outputs[n_outputs++] = o.x_t;
    for (int i = 0; i < o.n_gradients; i++) {
        if (o.gradients[i] >= 0)
            outputs[n_outputs++] = o.gradients[i];
    }
    plan = golden_plan(place, p, parameters, BATCH, 2, n_outputs, outputs);
    assert_int_equal(parameters_keep(parameters, &kept, &err), 0);
    assert_int_equal(state_bind(plan->state, UPDATE_WEIGHTS, shape_constant(1, &count), kept, &err),
                     0);
    assert_int_equal(program_create(&second, &err), 0);
    assert_int_equal(update_append(second, n, 0, &update, &err), 0);
    if (planned_create_beside(place->opened, second, parameters,
                              &(struct plan_options){.precision = place->precision,
                                                     .batch_max = 1,
                                                     .n_outputs = 1,
                                                     .outputs = &update.norm},
                              plan, &update_plan, &err) < 0)
        fail_msg("%s", err.text);
    array = calloc(n, sizeof(*array));
    assert_non_null(array);
    weights = planned_take_weights(parameters);
    assert_non_null(weights);
    assert_int_equal(state_write(plan->state, UPDATE_EMA, 0, weights, &err), 0);
    free(weights);
    for (int step = 0; step < STEPS; step++) {
        float *losses = read_step(file, step, "loss_per_sample");
        float *loss = read_step(file, step, "loss"), *x_t = read_step(file, step, "x_t");
        float *lr = read_step(file, step, "lr"), *norm = read_step(file, step, "grad_norm");
        float *actual, actual_norm, mean = 0;
        struct update_numbers numbers;

        write_step(plan, &o, &f, file, step);
        golden_run(plan, BATCH);
        actual = golden_output(plan, o.x_t, BATCH, PIXELS);
        golden_close_to("x_t", place, actual, x_t, BATCH * PIXELS, 1e-5);
        free(actual);
        actual = golden_output(plan, o.loss, BATCH, 1);
        for (int i = 0; i < BATCH; i++) {
            golden_close_to("loss_per_sample", place, &actual[i], &losses[i], 1,
                            1e-4 * fabs((double)losses[i]));
            mean += actual[i] / BATCH;
        }
        golden_close_to("loss", place, &mean, loss, 1, 1e-4 * fabs((double)*loss));
        for (int i = 0; i < o.n_gradients; i++) {
            if (o.gradients[i] >= 0)
                assert_int_equal(planned_read(plan, o.gradients[i], 0, 1,
                                              array + parameters_offset(parameters, i), &err),
                                 0);
        }
        if (step == 0)
            check_gradients(file, place, parameters, array);
        numbers = optimizer_numbers(&options, (uint64_t)step);
        assert_true(fabs(numbers.lr - *lr) < 1e-9);
        update_write(&update, update_plan->executor, &numbers);
        golden_run(update_plan, 1);
        assert_int_equal(planned_read(update_plan, update.norm, 0, 1, &actual_norm, &err), 0);
        assert_true(fabs((double)actual_norm / *norm - 1) < 1e-4);
        if (parameters_repack(parameters, &err) < 0)
            fail_msg("%s", err.text);
        free(losses);
        free(loss);
        free(x_t);
        free(lr);
        free(norm);
        free(actual);
    }
    assert_int_equal(parameters_read(parameters, array, &err), 0);
    assert_int_equal(check_array(file, place, "after3.param.", parameters, array, 0),
                     parameters_n(parameters));
    assert_int_equal(state_read(plan->state, UPDATE_EMA, 0, array, &err), 0);
    assert_int_equal(check_array(file, place, "after3.ema.", parameters, array, 0),
                     parameters_n(parameters) - 1);
    assert_int_equal(state_read(plan->state, UPDATE_M, 0, array, &err), 0);
    assert_int_equal(check_array(file, place, "after3.adam_m.", parameters, array, 1e-4), 3);
    assert_int_equal(state_read(plan->state, UPDATE_V, 0, array, &err), 0);
    assert_int_equal(check_array(file, place, "after3.adam_v.", parameters, array, 1e-4), 3);
    planned_destroy(update_plan);
    program_destroy(second);
    planned_destroy(plan);
    parameters_destroy(parameters);
    objective_fini(&o);
    program_destroy(p);
    free(outputs);
    free(array);
    free(f.schedule.level.t);
    corruption_destroy(f.corruption);
}

static void test_three_steps(void **unused)
{
    struct place places[3];
    int n_places = golden_places(places);
    struct safetensors *file = golden_open("train_soft"), *weights = golden_open("net_a.weights");

    for (int i = 0; i < n_places; i++) {
        if (places[i].precision == PRECISION_FP32)
            train(&places[i], file, weights);
    }
    safetensors_close(file);
    safetensors_close(weights);
    golden_close(places, n_places);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_three_steps)};

    return cmocka_run_group_tests_name("train", tests, NULL, NULL);
}
