/* What a checkpoint says about sampling: read strictly, written as it was read, and the one answer to
 * what is meant where a request says nothing. The tables are tests/unit/model/test_sampler.c.
 */
#include "model/sampling.h"
#include "engine/base/error.h"

#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

static const char solvers_text[] =
    "[{\"nfe\": 1, \"t\": [1, 0], \"trend\": [0], \"noise\": [0]},"
    " {\"nfe\": 3, \"t\": [1, 0.6, 0.123456789012345, 0], \"trend\": [0, 0.5, -8],"
    "  \"noise\": [1, 0.25, 0]},"
    " {\"nfe\": 4, \"t\": [1, 0.6, 0.2, 1e-9, 0], \"trend\": [0, 0, 0, 0],"
    "  \"noise\": [0, 0, 0, 0]}]";

static int read_texts(const char *defaults, const char *solvers, struct sampling *out,
                      struct error *err)
{
    json_t *a = defaults ? json_loads(defaults, JSON_DECODE_ANY, NULL) : NULL;
    json_t *b = solvers ? json_loads(solvers, JSON_DECODE_ANY, NULL) : NULL;
    int rc;

    assert_true(!defaults == !a && !solvers == !b);
    *out = (struct sampling){.refining_grid = true};
    rc = sampling_from_json(a, b, out, err);
    json_decref(a);
    json_decref(b);
    return rc;
}

static void what_is_read_is_written(void **state)
{
    static const char defaults_text[] = "{\"sampler\": \"sde-2m\", \"nfe\": 30, \"excess\": 0.125}";
    json_t *defaults = json_loads(defaults_text, 0, NULL), *again;
    json_t *solvers = json_loads(solvers_text, 0, NULL);
    struct sampling s, t = {.refining_grid = true};

    assert_int_equal(read_texts(defaults_text, solvers_text, &s, NULL), 0);
    assert_true(s.has_defaults && s.excess == 0.125);
    assert_int_equal(s.defaults.sampler, SAMPLER_SDE_2M);
    assert_int_equal(s.defaults.nfe, 30);
    assert_int_equal(s.n_solvers, 3);
    assert_true(sampling_solver(&s, 3)->t[2] == 0.123456789012345);
    assert_true(sampling_solver(&s, 3)->trend[2] == -8);
    assert_true(sampling_solver(&s, 3)->noise[0] == 1);
    assert_null(sampling_solver(&s, 2));

    again = sampling_defaults_to_json(&s);
    assert_true(json_equal(again, defaults));
    json_decref(again);
    again = sampling_solvers_to_json(&s);
    assert_int_equal(sampling_from_json(defaults, again, &t, NULL), 0);
    assert_int_equal(t.n_solvers, 3);
    for (int i = 0; i < 3; i++)
        assert_memory_equal(t.solvers[i].t, s.solvers[i].t,
                            (3 * (size_t)s.solvers[i].nfe + 1) * sizeof(double));
    json_decref(again);
    json_decref(defaults);
    json_decref(solvers);
    sampling_fini(&s);
    sampling_fini(&t);

    assert_null(sampling_defaults_to_json(&t));
    assert_null(sampling_solvers_to_json(&t));
}

static void mistakes_are_refused(void **state)
{
    static const struct {
        const char *defaults, *solvers, *why;
    } rows[] = {
        {"[]", NULL, "defaults is not a JSON object"},
        {"{\"nfe\": 20}", NULL, "\"sampler\" is missing"},
        {"{\"sampler\": \"sde-2m\"}", NULL, "\"nfe\" is missing"},
        {"{\"sampler\": \"euler\", \"nfe\": 20}", NULL, "unknown sampler \"euler\""},
        {"{\"sampler\": 1, \"nfe\": 20}", NULL, "\"sampler\" is not a string"},
        {"{\"sampler\": \"sde-2m\", \"nfe\": 0}", NULL, "\"nfe\" is 0"},
        {"{\"sampler\": \"sde-2m\", \"nfe\": 10001}", NULL, "\"nfe\" is 10001"},
        {"{\"sampler\": \"sde-2m\", \"nfe\": 20.5}", NULL, "\"nfe\" is not an integer"},
        {"{\"sampler\": \"sde-2m\", \"nfe\": 20, \"excess\": -0.1}", NULL, "\"excess\" is -0.1"},
        {"{\"sampler\": \"sde-2m\", \"nfe\": 20, \"excess\": 1.1}", NULL, "\"excess\" is 1.1"},
        {"{\"sampler\": \"sde-2m\", \"nfe\": 20, \"excess\": \"much\"}", NULL,
         "\"excess\" is not a number"},
        {"{\"sampler\": \"pf-2m\", \"nfe\": 20, \"excess\": 0.1}", NULL,
         "\"excess\" does not go with the sampler \"pf-2m\""},
        {"{\"sampler\": \"tuned\", \"nfe\": 3, \"excess\": 0.1}", solvers_text,
         "\"excess\" does not go with the sampler \"tuned\""},
        {"{\"sampler\": \"sde-2m\", \"nfe\": 20, \"seed\": 1}", NULL, "unknown key \"seed\""},
        {"{\"sampler\": \"tuned\", \"nfe\": 3}", NULL, "no solver of 3 evaluations"},
        {"{\"sampler\": \"tuned\", \"nfe\": 2}", solvers_text, "no solver of 2 evaluations"},
        {NULL, "{}", "\"solvers\" is not an array"},
        {NULL, "[]", "\"solvers\" is not an array of 1 .. 64"},
        {NULL, "[1]", "solver 0 is not a JSON object"},
        {NULL, "[{\"t\": [1, 0], \"trend\": [0], \"noise\": [0]}]", "\"nfe\" is missing"},
        {NULL, "[{\"nfe\": 2000000000, \"t\": [1, 0], \"trend\": [0], \"noise\": [0]}]",
         "\"nfe\" is 2000000000"},
        {NULL, "[{\"nfe\": 1, \"trend\": [0], \"noise\": [0]}]", "\"t\" is missing"},
        {NULL, "[{\"nfe\": 1, \"t\": [1, 0], \"noise\": [0]}]", "\"trend\" is missing"},
        {NULL, "[{\"nfe\": 1, \"t\": [1, 0], \"trend\": [0]}]", "\"noise\" is missing"},
        {NULL, "[{\"nfe\": 1, \"t\": [1, 0], \"trend\": [0], \"noise\": [0], \"eta\": 1}]",
         "unknown key \"eta\""},
        {NULL, "[{\"nfe\": 1, \"t\": [1, 0.5, 0], \"trend\": [0], \"noise\": [0]}]",
         "\"t\" is not an array of 2 numbers"},
        {NULL, "[{\"nfe\": 1, \"t\": {}, \"trend\": [0], \"noise\": [0]}]",
         "\"t\" is not an array of 2 numbers"},
        {NULL, "[{\"nfe\": 1, \"t\": [1, \"0\"], \"trend\": [0], \"noise\": [0]}]",
         "\"t\": element 1 is not a number within 0 .. 1"},
        {NULL, "[{\"nfe\": 1, \"t\": [0.9, 0], \"trend\": [0], \"noise\": [0]}]",
         "\"t\" does not go from 1 to 0"},
        {NULL, "[{\"nfe\": 1, \"t\": [1, 0.1], \"trend\": [0], \"noise\": [0]}]",
         "\"t\" does not go from 1 to 0"},
        {NULL, "[{\"nfe\": 2, \"t\": [1, 1, 0], \"trend\": [0, 0], \"noise\": [0, 0]}]",
         "\"t\" does not fall at element 1"},
        {NULL, "[{\"nfe\": 2, \"t\": [1, 0.5, 0], \"trend\": [0, 8.1], \"noise\": [0, 0]}]",
         "\"trend\": element 1 is not a number within -8 .. 8"},
        {NULL, "[{\"nfe\": 2, \"t\": [1, 0.5, 0], \"trend\": [0.1, 0], \"noise\": [0, 0]}]",
         "the first step has a trend"},
        {NULL, "[{\"nfe\": 2, \"t\": [1, 0.5, 0], \"trend\": [0, 0], \"noise\": [1.1, 0]}]",
         "\"noise\": element 0 is not a number within 0 .. 1"},
        {NULL, "[{\"nfe\": 2, \"t\": [1, 0.5, 0], \"trend\": [0, 0], \"noise\": [0, 0.1]}]",
         "the last step has noise"},
        {NULL,
         "[{\"nfe\": 1, \"t\": [1, 0], \"trend\": [0], \"noise\": [0]},"
         " {\"nfe\": 1, \"t\": [1, 0], \"trend\": [0], \"noise\": [0]}]",
         "solver 1: \"nfe\" does not rise"},
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        struct error err = {""};
        struct sampling s;
        int rc = read_texts(rows[i].defaults, rows[i].solvers, &s, &err);

        if (rc != -EINVAL || !strstr(err.text, rows[i].why))
            fail_msg("%zu: %d \"%s\", expected \"%s\"", i, rc, err.text, rows[i].why);
        assert_false(s.has_defaults);
        sampling_fini(&s);
    }
}

static void what_is_not_said_is_the_models(void **state)
{
    static const char with_default[] = "{\"sampler\": \"ancestral\", \"nfe\": 30}";
    static const char with_tuned[] = "{\"sampler\": \"tuned\", \"nfe\": 3}";
    static const enum sampler momentum = SAMPLER_MOMENTUM, tuned = SAMPLER_TUNED;
    static const struct {
        const char *defaults, *solvers;
        const enum sampler *sampler; /* asked for, or NULL */
        int nfe, nfe_max;
        int rc;
        struct sampling_choice want;
        const char *why;
    } rows[] = {
        /* No defaults in the checkpoint. */
        {NULL, NULL, NULL, 0, 100, 0, {SAMPLER_SDE_2M, 20}, ""},
        {NULL, NULL, NULL, 0, 10, 0, {SAMPLER_SDE_2M, 10}, ""},
        {NULL, NULL, NULL, 7, 100, 0, {SAMPLER_SDE_2M, 7}, ""},
        {NULL, NULL, &momentum, 0, 100, 0, {SAMPLER_MOMENTUM, 20}, ""},
        {NULL, NULL, &tuned, 0, 100, -ENOENT, {0}, "no tables"},
        {NULL, NULL, &tuned, 3, 100, -ENOENT, {0}, "no tables"},
        {with_default, NULL, NULL, 0, 100, 0, {SAMPLER_ANCESTRAL, 30}, ""},
        {with_default, NULL, NULL, 0, 10, 0, {SAMPLER_ANCESTRAL, 10}, ""},
        {with_default, NULL, NULL, 50, 100, 0, {SAMPLER_ANCESTRAL, 50}, ""},
        {with_default, NULL, &momentum, 0, 100, 0, {SAMPLER_MOMENTUM, 30}, ""},
        {with_default, NULL, &momentum, 5, 100, 0, {SAMPLER_MOMENTUM, 5}, ""},
        /* Tables of 1, 3 and 4. */
        {NULL, solvers_text, NULL, 0, 100, 0, {SAMPLER_SDE_2M, 20}, ""},
        {NULL, solvers_text, &tuned, 0, 100, 0, {SAMPLER_TUNED, 4}, ""},
        {NULL, solvers_text, &tuned, 0, 2, 0, {SAMPLER_TUNED, 1}, ""},
        {with_tuned, solvers_text, NULL, 0, 100, 0, {SAMPLER_TUNED, 3}, ""},
        {with_tuned, solvers_text, NULL, 0, 2, 0, {SAMPLER_TUNED, 1}, ""},
        {with_tuned, solvers_text, NULL, 4, 100, 0, {SAMPLER_TUNED, 4}, ""},
        {with_tuned, solvers_text, NULL, 2, 100, 0, {SAMPLER_SDE_2M, 2}, ""},
        {with_tuned,
         solvers_text,
         &tuned,
         2,
         100,
         -EINVAL,
         {0},
         "no table of 2 evaluations; it has: 1, 3, 4"},
        {with_tuned, solvers_text, &momentum, 2, 100, 0, {SAMPLER_MOMENTUM, 2}, ""},
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        struct sampling_choice got = {0};
        struct error err = {""};
        struct sampling s;
        int rc;

        assert_int_equal(read_texts(rows[i].defaults, rows[i].solvers, &s, NULL), 0);
        rc = sampling_choose(&s, rows[i].sampler, rows[i].nfe, rows[i].nfe_max, &got, &err);
        if (rc != rows[i].rc || got.sampler != rows[i].want.sampler ||
            got.nfe != rows[i].want.nfe || !strstr(err.text, rows[i].why))
            fail_msg("row %zu: %d, %d at %d, \"%s\"", i, rc, (int)got.sampler, got.nfe, err.text);
        sampling_fini(&s);
    }
}

/* Tables of tuned begin at time 1: who begins elsewhere is given another sampler, but not who names it. */
static void midway_the_default_is_never_tuned(void **state)
{
    static const enum sampler tuned = SAMPLER_TUNED;
    struct sampling_choice got;
    struct error err;
    struct sampling s;

    assert_int_equal(read_texts("{\"sampler\": \"tuned\", \"nfe\": 3}", solvers_text, &s, NULL), 0);
    assert_int_equal(sampling_choose_midway(&s, NULL, 0, 100, &got, &err), 0);
    assert_true(got.sampler == SAMPLER_SDE_2M && got.nfe == SAMPLING_NFE_DEFAULT);
    assert_int_equal(sampling_choose_midway(&s, NULL, 0, 7, &got, &err), 0);
    assert_true(got.sampler == SAMPLER_SDE_2M && got.nfe == 7);
    assert_int_equal(sampling_choose_midway(&s, NULL, 4, 100, &got, &err), 0);
    assert_true(got.sampler == SAMPLER_SDE_2M && got.nfe == 4);
    assert_int_equal(sampling_choose_midway(&s, &tuned, 3, 100, &got, &err), 0);
    assert_true(got.sampler == SAMPLER_TUNED && got.nfe == 3);
    sampling_fini(&s);
}

/* A model without noise has a default of its own, and says who needs some. */
static void without_noise_the_default_is_another(void **state)
{
    struct sampling s = {.refining_grid = true, .noiseless = true};
    enum sampler naive = SAMPLER_NAIVE, momentum = SAMPLER_MOMENTUM;
    struct sampling_choice got;
    struct error err = {""};
    json_t *json;

    assert_int_equal(sampling_choose(&s, NULL, 0, 1000, &got, NULL), 0);
    assert_int_equal(got.sampler, SAMPLER_PROBABILITY_FLOW);
    assert_int_equal(sampling_choose(&s, &naive, 7, 1000, &got, NULL), 0);
    assert_int_equal(got.sampler, SAMPLER_NAIVE);
    assert_int_equal(sampling_choose(&s, &momentum, 7, 1000, &got, &err), -ENOENT);
    assert_non_null(strstr(err.text, "\"momentum\" needs noise"));

    json = json_pack("{s:s, s:i}", "sampler", "sde-2m", "nfe", 20);
    assert_int_equal(sampling_from_json(json, NULL, &s, &err), -EINVAL);
    assert_non_null(strstr(err.text, "\"sde-2m\" needs noise"));
    json_decref(json);
    sampling_fini(&s);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_read_is_written),
        cmocka_unit_test(mistakes_are_refused),
        cmocka_unit_test(midway_the_default_is_never_tuned),
        cmocka_unit_test(without_noise_the_default_is_another),
        cmocka_unit_test(what_is_not_said_is_the_models),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
