/* Every sampler over six steps with a real network, step by step: noise and start are given. The
 * golden network is 0.2 net_a, which is net_a with its last convolution scaled.
 *
 * With the argument "some" each sampler runs on one of the devices and precisions, and each of these has
 * some: a sampler is only other coefficients for the same operations.
 */
#include "engine/base/error.h"
#include "engine/parameters.h"
#include "tests/planned.h"
#include "engine/program.h"
#include "model/checkpoint.h"
#include "model/corruption.h"
#include "model/safetensors.h"
#include "model/sampler.h"
#include "model/step.h"
#include "tests/golden/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

enum { STEPS = 6, BATCH = 2, SIDE = 16, PIXELS = SIDE * SIDE * 3 };

struct sampler_case {
    const char *golden;
    enum sampler sampler;
    int nfe;
};

static const struct sampler_case cases[] = {
    {"naive", SAMPLER_NAIVE, STEPS},
    {"momentum", SAMPLER_MOMENTUM, STEPS},
    {"pf", SAMPLER_PF_LITERAL, STEPS},
    {"ancestral", SAMPLER_ANCESTRAL, STEPS},
    {"pf_sigma", SAMPLER_PF_SIGMA, STEPS},
    {"pf_2m", SAMPLER_PF_2M, STEPS},
    {"pf_heun", SAMPLER_PF_HEUN, 2 * STEPS - 1},
};

/* The golden grid as a schedule: its nodes are the knots. At t = 0 the sampler itself puts sigma
 * to 0 and the blur to none. */
static void make_schedule(const struct safetensors *file, struct schedule *s, double *storage)
{
    enum { KNOTS = STEPS + 1 };
    double t[KNOTS], sigma[KNOTS], level[KNOTS];

    assert_int_equal(safetensors_read_doubles(safetensors_find(file, "t_grid"), t, NULL), 0);
    assert_int_equal(safetensors_read_doubles(safetensors_find(file, "sigma_grid"), sigma, NULL),
                     0);
    assert_int_equal(safetensors_read_doubles(safetensors_find(file, "std_grid"), level, NULL), 0);
    s->level = (struct schedule_knots){KNOTS, storage, storage + KNOTS};
    s->sigma = (struct schedule_knots){KNOTS, storage + 2 * KNOTS, storage + 3 * KNOTS};
    for (int i = 0; i < KNOTS; i++) {
        s->level.t[i] = s->sigma.t[i] = t[STEPS - i];
        s->level.value[i] = level[STEPS - i];
        s->sigma.value[i] = i == 0 ? 0.01 : sigma[STEPS - i];
    }
}

struct rig {
    struct formulation f;
    double knots[4 * (STEPS + 1)];
    struct program *p;
    struct parameters *parameters;
    struct planned *plan;
    struct step step;
    int x, m, eta;
};

static void rig_init(struct rig *rig, const struct place *place, const struct safetensors *file)
{
    struct shape images = shape_images(SIDE, SIDE, 3);
    struct safetensors *weights = golden_open("net_a.weights");
    json_t *blur = json_pack("{s:s, s:i}", "name", "blur", "half_size", 32);
    float *values, *scale = golden_read_raw(file, "phi_scale");
    struct error err;
    int outputs[3];

    memset(rig, 0, sizeof(*rig));
    rig->f.architecture = golden_net_a;
    if (corruption_create(blur, SIDE, SIDE, &rig->f.corruption, &err) < 0)
        fail_msg("%s", err.text);
    json_decref(blur);
    make_schedule(file, &rig->f.schedule, rig->knots);
    assert_int_equal(program_create(&rig->p, &err), 0);
    rig->x = program_input(rig->p, "x", images, VALUE_EXACT);
    rig->m = program_input(rig->p, "m", images, VALUE_EXACT);
    rig->eta = program_input(rig->p, "eta", images, VALUE_EXACT);
    if (step_append(rig->p, &rig->f, &(struct step_inputs){rig->x, rig->m, rig->eta, -1, -1, -1},
                    &rig->step, &err) < 0 ||
        parameters_create(place->opened, rig->p, &rig->parameters, &err) < 0)
        fail_msg("%s", err.text);
    golden_load(rig->parameters, weights, "");
    values = planned_take_weights(rig->parameters);
    assert_non_null(values);
    for (int i = parameters_n(rig->parameters) - 2; i < parameters_n(rig->parameters); i++) {
        float *last = values + parameters_offset(rig->parameters, i);

        for (size_t j = 0; j < shape_count(parameters_shape(rig->parameters, i)); j++)
            last[j] *= *scale;
    }
    assert_int_equal(planned_put_weights(rig->parameters, values), 0);
    outputs[0] = rig->step.next_x;
    outputs[1] = rig->step.next_m;
    outputs[2] = rig->step.denoiser.h;
    rig->plan = golden_plan(place, rig->p, rig->parameters, BATCH, 1, 3, outputs);
    free(scale);
    safetensors_close(weights);
}

static void rig_fini(struct rig *rig)
{
    planned_destroy(rig->plan);
    parameters_destroy(rig->parameters);
    program_destroy(rig->p);
    corruption_destroy(rig->f.corruption);
}

/* Compares an image batch with a golden tensor; some samplers store no x0hat. */
static void compare(const struct place *place, const struct safetensors *file, const char *sampler,
                    const char *leaf, int i, const float *actual)
{
    char name[64];
    float *expected;

    snprintf(name, sizeof(name), "%s.%s_%d", sampler, leaf, i);
    if (!safetensors_find(file, name)) {
        assert_string_equal(leaf, "x0hat");
        return;
    }
    expected = golden_read(file, name);
    if (golden_is_half(place))
        assert_true(golden_relative_l2(actual, expected, BATCH * PIXELS) <=
                    golden_allowed(place, 2e-2));
    else
        golden_close_to(name, place, actual, expected, BATCH * PIXELS, 2e-4);
    free(expected);
}

static void run_sampler(struct rig *rig, const struct place *place, const struct safetensors *file,
                        const float *noise, const struct sampler_case *c)
{
    struct sampler_row rows[2 * STEPS];
    float *x = golden_read(file, "x1"), *m = calloc(BATCH * PIXELS, sizeof(*m));
    struct error err;
    int rows_per_step = c->sampler == SAMPLER_PF_HEUN ? 2 : 1;

    assert_non_null(m);
    if (sampler_table(c->sampler, &rig->f, c->nfe, rows, &err) < 0)
        fail_msg("%s", err.text);
    for (int i = 0; i < c->nfe; i++) {
        int number = i / rows_per_step; /* the step that this row belongs to */
        float *h;

        golden_write(rig->plan, rig->x, BATCH, x);
        golden_write(rig->plan, rig->m, BATCH, m);
        golden_write(rig->plan, rig->eta, BATCH, noise + number * BATCH * PIXELS);
        for (int j = 0; j < BATCH; j++)
            step_write(&rig->step, &rig->f, rig->plan->executor, j, &rows[i], NULL);
        golden_run(rig->plan, BATCH);
        h = golden_output(rig->plan, rig->step.denoiser.h, BATCH, PIXELS);
        if (rows_per_step == 1)
            compare(place, file, c->golden, "x0hat", number, h);
        free(x);
        free(m);
        free(h);
        x = golden_output(rig->plan, rig->step.next_x, BATCH, PIXELS);
        m = golden_output(rig->plan, rig->step.next_m, BATCH, PIXELS);
        if (i + 1 == c->nfe || (i + 1) % rows_per_step == 0)
            compare(place, file, c->golden, "x_after", number + 1, x);
    }
    free(x);
    free(m);
}

/* noise [6,2,3,16,16] as [6,2,16,16,3]. */
static float *read_noise(const struct safetensors *file)
{
    float *raw = golden_read_raw(file, "noise");
    float *noise = malloc(STEPS * BATCH * PIXELS * sizeof(*noise));

    assert_non_null(noise);
    for (int n = 0; n < STEPS * BATCH; n++)
        for (int c = 0; c < 3; c++)
            for (int i = 0; i < SIDE * SIDE; i++)
                noise[n * PIXELS + i * 3 + c] = raw[n * PIXELS + c * SIDE * SIDE + i];
    free(raw);
    return noise;
}

static void test_samplers(void **state)
{
    struct place places[3];
    int n_places = golden_places(places);
    struct safetensors *file = golden_open("samplers");
    const bool *some = *state;
    float *noise = read_noise(file);

    for (int i = 0; i < n_places; i++) {
        struct rig rig;

        rig_init(&rig, &places[i], file);
        for (size_t j = 0; j < sizeof(cases) / sizeof(cases[0]); j++) {
            if (!*some || (int)j % n_places == i)
                run_sampler(&rig, &places[i], file, noise, &cases[j]);
        }
        rig_fini(&rig);
    }
    free(noise);
    safetensors_close(file);
    golden_close(places, n_places);
}

int main(int argc, char **argv)
{
    bool some = argc > 1 && strcmp(argv[1], "some") == 0;
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(test_samplers, &some)};

    return cmocka_run_group_tests_name("samplers", tests, NULL, NULL);
}
