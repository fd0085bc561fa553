/* Whole networks against the reference implementation: output, every module's output,
 * every gradient.
 */
#include "engine/base/error.h"
#include "engine/gradient.h"
#include "engine/parameters.h"
#include "tests/planned.h"
#include "engine/program.h"
#include "model/architecture.h"
#include "model/ncsnpp.h"
#include "model/safetensors.h"
#include "tests/golden/golden.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct architecture net_c = {
    .image_size = 24,
    .num_channels = 3,
    .nf = 16,
    .n_levels = 2,
    .ch_mult = {1, 2},
    .num_res_blocks = 1,
    .n_attn = 1,
    .attn_resolutions = {12},
    .embedding_type = EMBEDDING_POSITIONAL,
    .centered = true,
};

static const struct architecture net_d = {
    .network = NETWORK_DDPM,
    .image_size = 12,
    .num_channels = 3,
    .nf = 16,
    .n_levels = 2,
    .ch_mult = {1, 2},
    .num_res_blocks = 1,
    .n_attn = 1,
    .attn_resolutions = {6},
    .embedding_type = EMBEDDING_POSITIONAL,
};

/* A network, its inputs, and the gradients of sum(phi cotangent). */
struct rig {
    struct program *p;
    struct parameters *parameters;
    int x, time_cond, cotangent, phi, last_module;
    int modules[NCSNPP_MODULES_MAX];
    int n_wrt, *wrt, *gradients; /* x, then every parameter */
};

static void rig_init(struct rig *rig, const struct architecture *a, const struct place *place,
                     bool gradients)
{
    struct shape images = shape_images(a->image_size, a->image_size, a->num_channels);
    struct error err;
    int n_values;

    memset(rig, 0, sizeof(*rig));
    assert_int_equal(program_create(&rig->p, &err), 0);
    rig->x = program_input(rig->p, "x", images, VALUE_EXACT);
    rig->time_cond = program_input(rig->p, "time_cond", shape_vectors(1), VALUE_EXACT);
    rig->cotangent = program_input(rig->p, "cotangent", images, VALUE_EXACT);
    if (ncsnpp_append(rig->p, a, rig->x, rig->time_cond, -1, -1, -1, rig->modules, &rig->phi,
                      &err) < 0)
        fail_msg("%s", err.text);
    while (rig->modules[rig->last_module + 1] >= 0)
        rig->last_module++;
    if (parameters_create(place->opened, rig->p, &rig->parameters, &err) < 0)
        fail_msg("%s", err.text);
    if (!gradients)
        return;
    n_values = program_n_values(rig->p);
    rig->wrt = malloc((size_t)n_values * sizeof(int));
    rig->gradients = malloc((size_t)n_values * sizeof(int));
    assert_non_null(rig->wrt);
    assert_non_null(rig->gradients);
    rig->wrt[rig->n_wrt++] = rig->x;
    for (int i = 0; i < n_values; i++) {
        if (program_value(rig->p, i)->role == VALUE_PARAMETER)
            rig->wrt[rig->n_wrt++] = i;
    }
    if (gradient_append(rig->p, rig->phi, rig->cotangent, rig->n_wrt, rig->wrt, rig->gradients,
                        &err) < 0)
        fail_msg("%s", err.text);
}

static void rig_fini(struct rig *rig)
{
    free(rig->wrt);
    free(rig->gradients);
    parameters_destroy(rig->parameters);
    program_destroy(rig->p);
}

/* Gradients: within 5e-4 of the tensor's largest, with a floor of 1e-4 of the network's largest;
 * that floor is also what holds the keys' biases, whose gradient is zero. */
static void check_gradients(const struct rig *rig, struct planned *plan, const struct place *place,
                            const struct safetensors *io, int batch)
{
    double largest = 0, error = 0, norm = 0;

    for (int pass = 0; pass < 2; pass++) {
        for (int i = 1; i < rig->n_wrt; i++) {
            const struct value *v = program_value(rig->p, rig->wrt[i]);
            size_t n = shape_count(&v->shape);
            float *expected, *actual;
            char name[160];

            if (rig->gradients[i] < 0) { /* the frozen frequencies */
                assert_string_equal(v->name, "all_modules.0.W");
                continue;
            }
            snprintf(name, sizeof(name), "grad.%s", v->name);
            expected = golden_read_raw(io, name);
            if (pass == 0) {
                largest = fmax(largest, golden_largest(expected, n));
                free(expected);
                continue;
            }
            actual = golden_output(plan, rig->gradients[i], 1, n);
            if (!golden_is_half(place))
                golden_close_to(name, place, actual, expected, n,
                                fmax(5e-4 * golden_largest(expected, n), 1e-4 * largest));
            for (size_t j = 0; j < n; j++) {
                error += ((double)actual[j] - expected[j]) * ((double)actual[j] - expected[j]);
                norm += (double)expected[j] * expected[j];
            }
            free(expected);
            free(actual);
        }
    }
    print_message("# %s: gradients off by %.2g relative\n", golden_place_name(place),
                  sqrt(error / norm));
    assert_true(sqrt(error / norm) <= (golden_is_half(place) ? golden_allowed(place, 4e-2) : 1e-4));
    {
        size_t n = golden_count(io, "x");
        float *expected = golden_read(io, "grad.x");
        float *actual = golden_output(plan, rig->gradients[0], batch, n / (size_t)batch);

        if (golden_is_half(place))
            assert_true(golden_relative_l2(actual, expected, n) <= golden_allowed(place, 4e-2));
        else
            golden_close_to("grad.x", place, actual, expected, n,
                            5e-4 * golden_largest(expected, n));
        free(expected);
        free(actual);
    }
}

static void check_phi(const struct place *place, const float *actual, const float *expected,
                      size_t n, double tolerance)
{
    double distance = golden_relative_l2(actual, expected, n);

    print_message("# %s: phi off by %.2g relative\n", golden_place_name(place), distance);
    if (golden_is_half(place))
        assert_true(distance <= golden_allowed(place, 2e-2));
    else
        golden_close_to("phi", place, actual, expected, n, tolerance);
}

/* The sum with the cotangent. */
static void check_loss(const struct safetensors *io, const float *phi, const float *cotangent,
                       size_t n)
{
    float *loss = golden_read_raw(io, "loss");
    double sum = 0, norm = 0;

    for (size_t i = 0; i < n; i++) {
        sum += (double)phi[i] * cotangent[i];
        norm += fabs((double)phi[i] * cotangent[i]);
    }
    assert_true(fabs(sum - *loss) <= 1e-5 * norm);
    free(loss);
}

/* What else the file derives from phi: the same in float64 (Fourier only), and the reference's score
 * with scale_by_sigma. */
static void check_score(const struct place *place, const struct safetensors *io,
                        const struct safetensors *weights, const struct architecture *a,
                        const float *phi, const float *time_cond, size_t n, int batch)
{
    float *score = golden_read(io, "score"), *sigmas = golden_read_raw(weights, "sigmas");

    for (size_t i = 0; i < n; i++) {
        float t = time_cond[i / (n / (size_t)batch)];
        float sigma = a->embedding_type == EMBEDDING_FOURIER ? t : sigmas[(int)t];
        float scaled = phi[i] / sigma;

        golden_close_to("score", place, &scaled, &score[i], 1, 1e-4 / (double)sigma);
    }
    if (a->embedding_type == EMBEDDING_FOURIER) {
        float *exact = golden_read(io, "phi_f64");

        golden_close_to("phi_f64", place, phi, exact, n, 1e-4);
        free(exact);
    }
    free(score);
    free(sigmas);
}

/* Weights of a file, or by the formula. */
static void load(struct parameters *parameters, const struct safetensors *weights)
{
    float *values;

    if (weights) {
        golden_load(parameters, weights, "");
        return;
    }
    values = planned_take_weights(parameters);
    assert_non_null(values);
    golden_fill(parameters, values);
    assert_int_equal(planned_put_weights(parameters, values), 0);
}

/* stored: there is a file of weights, and the score in that of the outputs. */
static void check_network(const char *name, const struct architecture *a, int size, bool stored)
{
    struct place places[3];
    int n_places = golden_places(places), batch = 3;
    char file_name[64];
    struct safetensors *io, *weights = NULL;

    snprintf(file_name, sizeof(file_name), "%s.io", name);
    io = golden_open(file_name);
    snprintf(file_name, sizeof(file_name), "%s.weights", name);
    if (stored)
        weights = golden_open(file_name);
    for (int i = 0; i < n_places; i++) {
        size_t n = golden_count(io, "x");
        float *x = golden_read(io, "x"), *time_cond = golden_read_raw(io, "time_cond");
        float *cotangent = golden_read(io, "cotangent"), *phi = golden_read(io, "phi"), *actual;
        struct rig rig;
        struct planned *plan;
        int *outputs, n_outputs = 0;

        rig_init(&rig, a, &places[i], true);
        load(rig.parameters, weights);
        outputs = malloc((size_t)(rig.n_wrt + 1) * sizeof(int));
        assert_non_null(outputs);
        outputs[n_outputs++] = rig.phi;
        for (int j = 0; j < rig.n_wrt; j++) {
            if (rig.gradients[j] >= 0)
                outputs[n_outputs++] = rig.gradients[j];
        }
        plan = golden_plan(&places[i], rig.p, rig.parameters, batch, size, n_outputs, outputs);
        golden_write(plan, rig.x, batch, x);
        golden_write(plan, rig.time_cond, batch, time_cond);
        golden_write(plan, rig.cotangent, batch, cotangent);
        golden_run(plan, batch);
        actual = golden_output(plan, rig.phi, batch, n / 3);
        check_phi(&places[i], actual, phi, n, 1e-4);
        if (!golden_is_half(&places[i]))
            check_loss(io, actual, cotangent, n);
        if (!golden_is_half(&places[i]) && stored)
            check_score(&places[i], io, weights, a, actual, time_cond, n, batch);
        check_gradients(&rig, plan, &places[i], io, batch);
        planned_destroy(plan);
        rig_fini(&rig);
        free(outputs);
        free(actual);
        free(x);
        free(time_cond);
        free(cotangent);
        free(phi);
    }
    safetensors_close(io);
    safetensors_close(weights);
    golden_close(places, n_places);
}

static void test_net_a(void **state)
{
    check_network("net_a", &golden_net_a, 3, true);
}

static void test_net_a_one_by_one(void **state)
{
    check_network("net_a", &golden_net_a, 1, true);
}

static void test_net_c(void **state)
{
    check_network("net_c", &net_c, 3, true);
}

static void test_net_d(void **state)
{
    check_network("net_d", &net_d, 3, false);
}

static void test_net_e(void **state)
{
    struct architecture net_e = net_d;

    net_e.network = NETWORK_DDPMPP;
    check_network("net_e", &net_e, 3, false);
}

/* Every module of net_a. Ours of the last norm includes the SiLU behind it. */
static void test_net_a_modules(void **state)
{
    struct place places[3];
    int n_places = golden_places(places), batch = 3, compared = 0;
    struct safetensors *io = golden_open("net_a.io"), *weights = golden_open("net_a.weights");
    struct safetensors *acts = golden_open("net_a.acts");

    for (int i = 0; i < n_places; i++) {
        float *x = golden_read(io, "x"), *time_cond = golden_read_raw(io, "time_cond");
        struct rig rig;
        struct planned *plan;

        rig_init(&rig, &golden_net_a, &places[i], false);
        golden_load(rig.parameters, weights, "");
        plan = golden_plan(&places[i], rig.p, rig.parameters, batch, 3, rig.last_module + 1,
                           rig.modules);
        golden_write(plan, rig.x, batch, x);
        golden_write(plan, rig.time_cond, batch, time_cond);
        golden_run(plan, batch);
        for (int j = 0; j <= rig.last_module; j++) {
            char name[32];
            float *expected, *actual;
            size_t n;

            snprintf(name, sizeof(name), "act.%02d", j);
            expected = golden_read(acts, name);
            n = golden_count(acts, name);
            actual = golden_output(plan, rig.modules[j], batch, n / 3);
            for (size_t k = 0; j == rig.last_module - 1 && k < n; k++)
                expected[k] /= 1 + expf(-expected[k]);
            if (golden_is_half(&places[i]))
                assert_true(golden_relative_l2(actual, expected, n) <=
                            golden_allowed(&places[i], 2e-2));
            else
                golden_close_to(name, &places[i], actual, expected, n, 1e-4);
            compared++;
            free(expected);
            free(actual);
        }
        planned_destroy(plan);
        rig_fini(&rig);
        free(x);
        free(time_cond);
    }
    assert_int_equal(compared, 33 * n_places);
    safetensors_close(io);
    safetensors_close(weights);
    safetensors_close(acts);
    golden_close(places, n_places);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_net_a),         cmocka_unit_test(test_net_a_one_by_one),
        cmocka_unit_test(test_net_a_modules), cmocka_unit_test(test_net_c),
        cmocka_unit_test(test_net_d),         cmocka_unit_test(test_net_e),
    };

    return cmocka_run_group_tests_name("network", tests, NULL, NULL);
}
