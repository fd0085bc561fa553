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
                float sum = r->x_scale + r->m_scale + r->y_scale + r->y_next_scale;

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
                assert_true(!second || i == SAMPLER_PF_HEUN);
                to = rows[k].to;
            }
            assert_true(to == 0);
        }
    }
}

/* The last row returns h; only the literal probability flow keeps half of the rest. */
static void the_last_row_returns_h(void **state)
{
    for (int i = 0; i < SAMPLERS; i++) {
        for (int nfe = 1; nfe <= NFE; nfe++) {
            struct sampler_row rows[NFE];
            const struct sampler_row *last = &rows[nfe - 1];
            float rest = i == SAMPLER_PF_LITERAL ? 0.5f : 0;

            assert_int_equal(sampler_table((enum sampler)i, *state, nfe, rows, NULL), 0);
            assert_true(last->x_scale == rest && last->y_scale == -rest);
            assert_true(last->m_scale == 0 && last->eta_scale == 0 && last->extrapolate == 0);
            assert_true(last->y_next_scale == 1);
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
        assert_true(rows[k].extrapolate == (k > 0 && k < 9 ? 0.5f : 0));
        assert_true(rows[k].keep_h == 1 && rows[k].keep_x == 0);
    }
}

/* Where sigma does not change, momentum and probability flow are one deterministic step. */
static void momentum_is_still_while_sigma_is(void **state)
{
    struct sampler_row rows[10];

    assert_int_equal(sampler_table(SAMPLER_MOMENTUM, *state, 10, rows, NULL), 0);
    assert_true(rows[0].x_scale == 1 && rows[0].y_scale == -1 && rows[0].eta_scale == 0);
    assert_true(rows[8].eta_scale > 0); /* t .2 to .1 */
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
        cmocka_unit_test(momentum_is_still_while_sigma_is),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
