/* Schedules: their knots and their JSON. */
#include "model/schedule.h"
#include "engine/base/error.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

static void near(double a, double b)
{
    if (!(fabs(a - b) <= 1e-12 * fmax(1, fabs(b))))
        fail_msg("%.17g instead of %.17g", a, b);
}

static void noise_comes_first_then_the_levels(void **state)
{
    static const double levels[] = {0.01, 1, 5};
    struct schedule s;

    assert_int_equal(schedule_noise_then_levels(0.01, 0.1, 0.2, 3, levels, &s, NULL), 0);
    near(schedule_sigma(&s, 0), 0.01);
    near(schedule_sigma(&s, 0.1), 0.01 * sqrt(10)); /* geometric */
    near(schedule_sigma(&s, 0.2), 0.1);
    near(schedule_sigma(&s, 0.7), 0.1);
    near(schedule_sigma(&s, 1), 0.1);
    near(schedule_level(&s, 0), 0.01);
    near(schedule_level(&s, 0.2), 0.01);
    near(schedule_level(&s, 0.4), (0.01 + 1) / 2); /* linear */
    near(schedule_level(&s, 0.6), 1);
    near(schedule_level(&s, 0.9), 4);
    near(schedule_level(&s, 1), 5);
    near(schedule_level(&s, -1), 0.01); /* outside: the ends */
    near(schedule_level(&s, 2), 5);
    schedule_fini(&s);
}

static void noise_beside_the_levels(void **state)
{
    static const double levels[] = {0.01, 1, 5};
    struct schedule s;

    assert_int_equal(schedule_noise_beside_levels(0.01, 0.1, 0.5, 3, levels, &s, NULL), 0);
    near(schedule_level(&s, 0.25), (0.01 + 1) / 2);
    near(schedule_level(&s, 0.5), 1);
    near(schedule_sigma(&s, 0.25), 0.01 * sqrt(10));
    near(schedule_sigma(&s, 0.75), 0.1);
    schedule_fini(&s);
    assert_int_equal(schedule_noise_beside_levels(0.01, 0.1, 1, 3, levels, &s, NULL), 0);
    near(schedule_sigma(&s, 0.5), 0.01 * sqrt(10));
    near(schedule_sigma(&s, 1), 0.1);
    schedule_fini(&s);
    for (int i = 0; i < 2; i++) { /* as much at any time, or none */
        assert_int_equal(schedule_noise_beside_levels(i * 0.1, i * 0.1, 0.2, 3, levels, &s, NULL),
                         0);
        near(schedule_sigma(&s, 0), i * 0.1);
        near(schedule_sigma(&s, 0.3), i * 0.1);
        assert_int_equal(schedule_has_noise(&s), i);
        schedule_fini(&s);
    }
    assert_int_equal(schedule_noise_beside_levels(0, 0.1, 0.2, 3, levels, &s, NULL), -EINVAL);
    assert_int_equal(schedule_noise_beside_levels(0.2, 0.1, 0.2, 3, levels, &s, NULL), -EINVAL);
    assert_int_equal(schedule_noise_beside_levels(0.01, 0.1, 0, 3, levels, &s, NULL), -EINVAL);
    assert_int_equal(schedule_noise_beside_levels(0.01, 0.1, 1.1, 3, levels, &s, NULL), -EINVAL);
    assert_int_equal(schedule_noise_beside_levels(0.01, 0.1, 1, 1, levels, &s, NULL), -EINVAL);
}

static void noise_alone_leaves_the_image(void **state)
{
    struct schedule s;

    assert_int_equal(schedule_noise_then_levels(0.01, 50, 1, 0, NULL, &s, NULL), 0);
    near(schedule_level(&s, 0.5), 1);
    near(schedule_sigma(&s, 0.5), sqrt(0.01 * 50));
    near(schedule_sigma(&s, 1), 50);
    schedule_fini(&s);
}

static void senseless_schedules_are_refused(void **state)
{
    static const double good[] = {0, 1}, bad[] = {0, NAN};
    static const struct {
        double sigma_min, sigma_max, t_noise;
        int n;
        const double *levels;
    } rows[] = {
        {0, 0.1, 0.2, 2, good},     {-1, 0.1, 0.2, 2, good},   {0.2, 0.1, 0.2, 2, good},
        {NAN, 0.1, 0.2, 2, good},   {0.1, INFINITY, 1, 0, 0},  {0.01, 0.1, 0, 2, good},
        {0.01, 0.1, 1, 2, good},    {0.01, 0.1, 0.2, 1, good}, {0.01, 0.1, 0.2, 0, NULL},
        {0.01, 0.1, 0.2, -1, good}, {0.01, 0.1, 0.2, 2, bad},
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        struct schedule s;
        struct error err = {""};

        assert_int_equal(schedule_noise_then_levels(rows[i].sigma_min, rows[i].sigma_max,
                                                    rows[i].t_noise, rows[i].n, rows[i].levels, &s,
                                                    &err),
                         -EINVAL);
        assert_true(err.text[0]);
    }
}

static void variance_preserving_ones_follow_their_formulas(void **state)
{
    for (int sub = 0; sub < 2; sub++) {
        struct schedule s;

        assert_int_equal(schedule_vp(0.1, 20, 1, sub, &s, NULL), 0);
        for (int i = 1; i <= 1000; i++) {
            double t = i / 1000.0, a = exp(-t * t * 19.9 / 4 - t * 0.1 / 2);
            double sigma = sub ? 1 - a * a : sqrt(1 - a * a);

            assert_true(fabs(schedule_level(&s, t) - a) <= 1e-4);
            assert_true(fabs(schedule_sigma(&s, t) / sigma - 1) <= 1e-3);
        }
        assert_true(schedule_level(&s, 0) == 1);
        assert_true(schedule_sigma(&s, 0) > 0);
        schedule_fini(&s);
    }
}

static void json_comes_back(void **state)
{
    static const double levels[] = {0.01, 1.0 / 3, 5};
    struct schedule s, back;
    json_t *json;

    assert_int_equal(schedule_noise_then_levels(0.01, 0.1, 0.2, 3, levels, &s, NULL), 0);
    json = schedule_to_json(&s);
    assert_int_equal(schedule_from_json(json, &back, NULL), 0);
    for (int i = 0; i <= 100; i++) {
        assert_true(schedule_level(&s, i / 100.0) == schedule_level(&back, i / 100.0));
        assert_true(schedule_sigma(&s, i / 100.0) == schedule_sigma(&back, i / 100.0));
    }
    json_decref(json);
    schedule_fini(&s);
    schedule_fini(&back);
}

#define KNOTS(t, value) "{\"t\": " t ", \"value\": " value "}"
#define LEVEL(t, value) "{\"level\": " KNOTS(t, value) ", \"sigma\": " KNOTS("[0,1]", "[1,1]") "}"

static void damaged_json_is_refused(void **state)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"[]", "schedule is not a JSON object"},
        {"{}", "\"level\" is missing"},
        {"{\"level\": " KNOTS("[0,1]", "[0,1]") "}", "\"sigma\" is missing"},
        {"{\"level\": 1, \"sigma\": 1}", "schedule level is not a JSON object"},
        {LEVEL("[0]", "[0]"), "not arrays of one length"},
        {LEVEL("[0,1]", "[0]"), "not arrays of one length"},
        {LEVEL("{}", "[0,1]"), "not arrays of one length"},
        {LEVEL("[0,1]", "\"01\""), "not arrays of one length"},
        {LEVEL("[0,0.5,0.5,1]", "[0,1,2,3]"), "\"t\" does not rise at element 2"},
        {LEVEL("[0,0.7,0.5,1]", "[0,1,2,3]"), "\"t\" does not rise at element 2"},
        {LEVEL("[0.1,1]", "[0,1]"), "does not go from 0 to 1"},
        {LEVEL("[0,0.9]", "[0,1]"), "does not go from 0 to 1"},
        {LEVEL("[0,1]", "[0,-1]"), "\"value\": element 1 is not within"},
        {LEVEL("[0,1]", "[0,1e300]"), "\"value\": element 1 is not within"},
        {LEVEL("[0,1]", "[0,null]"), "\"value\": element 1 is not within"},
        {"{\"level\": " KNOTS("[0,1]", "[0,1]") ", \"sigma\": " KNOTS("[0,1]", "[0,1]") "}",
         "schedule sigma: \"value\": element 1 is not 0, the first is"},
        {"{\"level\": " KNOTS("[0,1]", "[0,1]") ", \"sigma\": " KNOTS("[0,1]", "[1,0]") "}",
         "schedule sigma: \"value\": element 1 is below"},
        {"{\"level\": " KNOTS("[0,1]", "[0,1]") ", \"sigma\": " KNOTS("[0,1]", "[-1,0]") "}",
         "schedule sigma: \"value\": element 0 is not within"},
        {"{\"level\": {\"t\": [0,1], \"value\": [0,1], \"x\": 1}, \"sigma\": {}}",
         "unknown key \"x\""},
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        json_t *json = json_loads(rows[i].text, 0, NULL);
        struct error err = {""};
        struct schedule s;

        assert_non_null(json);
        assert_int_equal(schedule_from_json(json, &s, &err), -EINVAL);
        if (!strstr(err.text, rows[i].why))
            fail_msg("%s: \"%s\", expected \"%s\"", rows[i].text, err.text, rows[i].why);
        json_decref(json);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(noise_comes_first_then_the_levels),
        cmocka_unit_test(noise_beside_the_levels),
        cmocka_unit_test(noise_alone_leaves_the_image),
        cmocka_unit_test(senseless_schedules_are_refused),
        cmocka_unit_test(variance_preserving_ones_follow_their_formulas),
        cmocka_unit_test(json_comes_back),
        cmocka_unit_test(damaged_json_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
