/* What diffusion models of plain noise are called elsewhere, against their own formulas for pictures of
 * [-1,1]: DDIM is pf-sigma, DDPM's steps are ancestral, and its loss is ours of `output: noise`; the loss of
 * the other outputs is how far they are from what they stand for.
 */
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/device.h"
#include "engine/parameters.h"
#include "engine/program.h"
#include "model/formulation.h"
#include "model/ncsnpp.h"
#include "model/objective.h"
#include "model/sampler.h"
#include "tests/planned.h"
#include "tests/unit/model/pictures.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { STEPS = 10, SIDE = 8, CHANNELS = 3, SIZE = SIDE * SIDE * CHANNELS, BATCH = 3 };

/* Products of 1 - beta with beta as Ho et al. have it, at STEPS + 1 of the thousand times. */
static double alpha_bar(int i)
{
    double product = 1;

    for (int step = 0; step <= 999 * i / STEPS; step++)
        product *= 1 - (1e-4 + (0.02 - 1e-4) * step / 999);
    return product;
}

/* Knots at just these, so that nothing is interpolated. */
static void make_formulation(struct formulation *f)
{
    struct schedule_knots *knots[] = {&f->schedule.level, &f->schedule.sigma};

    *f = (struct formulation){.architecture = {.network = NETWORK_DDPM,
                                               .image_size = SIDE,
                                               .num_channels = CHANNELS,
                                               .nf = 8,
                                               .n_levels = 2,
                                               .ch_mult = {1, 1},
                                               .num_res_blocks = 1,
                                               .embedding_type = EMBEDDING_POSITIONAL},
                              .sampling = {.refining_grid = true},
                              .output = OUTPUT_NOISE,
                              .time_embed = TIME_POSITIONAL_999T};
    f->corruption = pictures_corruption("{\"name\": \"vp\"}", SIDE);
    for (int k = 0; k < 2; k++) {
        knots[k]->n = STEPS + 1;
        knots[k]->t = calloc(STEPS + 1, sizeof(double));
        knots[k]->value = calloc(STEPS + 1, sizeof(double));
        assert_true(knots[k]->t && knots[k]->value);
        for (int i = 0; i <= STEPS; i++) {
            knots[k]->t[i] = (double)i / STEPS;
            knots[k]->value[i] = k == 0 ? sqrt(alpha_bar(i)) : 0.5 * sqrt(1 - alpha_bar(i));
        }
    }
}

/* A step of x in [0,1] by a row, for a pixel: C is a number. */
static double by_row(const struct formulation *f, const struct sampler_row *r, double x, double h,
                     double eta)
{
    const double times[] = {r->from, r->middle, r->to};
    double next = (double)r->x_scale * x + (double)r->eta_scale * eta;

    assert_true(r->m_scale == 0);
    for (int k = 0; k < SAMPLER_CORRUPTIONS; k++) {
        double a = times[k] > 0 ? schedule_level(&f->schedule, times[k]) : 1;

        assert_true(r->trend_scale[k] == 0);
        next += (double)r->h_scale[k] * a * h;
    }
    return next;
}

/* Song et al. 2021 (arXiv:2010.02502), Eq. 12 with sigma_t = 0. */
static double ddim(double y, double y0, double now, double next, double eta)
{
    double noise = (y - sqrt(now) * y0) / sqrt(1 - now);

    (void)eta;
    return sqrt(next) * y0 + sqrt(1 - next) * noise;
}

/* Ho et al. 2020 (arXiv:2006.11239), Eq. 6 and 7. */
static double ddpm(double y, double y0, double now, double next, double eta)
{
    double alpha = now / next, beta = 1 - alpha;
    double mean = (sqrt(next) * beta * y0 + sqrt(alpha) * (1 - next) * y) / (1 - now);

    return mean + sqrt((1 - next) / (1 - now) * beta) * eta;
}

typedef double step(double y, double y0, double now, double next, double eta);

/* Both ways from the same noise, with predictions that change from step to step. */
static void same_steps(enum sampler s, step *theirs)
{
    struct sampler_row rows[STEPS];
    struct formulation f;
    double x, y = 1.3;

    make_formulation(&f);
    assert_int_equal(sampler_table(s, &f, STEPS, rows, NULL), 0);
    x = (y + sqrt(alpha_bar(STEPS))) / 2;
    for (int i = 0; i < STEPS; i++) {
        double now = alpha_bar(STEPS - i), next = i < STEPS - 1 ? alpha_bar(STEPS - i - 1) : 1;
        double h = 0.4 + 0.1 * sin(i), eta = cos(3 * i);

        y = theirs(y, 2 * h - 1, now, next, eta);
        x = by_row(&f, &rows[i], x, h, eta);
        if (!(fabs(2 * x - sqrt(next) - y) <= 2e-6))
            fail_msg("%s, step %d: %.9g, not %.9g", sampler_name(s), i, 2 * x - sqrt(next), y);
    }
    formulation_fini(&f);
}

static void pf_sigma_is_ddim(void **state)
{
    same_steps(SAMPLER_PF_SIGMA, ddim);
}

static void ancestral_is_ddpm(void **state)
{
    same_steps(SAMPLER_ANCESTRAL, ddpm);
}

/* What a file of format 1 draws does not change. */
static void ancestral_of_format_1_is_not(void **state)
{
    struct sampler_row rows[STEPS];
    struct formulation f;

    make_formulation(&f);
    f.sampling.refining_grid = false;
    assert_int_equal(sampler_table(SAMPLER_ANCESTRAL, &f, STEPS, rows, NULL), 0);
    for (int i = 0; i < STEPS; i++) {
        double s = schedule_sigma(&f.schedule, rows[i].from);
        double next = i < STEPS - 1 ? schedule_sigma(&f.schedule, rows[i].to) : 0;

        assert_true(rows[i].x_scale == (float)(next / s * (next / s)));
    }
    formulation_fini(&f);
}

/* An objective whose network gives its last bias alone. */
static void run_objective(const struct formulation *f, const float *x0, const float *eta,
                          const float *bias, float losses[BATCH])
{
    const struct objective_options options = {.loss = LOSS_SOFT, .eta_given = true};
    struct device *device;
    struct program *p;
    struct objective o;
    struct parameters *parameters = NULL;
    struct planned *plan;
    struct error err;
    float *weights;
    int last;

    assert_int_equal(device_open("reference", 1, NULL, &device, &err), 0);
    assert_int_equal(program_create(&p, &err), 0);
    if (objective_append(p, f, &options, &o, &err) < 0 ||
        parameters_create(device, p, &parameters, &err) < 0)
        fail_msg("%s", err.text);
    last = parameters_n(parameters) - 1;
    weights = planned_take_weights(parameters);
    assert_non_null(weights);
    ncsnpp_init(&f->architecture, parameters, 1, weights);
    memset(weights + parameters_offset(parameters, last - 1), 0,
           shape_count(parameters_shape(parameters, last - 1)) * sizeof(float));
    memcpy(weights + parameters_offset(parameters, last), bias, CHANNELS * sizeof(*bias));
    assert_int_equal(planned_create(device, p, parameters,
                                    &(struct plan_options){.precision = PRECISION_FP32,
                                                           .batch_max = BATCH,
                                                           .size = 1,
                                                           .n_outputs = 1,
                                                           .outputs = &o.loss},
                                    &plan, &err),
                     0);
    assert_int_equal(planned_put_weights(parameters, weights), 0);
    assert_int_equal(planned_write(plan, o.x0, 0, BATCH, x0, &err), 0);
    assert_int_equal(planned_write(plan, o.eta, 0, BATCH, eta, &err), 0);
    for (int i = 0; i < BATCH; i++)
        objective_write_row(&o, f, plan->executor, i,
                            &(struct objective_row){.t = 0.5 * i,
                                                    .dloss = 1,
                                                    .key = philox_key(1, 2, 3)});
    assert_int_equal(planned_run(plan, BATCH, &err), 0);
    assert_int_equal(planned_read(plan, o.loss, 0, BATCH, losses, &err), 0);
    planned_destroy(plan);
    parameters_destroy(parameters);
    objective_fini(&o);
    program_destroy(p);
    device_close(device);
}

/* What a network should find, for a pixel x0 of [0,1] and its noise, where it is of pictures of [-1,1]
 * or, centered, of [0,1] as it stands. */
static double wanted(const struct formulation *f, double a, double sigma, double x0, double eta)
{
    bool centered = f->architecture.centered;
    double z = centered ? x0 : 2 * x0 - 1, s = centered ? sigma : 2 * sigma;

    if (f->output == OUTPUT_NOISE)
        return eta;
    return f->output == OUTPUT_VELOCITY ? a * eta - s * z : z;
}

/* How far the predicted clean picture is off for every unit that the output is. */
static double counts(const struct formulation *f, double a, double sigma)
{
    if (f->output == OUTPUT_NOISE)
        return sigma / a;
    if (f->output == OUTPUT_VELOCITY)
        return sigma;
    return f->architecture.centered ? 1 : 0.5;
}

/* Of noise: Ho et al., Eq. 14, how far the network is from it, at every time alike; half of it. Of others
 * with the weight of Soft Score Matching. */
static void the_loss_is_of(enum output output, bool centered)
{
    static const float bias[CHANNELS] = {0.3f, -0.2f, 0.1f};
    static float eta[BATCH * SIZE];
    float *x0 = pictures(BATCH, SIDE, CHANNELS), losses[BATCH];
    struct philox_key key = philox_key(1, 2, 3);
    struct formulation f;

    philox_normals(&key, 0, BATCH * SIZE, eta);
    make_formulation(&f);
    f.output = output;
    f.architecture.centered = centered;
    for (int i = 0; centered && i < f.schedule.sigma.n; i++)
        f.schedule.sigma.value[i] *= 2; /* a^2 + sigma^2 = 1 in the unit that the network sees */
    run_objective(&f, x0, eta, bias, losses);
    for (int i = 0; i < BATCH; i++) {
        double a = schedule_level(&f.schedule, 0.5 * i);
        double sigma = schedule_sigma(&f.schedule, 0.5 * i), expected = 0;
        double scale = a / sigma * counts(&f, a, sigma);

        for (int e = 0; e < SIZE; e++) {
            int k = i * SIZE + e;
            double off =
                wanted(&f, a, sigma, (double)x0[k], (double)eta[k]) - (double)bias[e % CHANNELS];

            expected += 0.5 * pow(scale * off, 2);
        }
        if (!(fabs((double)losses[i] - expected) <= 1e-4 * expected))
            fail_msg("%s, image %d: %.9g, not %.9g", output_name(output), i, (double)losses[i],
                     expected);
    }
    formulation_fini(&f);
    free(x0);
}

static void losses_are_how_far_outputs_are_off(void **state)
{
    static const enum output outputs[] = {OUTPUT_NOISE, OUTPUT_VELOCITY, OUTPUT_CLEAN};

    for (int i = 0; i < 6; i++)
        the_loss_is_of(outputs[i / 2], i % 2);
}

static void what_does_not_go_together_is_refused(void **state)
{
    static const char *const others[] = {"{\"name\": \"blur\", \"half_size\": 8}",
                                         "{\"name\": \"noise\"}", "{\"name\": \"fade\"}"};
    struct corruption *c = pictures_corruption("{\"name\": \"subvp\"}", SIDE);

    assert_int_equal(output_check(OUTPUT_NOISE, c, NULL), 0);
    assert_int_equal(output_check(OUTPUT_CLEAN, c, NULL), 0);
    assert_int_equal(output_check(OUTPUT_VELOCITY, c, NULL), -EINVAL);
    corruption_destroy(c);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct error err;

        c = pictures_corruption(others[i], SIDE);
        for (enum output o = OUTPUT_NOISE; o <= OUTPUT_CLEAN; o++) {
            assert_int_equal(output_check(o, c, &err), -EINVAL);
            assert_non_null(strstr(err.text, corruption_name(c)));
            assert_non_null(strstr(err.text, output_name(o)));
        }
        assert_int_equal(output_check(OUTPUT_RESIDUAL, c, NULL), 0);
        corruption_destroy(c);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(pf_sigma_is_ddim),
        cmocka_unit_test(ancestral_is_ddpm),
        cmocka_unit_test(ancestral_of_format_1_is_not),
        cmocka_unit_test(losses_are_how_far_outputs_are_off),
        cmocka_unit_test(what_does_not_go_together_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
