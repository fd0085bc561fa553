/* Every sampler's table of coefficients on data for which the result is known exactly: independent
 * Gaussian modes, a diagonal corruption and the exact denoiser h = gain_t x. Deterministic samplers
 * must carry the standard deviation of x_1 to the known one; for the others the variance is carried
 * through the rows, noise included.
 */
#include "model/sampler.h"
#include "engine/base/error.h"
#include "model/safetensors.h"
#include "model/formulation.h"
#include "tests/golden/golden.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MODES = 64, STEPS = 20, NFE_MAX = 2 * STEPS };

static const struct row_case {
    enum sampler sampler;
    int nfe;
    const char *golden;
    int stochastic;
} cases[] = {
    {SAMPLER_NAIVE, STEPS, "var_final.naive", 1},
    {SAMPLER_MOMENTUM, STEPS, "var_final.momentum", 1},
    {SAMPLER_ANCESTRAL, STEPS, "var_final.ancestral", 1},
    {SAMPLER_PF_LITERAL, STEPS, "var_final.pf44_plain", 0},
    {SAMPLER_PROBABILITY_FLOW, STEPS, "var_final.pf44_denoise_last", 0},
    {SAMPLER_PF_SIGMA, STEPS, "var_final.pf_sigma", 0},
    {SAMPLER_PF_HEUN, 2 * STEPS - 1, "var_final.pf_heun", 0}, /* the last step takes one */
    {SAMPLER_PF_2M, STEPS, "var_final.pf_2m", 0},
};

enum { CASES = sizeof(cases) / sizeof(cases[0]) };

struct fixture {
    struct safetensors *file;
    struct formulation model; /* only its schedule */
    double *c, *gain;         /* [STEPS + 1, MODES] */
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->file = golden_open("gauss_modes");
    f->c = golden_read_doubles(f->file, "c_grid");
    f->gain = golden_read_doubles(f->file, "gain_grid");
    assert_int_equal(schedule_noise_then_levels(0.01, 0.1, 0.2, 2, (const double[]){0.01, 23},
                                                &f->model.schedule, NULL),
                     0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    formulation_fini(&f->model);
    safetensors_close(f->file);
    free(f->c);
    free(f->gain);
    free(f);
    return 0;
}

static void test_sigmas(void **state)
{
    struct fixture *f = *state;
    double *sigma = golden_read_doubles(f->file, "sigma_grid"),
           *t = golden_read_doubles(f->file, "t_grid");

    for (int i = 0; i < STEPS; i++)
        assert_true(fabs(schedule_sigma(&f->model.schedule, t[i]) - sigma[i]) <= 1e-12);
    free(sigma);
    free(t);
}

/* C of one mode at time t of the grid. At t = 0 the file still has a std of 0.01, whose response to
 * a frequency is not quite 1. */
static double c_at(const struct fixture *f, double t, int mode)
{
    return f->c[(size_t)lround((1 - t) * STEPS) * MODES + (size_t)mode];
}

/* x' = scale[0] x + scale[1] m + eta_scale eta for one mode, whose h is gain x. */
static void row_scales(const struct fixture *f, const struct sampler_row *row, int mode,
                       double gain, double scale[2])
{
    const double times[SAMPLER_CORRUPTIONS] = {row->from, row->middle, row->to};

    scale[0] = (double)row->x_scale;
    scale[1] = (double)row->m_scale;
    for (int k = 0; k < SAMPLER_CORRUPTIONS; k++) {
        double c = c_at(f, times[k], mode), trend = (double)row->trend_scale[k];

        scale[0] += c * ((double)row->h_scale[k] + trend) * gain;
        scale[1] -= c * trend;
    }
}

static double final_variance(const struct fixture *f, const struct row_case *test,
                             const struct sampler_row *rows, int mode, double variance)
{
    double x = sqrt(variance), m = 0;

    for (int i = 0; i < test->nfe; i++) {
        double gain = f->gain[(size_t)lround((1 - rows[i].t) * STEPS) * MODES + (size_t)mode];
        double scale[2], next;

        row_scales(f, &rows[i], mode, gain, scale);
        if (test->stochastic) { /* no memory: variances add up */
            assert_true(scale[1] == 0);
            variance =
                scale[0] * scale[0] * variance + (double)(rows[i].eta_scale * rows[i].eta_scale);
            continue;
        }
        assert_true(rows[i].eta_scale == 0);
        next = scale[0] * x + scale[1] * m;
        m = (double)rows[i].keep_x * x + (double)rows[i].keep_h * gain * x;
        x = next;
    }
    return test->stochastic ? variance : x * x;
}

static void test_rows(void **state)
{
    struct fixture *f = *state;
    double *first = golden_read_doubles(f->file, "var_init");

    for (int i = 0; i < CASES; i++) {
        double *want = golden_read_doubles(f->file, cases[i].golden);
        struct sampler_row rows[NFE_MAX];

        assert_int_equal(sampler_table(cases[i].sampler, &f->model, cases[i].nfe, rows, NULL), 0);
        for (int mode = 0; mode < MODES; mode++) {
            double got = sqrt(final_variance(f, &cases[i], rows, mode, first[mode]));

            if (!(fabs(got - sqrt(want[mode])) <= 1e-6 * fmax(1, sqrt(want[mode]))))
                fail_msg("%s, mode %d: standard deviation %.9g instead of %.9g",
                         sampler_name(cases[i].sampler), mode, got, sqrt(want[mode]));
        }
        free(want);
    }
    free(first);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sigmas),
        cmocka_unit_test(test_rows),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
