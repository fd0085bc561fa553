/* Samplers on Gaussian data: that many steps arrive, what few steps cost, and that tuned ones do what
 * they are tuned for. That the engine's images agree with these numbers is tests/tools/test_gaussian.py.
 */
#include "model/fit/gaussian.h"
#include "engine/base/error.h"
#include "model/corruption.h"
#include "model/fit/solver_fit.h"
#include "model/fit/spectrum.h"
#include "model/formulation.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 16, SMALL = 8, NFE_MAX = 500, BLUR, NOISE, VP, CASES };

/* Levels of a blur at 16 px. */
static const double blur[] = {0.01, 0.22, 0.28, 0.38, 0.52, 0.85, 1.3, 2, 3, 4.3, 6, 9};

static const char *const names[CASES] = {[BLUR] = "blur", [NOISE] = "noise", [VP] = "vp"};

/* A corruption with its schedule, on pictures in general. */
struct given {
    struct formulation f;
    double spectrum[SIDE * SIDE];
    struct gaussian *gaussian;
};

static void make(struct given *g, int kind, int side)
{
    enum { LEVELS = sizeof(blur) / sizeof(blur[0]) };
    struct error err;
    json_t *json = json_pack("{s:s}", "name", names[kind]);
    double levels[LEVELS];
    int rc;

    *g = (struct given){.f = {.sampling = {.refining_grid = true}}};
    if (kind == BLUR)
        json_object_set_new(json, "half_size", json_integer(side));
    assert_int_equal(corruption_create(json, side, side, &g->f.corruption, &err), 0);
    json_decref(json);
    for (int i = 0; i < LEVELS; i++)
        levels[i] = blur[i] * side / SIDE;
    if (kind == VP)
        rc = schedule_vp(0.1, 20, 1, 0, &g->f.schedule, &err);
    else
        rc = schedule_noise_then_levels(0.01, kind == BLUR ? 0.1 : 20, kind == BLUR ? 0.2 : 1,
                                        kind == BLUR ? LEVELS : 0, levels, &g->f.schedule, &err);
    assert_int_equal(rc, 0);
    spectrum_of_pictures(side, g->spectrum);
    assert_int_equal(gaussian_create(g->f.corruption, &g->f.schedule, side, g->spectrum,
                                     &g->gaussian, &err),
                     0);
}

static void unmake(struct given *g)
{
    gaussian_destroy(g->gaussian);
    formulation_fini(&g->f);
}

static struct gaussian_result run(struct given *g, int sampler, int nfe)
{
    static struct sampler_row rows[NFE_MAX];
    struct gaussian_result result = {0};
    struct error err = {""};

    if (sampler_table((enum sampler)sampler, &g->f, nfe, rows, &err) < 0 ||
        gaussian_run(g->gaussian, nfe, rows, NULL, NULL, &result, NULL, &err) < 0)
        fail_msg("%s", err.text);
    return result;
}

/* Every band's variance lies within [low, high] of the right one. */
static void hold(const char *what, int sampler, int nfe, const struct gaussian_result *r,
                 double low, double high)
{
    for (int band = 0; band < r->n_bands; band++) {
        if (!(r->bands[band] >= low && r->bands[band] <= high))
            fail_msg("%s, %s at %d: band %d has %.4f, not %g .. %g", what,
                     sampler_name((enum sampler)sampler), nfe, band, r->bands[band], low, high);
    }
    assert_true(r->total >= low && r->total <= high);
}

static void bands_are_octaves(void **state)
{
    assert_int_equal(gaussian_n_bands(16), 5);
    assert_int_equal(gaussian_n_bands(12), 5);
    assert_int_equal(gaussian_band(0, 0), 0);
    assert_int_equal(gaussian_band(1, 1), 1);
    assert_int_equal(gaussian_band(0, 2), 2);
    assert_int_equal(gaussian_band(3, 1), 2);
    assert_int_equal(gaussian_band(4, 7), 3);
    assert_int_equal(gaussian_band(15, 8), 4);
}

/* Whoever claims to be exact in the limit is held to it. */
static void many_steps_arrive(void **state)
{
    static const struct {
        enum sampler sampler;
        int nfe;
        double off; /* of any band */
    } bounds[] = {
        {SAMPLER_PF_2M, 200, 0.05},
        {SAMPLER_PF_2M, 500, 0.008},
        {SAMPLER_PF_HEUN, 500, 0.025},
        {SAMPLER_MOMENTUM, 300, 0.05},
        {SAMPLER_MOMENTUM, 500, 0.035},
        {SAMPLER_SDE_2M, 500, 0.006},
        {SAMPLER_PF_SIGMA, 500, 0.06},
        {SAMPLER_ANCESTRAL, 500, 0.11},
        {SAMPLER_PROBABILITY_FLOW, 500, 0.07},
    };

    for (int kind = BLUR; kind < CASES; kind++) {
        struct given g;

        make(&g, kind, SMALL);
        for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
            struct gaussian_result r = run(&g, bounds[i].sampler, bounds[i].nfe);

            hold(names[kind], bounds[i].sampler, bounds[i].nfe, &r, 1 - bounds[i].off,
                 1 + bounds[i].off);
        }
        unmake(&g);
    }
}

/* Step grids refine: with four times the steps every sampler that has a limit is nearer to it. The
 * noise that naive draws has none: half of it stays away. */
static void more_steps_are_nearer(void **state)
{
    for (int kind = BLUR; kind < CASES; kind++) {
        struct given g;

        make(&g, kind, SMALL);
        for (int s = 0; s < SAMPLER_TUNED; s++) {
            double before = INFINITY;

            for (int nfe = 20; nfe <= 320; nfe *= 4) {
                double distance = run(&g, s, nfe).distance;

                if (s != SAMPLER_NAIVE && !(distance < 0.8 * before))
                    fail_msg("%s, %s at %d: %.4f after %.4f", names[kind],
                             sampler_name((enum sampler)s), nfe, distance, before);
                before = distance;
            }
            if (s == SAMPLER_NAIVE)
                assert_true(before > 0.3);
        }
        unmake(&g);
    }
}

/* What README.md, the model's card and the header of model/sampler.h say. */
static void sde_2m_has_too_much_at_20(void **state)
{
    struct given g;
    struct gaussian_result r;

    make(&g, BLUR, SIDE);
    r = run(&g, SAMPLER_SDE_2M, 20);
    assert_true(r.total > 1.1 && r.total < 1.2);
    hold("blur", SAMPLER_SDE_2M, 20, &r, 1, 1.3);
    r = run(&g, SAMPLER_SDE_2M, 200);
    hold("blur", SAMPLER_SDE_2M, 200, &r, 0.99, 1.01);
    r = run(&g, SAMPLER_PF_2M, 20);
    assert_true(r.total > 0.95 && r.total < 1);
    unmake(&g);
}

static struct solver tuned_for(struct given *g, int side, struct solver_fit_options o)
{
    struct solver_fit_report report;
    struct solver solver;
    struct error err = {""};

    if (solver_fit(g->f.corruption, &g->f.schedule, side, g->spectrum, &o, NULL, &solver, &report,
                   &err) < 0)
        fail_msg("%s", err.text);
    assert_true(report.lowest <= report.highest);
    return solver;
}

/* Runs `tuned` with the table, which it takes. */
static struct gaussian_result run_tuned(struct given *g, struct solver solver)
{
    struct gaussian_result r;

    g->f.sampling.solvers = &solver;
    g->f.sampling.n_solvers = 1;
    r = run(g, SAMPLER_TUNED, solver.nfe);
    g->f.sampling.solvers = NULL;
    g->f.sampling.n_solvers = 0;
    solver_fini(&solver);
    return r;
}

static void eight_tuned_steps_are_exact(void **state)
{
    for (int kind = BLUR; kind < CASES; kind++) {
        struct given g;
        struct gaussian_result r;

        make(&g, kind, SIDE);
        r = run_tuned(&g, tuned_for(&g, SIDE, (struct solver_fit_options){.nfe = 8, .target = 1}));
        hold(names[kind], SAMPLER_TUNED, 8, &r, 0.97, 1.03);
        assert_true(r.distance <= run(&g, SAMPLER_PF_2M, 20).distance);
        unmake(&g);
    }
}

static void a_table_has_the_noise_and_variance_asked_for(void **state)
{
    for (int kind = BLUR; kind < CASES; kind++) {
        struct given g;
        struct solver solver;
        struct gaussian_result r;

        make(&g, kind, SIDE);
        solver =
            tuned_for(&g, SIDE, (struct solver_fit_options){.nfe = 12, .target = 1.1, .noise = 6});
        assert_true(solver.t[0] == 1 && solver.t[12] == 0 && solver.trend[0] == 0);
        for (int i = 0; i < 11; i++) {
            double kept = exp(-6 * (solver.t[i] - solver.t[i + 1]));

            assert_true(fabs(solver.noise[i] - sqrt(1 - kept * kept)) < 1e-6);
            assert_true(fabs(solver.trend[i]) <= 2);
        }
        assert_true(solver.noise[11] == 0);
        r = run_tuned(&g, solver);
        if (kind == BLUR) /* whose lowest modes stay about as x_1 has them */
            assert_true(r.bands[0] < 1.05 && fabs(r.bands[4] - 1.1) < 0.03);
        else
            hold(names[kind], SAMPLER_TUNED, 12, &r, 1.07, 1.13);
        unmake(&g);
    }
}

static void any_number_of_steps_is_tuned(void **state)
{
    static const int nfes[] = {1, 2, 3, SOLVER_FIT_NFE_MAX};
    struct given g;

    make(&g, NOISE, SMALL);
    for (size_t i = 0; i < sizeof(nfes) / sizeof(nfes[0]); i++) {
        struct gaussian_result r =
            run_tuned(&g, tuned_for(&g, SMALL,
                                    (struct solver_fit_options){.nfe = nfes[i], .target = 1}));

        assert_true(isfinite(r.distance));
        if (nfes[i] > 2)
            hold("noise", SAMPLER_TUNED, nfes[i], &r, 0.94, 1.06);
    }
    unmake(&g);
}

static void what_cannot_be_tuned_is_refused(void **state)
{
    static const struct solver_fit_options wrong[] = {
        {.nfe = 0, .target = 1},
        {.nfe = SOLVER_FIT_NFE_MAX + 1, .target = 1},
        {.nfe = 8, .target = 0},
        {.nfe = 8, .target = NAN},
        {.nfe = 8, .target = 1, .noise = -1},
    };
    struct solver_fit_report report;
    struct solver solver;
    struct error err;
    struct given g;
    json_t *json;

    make(&g, NOISE, SMALL);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(solver_fit(g.f.corruption, &g.f.schedule, SMALL, g.spectrum, &wrong[i],
                                    NULL, &solver, &report, &err),
                         -EINVAL);
    corruption_destroy(g.f.corruption);
    json = json_pack("{s:s, s:s}", "name", "mask", "order", "rows");
    assert_int_equal(corruption_create(json, SMALL, SMALL, &g.f.corruption, &err), 0);
    json_decref(json);
    assert_int_equal(solver_fit(g.f.corruption, &g.f.schedule, SMALL, g.spectrum,
                                &(struct solver_fit_options){.nfe = 8, .target = 1}, NULL, &solver,
                                &report, &err),
                     -ENOTSUP);
    assert_non_null(strstr(err.text, "mask"));
    unmake(&g);
}

/* The gains of an estimate say what they were made of: strong modes and such as hide in the noise. */
static void a_spectrum_comes_back_from_its_estimate(void **state)
{
    for (int kind = BLUR; kind < CASES; kind++) {
        struct given g;
        double found[SMALL * SMALL];
        struct wiener w = {.side = SMALL, .channels = 2};

        make(&g, kind, SMALL);
        w.gain = calloc((size_t)WIENER_TIMES * SMALL * SMALL * 2, sizeof(*w.gain));
        assert_non_null(w.gain);
        for (int i = 0; i < WIENER_TIMES; i++) {
            double t = (double)i / (WIENER_TIMES - 1), sigma = schedule_sigma(&g.f.schedule, t);
            double a = kind == VP ? schedule_level(&g.f.schedule, t) : 1;

            if (kind == BLUR && t > 0.2)
                break;
            for (int k = 0; k < SMALL * SMALL; k++)
                w.gain[(i * SMALL * SMALL + k) * 2] =
                    (float)(a * g.spectrum[k] / (a * a * g.spectrum[k] + sigma * sigma));
        }
        assert_int_equal(spectrum_of_estimate(&w, g.f.corruption, &g.f.schedule, found, NULL), 0);
        for (int k = 0; k < SMALL * SMALL; k++)
            assert_true(fabs(found[k] / g.spectrum[k] - 1) < 0.01);
        free(w.gain);
        unmake(&g);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(bands_are_octaves),
        cmocka_unit_test(many_steps_arrive),
        cmocka_unit_test(more_steps_are_nearer),
        cmocka_unit_test(sde_2m_has_too_much_at_20),
        cmocka_unit_test(eight_tuned_steps_are_exact),
        cmocka_unit_test(a_table_has_the_noise_and_variance_asked_for),
        cmocka_unit_test(any_number_of_steps_is_tuned),
        cmocka_unit_test(what_cannot_be_tuned_is_refused),
        cmocka_unit_test(a_spectrum_comes_back_from_its_estimate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
