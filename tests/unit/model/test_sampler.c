/* Tables of samplers: names, the grid, and what holds for every sampler and every nfe. That the
 * coefficients are right is tests/golden/test_sampler_rows.c.
 */
#include "model/sampler.h"
#include "engine/base/error.h"
#include "model/schedule.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { NFE = 41 };

static int set_up(void **state)
{
    static struct schedule s;

    *state = &s;
    return schedule_noise_then_levels(0.01, 0.1, 0.2, 2, (const double[]){0, 23}, &s, NULL);
}

static int tear_down(void **state)
{
    schedule_fini(*state);
    return 0;
}

static void names_come_back(void **state)
{
    struct error err = {""};
    enum sampler s;

    for (int i = 0; i < SAMPLERS; i++) {
        assert_int_equal(sampler_parse(sampler_name((enum sampler)i), &s, NULL), 0);
        assert_int_equal(s, i);
    }
    assert_int_equal(sampler_parse("euler", &s, &err), -EINVAL);
    assert_non_null(strstr(err.text, "euler"));
    assert_int_equal(sampler_parse("", &s, NULL), -EINVAL);
}

static void nfe_out_of_range_is_refused(void **state)
{
    static struct sampler_row rows[SAMPLER_NFE_MAX];

    for (int i = 0; i < SAMPLERS; i++) {
        enum sampler s = (enum sampler)i;

        assert_int_equal(sampler_table(s, *state, 0, rows, NULL), -EINVAL);
        assert_int_equal(sampler_table(s, *state, -1, rows, NULL), -EINVAL);
        assert_int_equal(sampler_table(s, *state, SAMPLER_NFE_MAX + 1, rows, NULL), -EINVAL);
        assert_int_equal(sampler_table(s, *state, SAMPLER_NFE_MAX, rows, NULL), 0);
    }
}

/* What a row does to x, h, C h, ... when C = C' = I and h = x = m: nothing, since
 * x' - h is a multiple of x - h and x - m. */
static void rows_keep_a_clean_image(void **state)
{
    for (int i = 0; i < SAMPLERS; i++) {
        for (int nfe = 1; nfe <= NFE; nfe++) {
            struct sampler_row rows[NFE];

            assert_int_equal(sampler_table((enum sampler)i, *state, nfe, rows, NULL), 0);
            for (int k = 0; k < nfe; k++) {
                const struct sampler_row *r = &rows[k];
                float sum = r->x_scale + r->m_scale;

                for (int j = 0; j < SAMPLER_CORRUPTIONS; j++)
                    sum += r->h_scale[j];
                if (!(fabsf(sum - 1) <= 1e-6f))
                    fail_msg("%s, nfe %d, row %d: %g", sampler_name((enum sampler)i), nfe, k,
                             (double)sum);
                assert_true(isfinite(r->eta_scale) && r->eta_scale >= 0);
                assert_int_equal(r->step, k);
            }
        }
    }
}

/* Times fall from 1 to 0 without a gap; the network is asked at one of a row's two times. */
static void steps_follow_each_other(void **state)
{
    for (int i = 0; i < SAMPLERS; i++) {
        for (int nfe = 1; nfe <= NFE; nfe++) {
            struct sampler_row rows[NFE];
            double to = 1;

            assert_int_equal(sampler_table((enum sampler)i, *state, nfe, rows, NULL), 0);
            for (int k = 0; k < nfe; k++) {
                int second = k > 0 && rows[k].from == rows[k - 1].from;

                assert_true(second ? rows[k].to == to : rows[k].from == to);
                assert_true(rows[k].t == (second ? rows[k].to : rows[k].from));
                assert_true(rows[k].to < rows[k].from);
                assert_true(rows[k].to <= rows[k].middle && rows[k].middle < rows[k].from);
                assert_true(!second || i == SAMPLER_PF_HEUN);
                to = rows[k].to;
            }
            assert_true(to == 0);
        }
    }
}

/* The last row returns h, sde-2m with its trend; only the literal probability flow keeps half of the
 * rest. */
static void the_last_row_returns_h(void **state)
{
    for (int i = 0; i < SAMPLERS; i++) {
        for (int nfe = 1; nfe <= NFE; nfe++) {
            struct sampler_row rows[NFE];
            const struct sampler_row *last = &rows[nfe - 1];
            float rest = i == SAMPLER_PF_LITERAL ? 0.5f : 0;

            assert_int_equal(sampler_table((enum sampler)i, *state, nfe, rows, NULL), 0);
            assert_true(last->x_scale == rest && last->h_scale[0] == -rest);
            assert_true(last->m_scale == 0 && last->eta_scale == 0);
            assert_true(last->h_scale[1] == 0 && last->h_scale[2] == 1);
            for (int j = 0; j < SAMPLER_CORRUPTIONS; j++)
                assert_true(last->trend_scale[j] == 0 || (i == SAMPLER_SDE_2M && j == 2));
        }
    }
}

static void heun_takes_two_evaluations_a_step(void **state)
{
    for (int nfe = 1; nfe <= NFE; nfe++) {
        struct sampler_row rows[NFE];
        int pairs = 0;

        assert_int_equal(sampler_table(SAMPLER_PF_HEUN, *state, nfe, rows, NULL), 0);
        for (int k = 0; k < nfe; k++) {
            int second = rows[k].m_scale != 0;

            pairs += second;
            assert_true(!second || (rows[k - 1].keep_x == 1 && rows[k].from == rows[k - 1].from));
        }
        assert_int_equal(pairs, (nfe - 1) / 2);
    }
}

static void two_step_extrapolates_between_the_ends(void **state)
{
    struct sampler_row rows[NFE];

    assert_int_equal(sampler_table(SAMPLER_PF_2M, *state, 10, rows, NULL), 0);
    for (int k = 0; k < 10; k++) {
        float extrapolate = k > 0 && k < 9 ? 0.5f : 0;

        for (int j = 0; j < SAMPLER_CORRUPTIONS; j++)
            assert_true(rows[k].trend_scale[j] == extrapolate * rows[k].h_scale[j]);
        assert_true(rows[k].keep_h == 1 && rows[k].keep_x == 0);
    }
}

/* A Gaussian mode of one pixel, faded by C and with the exact h = gain x. The noise that sde-2m renews
 * has to leave the variance of x_t as it is: how far off it is at the end of the grid is the error of
 * the steps, and falls with the square of their length. */
static double variance_error(const struct schedule *schedule, int nfe)
{
    const double prior = 0.3, frequency = 0.4;
    struct sampler_row *rows = malloc((size_t)nfe * sizeof(*rows));
    double xx = 0, xm = 0, mm = 0, exact = 0; /* E[x^2], E[x m], E[m^2] */

    assert_non_null(rows);
    assert_int_equal(sampler_table(SAMPLER_SDE_2M, schedule, nfe, rows, NULL), 0);
    for (int i = 0; i < nfe; i++) {
        const struct sampler_row *r = &rows[i];
        const double times[SAMPLER_CORRUPTIONS] = {r->from, r->middle, r->to};
        double sigma = schedule_sigma(schedule, r->t), gain, a = (double)r->x_scale, b = 0, next;
        double c_t = exp(-0.5 * pow(frequency * schedule_level(schedule, r->t), 2));

        exact = c_t * c_t * prior + sigma * sigma;
        if (i == 0)
            xx = exact;
        if (i == nfe - 1) /* x before it becomes h */
            break;
        gain = c_t * prior / exact;
        for (int k = 0; k < SAMPLER_CORRUPTIONS; k++) {
            double c = exp(-0.5 * pow(frequency * schedule_level(schedule, times[k]), 2));

            a += c * (double)(r->h_scale[k] + r->trend_scale[k]) * gain;
            b -= c * (double)r->trend_scale[k];
        }
        next =
            a * a * xx + 2 * a * b * xm + b * b * mm + (double)r->eta_scale * (double)r->eta_scale;
        mm = gain * gain * xx;
        xm = gain * (a * xx + b * xm);
        xx = next;
    }
    free(rows);
    return fabs(xx - exact);
}

static void sde_is_of_second_order(void **state)
{
    for (int nfe = 81; nfe <= 321; nfe = 2 * nfe - 1) {
        double coarse = variance_error(*state, nfe), fine = variance_error(*state, 2 * nfe - 1);

        if (!(coarse / fine >= 3.5 && coarse / fine <= 4.5))
            fail_msg("nfe %d: %g, twice as many steps: %g", nfe, coarse, fine);
    }
}

/* Where sigma does not change, momentum and probability flow are one deterministic step. */
static void momentum_is_still_while_sigma_is(void **state)
{
    struct sampler_row rows[10];

    assert_int_equal(sampler_table(SAMPLER_MOMENTUM, *state, 10, rows, NULL), 0);
    assert_true(rows[0].x_scale == 1 && rows[0].h_scale[0] == -1 && rows[0].eta_scale == 0);
    assert_true(rows[8].eta_scale > 0); /* t .2 to .1 */
}

/* FNV-1a over the numbers of a table as float32, low byte first. */
static uint64_t hash_rows(const struct sampler_row *rows, int n)
{
    uint64_t hash = 0xcbf29ce484222325;

    for (int i = 0; i < n; i++) {
        const struct sampler_row *r = &rows[i];
        float numbers[] = {
            (float)r->t,       (float)r->from, (float)r->middle,  (float)r->to,
            r->x_scale,        r->m_scale,     r->eta_scale,      r->h_scale[0],
            r->h_scale[1],     r->h_scale[2],  r->trend_scale[0], r->trend_scale[1],
            r->trend_scale[2], r->keep_x,      r->keep_h,         (float)r->step,
        };
        unsigned char bytes[sizeof(numbers)];

        memcpy(bytes, numbers, sizeof(numbers));
        for (size_t k = 0; k < sizeof(bytes); k++)
            hash = (hash ^ bytes[k]) * 0x100000001b3;
    }
    return hash;
}

/* Checkpoints of format 1 draw the same bytes for ever, so their tables may not change. The hash
 * is over all tables of a sampler, one after the other. */
static void tables_of_format_1_stay_as_they_are(void **state)
{
    static const int nfes[] = {1, 2, 3, 5, 8, 10, 20, 41, 100, 280};
    static const struct {
        const char *sampler;
        uint64_t hash;
    } pinned[] = {
        {"sde-2m", 0xc3806a4389791195},     {"pf-2m", 0xde9c88cb1e5ac6fa},
        {"momentum", 0x93081216eec5ecdd},   {"probability-flow", 0x3e64eef70da82e03},
        {"pf-literal", 0xf3005f2911ee5163}, {"naive", 0xe8ffdaf40d9aaac1},
        {"pf-sigma", 0x21915b8ae757e06f},   {"ancestral", 0x10f8c507bfa912b1},
        {"pf-heun", 0xf92d49f99aaeba10},
    };

    for (size_t i = 0; i < sizeof(pinned) / sizeof(pinned[0]); i++) {
        uint64_t hash = 0;
        enum sampler s;

        assert_int_equal(sampler_parse(pinned[i].sampler, &s, NULL), 0);
        for (size_t k = 0; k < sizeof(nfes) / sizeof(nfes[0]); k++) {
            struct sampler_row rows[280];

            assert_int_equal(sampler_table(s, *state, nfes[k], rows, NULL), 0);
            hash = 31 * hash + hash_rows(rows, nfes[k]);
        }
        if (hash != pinned[i].hash)
            fail_msg("%s: 0x%016llx", pinned[i].sampler, (unsigned long long)hash);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_come_back),
        cmocka_unit_test(nfe_out_of_range_is_refused),
        cmocka_unit_test(rows_keep_a_clean_image),
        cmocka_unit_test(steps_follow_each_other),
        cmocka_unit_test(the_last_row_returns_h),
        cmocka_unit_test(heun_takes_two_evaluations_a_step),
        cmocka_unit_test(two_step_extrapolates_between_the_ends),
        cmocka_unit_test(sde_is_of_second_order),
        cmocka_unit_test(momentum_is_still_while_sigma_is),
        cmocka_unit_test(tables_of_format_1_stay_as_they_are),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
