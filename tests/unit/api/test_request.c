/* Bodies of POST /v1/samples: what is accepted, and that every mistake is told, by its field. */
#include "api/request.h"

#include "api/problem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct samples_limits limits = {.n_max = 16,
                                             .job_n_max = 1000,
                                             .nfe_max = 100,
                                             .timeout_max_ms = 60000};

static int parse(const char *body, size_t size, struct samples_request *out,
                 struct problem *problem)
{
    char *exact = malloc(size + 1); /* no NUL after the body, so that a sanitizer sees overreads */
    int rc;

    assert_non_null(exact);
    memcpy(exact, body, size);
    memset(problem, 0, sizeof(*problem));
    rc = samples_request_parse(exact, size, REQUEST_SAMPLES, &limits, out, problem);
    free(exact);
    assert_int_equal(rc, problem->status ? -EINVAL : 0);
    return rc;
}

static void test_defaults(void **state)
{
    static const char *const bodies[] = {
        "",
        "{}",
        " { } ",
        ("{\"seed\": null, \"n\": null, \"nfe\": null, \"timeout_ms\": null, \"sampler\": null, "
         "\"corruption\": null, \"model\": null, \"on_disconnect\": null}"),
        "{\"on_disconnect\": \"cancel\"}",
    };
    struct samples_request r;
    struct problem problem;

    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        assert_int_equal(parse(bodies[i], strlen(bodies[i]), &r, &problem), 0);
        assert_false(r.has_seed);
        assert_int_equal(r.n, 1);
        assert_int_equal(r.nfe, 0);
        assert_int_equal(r.timeout_ms, 60000);
        assert_string_equal(r.sampler, "");
        assert_string_equal(r.model, "");
        assert_string_equal(r.corruption, "");
        assert_false(r.finish);
    }
}

static void test_whole_numbers_with_a_point(void **state)
{
    static const char body[] = "{\"n\": 16.0, \"nfe\": 1e2, \"timeout_ms\": 0.1e2, "
                               "\"on_disconnect\": \"finish\"}";
    struct samples_request r;
    struct problem problem;

    assert_int_equal(parse(body, strlen(body), &r, &problem), 0);
    assert_int_equal(r.n, 16);
    assert_int_equal(r.nfe, 100);
    assert_int_equal(r.timeout_ms, 10);
    assert_true(r.finish);
}

static void test_all_fields(void **state)
{
    static const char body[] = "{\"seed\": 7, \"n\": 16, \"nfe\": 100, \"timeout_ms\": 1, "
                               "\"sampler\": \"momentum\", \"corruption\": \"blur\", "
                               "\"model\": \"faces\"}";
    struct samples_request r;
    struct problem problem;

    assert_int_equal(parse(body, strlen(body), &r, &problem), 0);
    assert_true(r.has_seed);
    assert_int_equal(r.seed, 7);
    assert_int_equal(r.n, 16);
    assert_int_equal(r.nfe, 100);
    assert_int_equal(r.timeout_ms, 1);
    assert_string_equal(r.sampler, "momentum");
    assert_string_equal(r.corruption, "blur");
    assert_string_equal(r.model, "faces");
}

static void test_seeds(void **state)
{
    static const struct {
        const char *body;
        uint64_t seed;
    } rows[] = {
        {"{\"seed\":0}", 0},
        {"{\"seed\":9007199254740993}", UINT64_C(9007199254740993)},
        {"{\"seed\":9223372036854775807}", UINT64_C(9223372036854775807)},
        {"{\"seed\":9223372036854775808}", UINT64_C(1) << 63},
        {"{\"seed\" : 18446744073709551615 }", UINT64_MAX},
        {"{\"seed\":49.0}", 49},
        {"{\"seed\":1e3}", 1000},
        {"{\"seed\":\"0\"}", 0},
        {"{\"seed\":\"007\"}", 7},
        {"{\"seed\":\"18446744073709551615\"}", UINT64_MAX},
    };
    struct samples_request r;
    struct problem problem;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(parse(rows[i].body, strlen(rows[i].body), &r, &problem), 0);
        assert_true(r.has_seed);
        assert_true(r.seed == rows[i].seed);
    }
}

static void test_two_seeds(void **state)
{
    static const struct {
        const char *body;
        uint64_t seed_b;
        int mix;
    } rows[] = {
        {"{\"seed_b\":9}", 9, 500000},
        {"{\"seed_b\":18446744073709551615,\"mix\":0.25}", UINT64_MAX, 250000},
        {"{\"mix\":0.3,\"seed_b\":\"7\"}", 7, 300000},
        {"{\"seed_b\":0,\"mix\":0}", 0, 0},
        {"{\"seed_b\":1,\"mix\":1}", 1, 1000000},
        {"{\"seed_b\":1,\"mix\":0.1234564}", 1, 123456},
        {"{\"seed_b\":1,\"mix\":0.9999999}", 1, 1000000},
        {"{\"seed_b\":1,\"mix\":null}", 1, 500000},
    };
    struct samples_request r;
    struct problem problem;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(parse(rows[i].body, strlen(rows[i].body), &r, &problem), 0);
        assert_true(r.has_seed_b && !r.has_seed);
        assert_true(r.seed_b == rows[i].seed_b);
        assert_int_equal(r.mix, rows[i].mix);
    }
    assert_int_equal(parse("{}", 2, &r, &problem), 0);
    assert_true(!r.has_seed_b && r.mix == 0);
    assert_int_equal(parse("", 0, &r, &problem), 0);
    assert_int_equal(r.mix, 0);
}

static void test_mistakes(void **state)
{
    static const struct {
        const char *body;
        int status;
        const char *field; /* the only bad one; NULL: the whole body */
    } rows[] = {
        {"{", 400, NULL},
        {"{}x", 400, NULL},
        {"nonsense", 400, NULL},
        {"{\"n\":1,\"n\":2}", 400, NULL},         /* parsers disagree on which counts */
        {"{\"model\":\"a\\u0000b\"}", 400, NULL}, /* a NUL would cut the name */
        {"{\"model\":\"\xff\"}", 400, NULL},
        {"{\"n\":01}", 400, NULL},
        {"{\"n\":NaN}", 400, NULL},
        {"[]", 422, NULL},
        {"{\"seed\":18446744073709551616}", 422, "seed"},
        {"{\"seed\":0018446744073709551615}", 400, NULL},
        {"{\"n\":18446744073709551615}", 422, NULL}, /* beyond the parser */
        {"{\"seed\":1e400}", 422, NULL},
        {"{\"seed\":-1}", 422, "seed"},
        {"{\"seed\":1.5}", 422, "seed"},
        {"{\"seed\":1e19}", 422, "seed"}, /* which of the integers there? */
        {"{\"n\":1.5}", 422, "n"},
        {"{\"n\":1e9}", 422, "n"},
        {"{\"nfe\":-0.0}", 422, "nfe"},
        {"{\"Seed\":null}", 422, "Seed"},
        {"{\"on_disconnect\":\"stay\"}", 422, "on_disconnect"},
        {"{\"on_disconnect\":true}", 422, "on_disconnect"},
        {"{\"seed\":true}", 422, "seed"},
        {"{\"seed\":\"\"}", 422, "seed"},
        {"{\"seed\":\"-1\"}", 422, "seed"},
        {"{\"seed\":\"+1\"}", 422, "seed"},
        {"{\"seed\":\" 1\"}", 422, "seed"},
        {"{\"seed\":\"0x10\"}", 422, "seed"},
        {"{\"seed\":\"18446744073709551616\"}", 422, "seed"},
        {"{\"seed\":\"99999999999999999999\"}", 422, "seed"},
        {"{\"seed\":\"000000000000000000001\"}", 422, "seed"},
        {"{\"mix\":0.5}", 422, "mix"}, /* of what? */
        {"{\"seed_b\":null,\"mix\":0}", 422, "mix"},
        {"{\"seed_b\":-1}", 422, "seed_b"},
        {"{\"seed_b\":1,\"mix\":1.1}", 422, "mix"},
        {"{\"seed_b\":1,\"mix\":-1e-9}", 422, "mix"},
        {"{\"seed_b\":1,\"mix\":\"0.5\"}", 422, "mix"},
        {"{\"seed_b\":1,\"mix\":true}", 422, "mix"},
        {"{\"n\":0}", 422, "n"},
        {"{\"n\":17}", 422, "n"},
        {"{\"n\":\"1\"}", 422, "n"},
        {"{\"n\":4294967297}", 422, "n"}, /* 1 if cut to 32 bits */
        {"{\"nfe\":0}", 422, "nfe"},
        {"{\"nfe\":101}", 422, "nfe"},
        {"{\"nfe\":10.5}", 422, "nfe"},
        {"{\"timeout_ms\":0}", 422, "timeout_ms"},
        {"{\"timeout_ms\":60001}", 422, "timeout_ms"},
        {"{\"sampler\":1}", 422, "sampler"},
        {"{\"sampler\":\"\"}", 422, "sampler"},
        {"{\"model\":[]}", 422, "model"},
        {"{\"corruption\":{}}", 422, "corruption"},
        {"{\"Seed\":1}", 422, "Seed"},
        {"{\"prompt\":\"a cat\"}", 422, "prompt"},
    };
    struct samples_request r;
    struct problem problem;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        print_message("# body %s\n", rows[i].body);
        parse(rows[i].body, strlen(rows[i].body), &r, &problem);
        assert_int_equal(problem.status, rows[i].status);
        assert_int_equal(problem.n_fields, rows[i].field ? 1 : 0);
        if (rows[i].field)
            assert_string_equal(problem.fields[0].name, rows[i].field);
        assert_true(*problem.detail);
    }
}

static void test_every_mistake_is_told(void **state)
{
    static const char body[] = "{\"seed\":-1,\"n\":0,\"nfe\":0,\"timeout_ms\":0,\"sampler\":1,"
                               "\"corruption\":1,\"model\":1,\"x\":1}";
    struct samples_request r;
    struct problem problem;

    assert_int_equal(parse(body, strlen(body), &r, &problem), -EINVAL);
    assert_int_equal(problem.status, 422);
    assert_int_equal(problem.n_fields, 8);
}

/* A name of the greatest length passes, one byte more does not; long and many unknown fields do
 * not overrun the problem, and its text stays UTF-8. */
static void test_sizes(void **state)
{
    struct samples_request r;
    struct problem problem;
    char body[16384], *text;
    size_t used;

    for (int over = 0; over <= 1; over++) {
        used = (size_t)snprintf(body, sizeof(body), "{\"sampler\":\"%0*d\"}",
                                LIMITS_NAME_BYTES + over, 0);
        assert_int_equal(parse(body, used, &r, &problem), over ? -EINVAL : 0);
        used = (size_t)snprintf(body, sizeof(body), "{\"model\":\"%0*d\"}",
                                LIMITS_MODEL_BYTES + over, 0);
        assert_int_equal(parse(body, used, &r, &problem), over ? -EINVAL : 0);
    }
    body[0] = '{';
    used = 1;
    for (size_t i = 0; i < 40; i++) {
        used += (size_t)snprintf(body + used, sizeof(body) - used, "%s\"%zu", i ? "," : "", i);
        while (used % 300 != 0) {
            memcpy(body + used, "\xc3\xa4", 2); /* odd and even starts: some cut in the middle */
            used += 2;
            if (used % 300 == 299)
                body[used++] = 'x';
        }
        used += (size_t)snprintf(body + used, sizeof(body) - used, "\":1");
    }
    body[used++] = '}';
    assert_int_equal(parse(body, used, &r, &problem), -EINVAL);
    assert_int_equal(problem.n_fields, PROBLEM_FIELDS_MAX);
    text = problem_to_json(&problem, "id");
    assert_non_null(text);
    free(text);
}

static void test_problem_document(void **state)
{
    struct problem problem = {0};
    char *text;

    problem_set(&problem, 404, "no \"%s\" here", "x");
    text = problem_to_json(&problem, "r-1");
    assert_string_equal(text, "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,"
                              "\"detail\":\"no \\\"x\\\" here\",\"request_id\":\"r-1\"}");
    free(text);
    problem_add_field(&problem, "nfe", "is %d", 3);
    text = problem_to_json(&problem, NULL);
    assert_non_null(strstr(text, "\"status\":422"));
    assert_non_null(strstr(text, "\"errors\":[{\"field\":\"nfe\",\"detail\":\"is 3\"}]"));
    assert_null(strstr(text, "request_id"));
    free(text);
}

/* jansson quotes the body up to where it is wrong, which may be within a character. */
static void test_problem_with_half_a_character(void **state)
{
    static const char *const bodies[] = {
        "{\"a\":\"\\ude0\xc3\xa4\"}", "{\"\xc3\xa4\\q\xc3\xa4\":1}",
        "{\"a\":\xe2\x82\xac}",       "{\"a\":\"\xc3\"}",
        "\xf0\x9f\x98\x80",
    };
    struct samples_request r;

    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct problem problem = {0};
        char *text;

        assert_int_equal(parse(bodies[i], strlen(bodies[i]), &r, &problem), -EINVAL);
        text = problem_to_json(&problem, NULL);
        assert_non_null(text);
        free(text);
    }
}

/* The table says which form has which fields. */
static void test_forms(void **state)
{
    static const char images[] =
        "{\"prompt\": \"a\", \"quality\": 1, \"style\": null, \"n\": 2, \"size\": \"8x8\", "
        "\"response_format\": \"url\", \"output_format\": \"png\", \"seed\": 18446744073709551615}";
    struct problem problem = {0};
    struct samples_request r;

    assert_int_equal(samples_request_parse(images, strlen(images), REQUEST_IMAGES, &limits, &r,
                                           &problem),
                     0);
    assert_int_equal(r.n, 2);
    assert_string_equal(r.size, "8x8");
    assert_int_equal(r.format, REQUEST_FORMAT_URL);
    assert_true(r.seed == UINT64_MAX);
    assert_int_equal(__builtin_popcount(r.ignored), 2);
    for (int i = 0; i < 32; i++)
        if (r.ignored & (1u << i))
            assert_non_null(samples_request_ignored(i));
    assert_int_equal(samples_request_parse(images, strlen(images), REQUEST_SAMPLES, &limits, &r,
                                           &problem),
                     -EINVAL);
    assert_int_equal(problem.n_fields, 6);

    memset(&problem, 0, sizeof(problem));
    assert_int_equal(samples_request_parse_query("nfe=7&sampler=a&determinism=b", &limits, &r,
                                                 &problem),
                     0);
    assert_int_equal(r.nfe, 7);
    assert_string_equal(r.sampler, "a");
    assert_string_equal(r.determinism, "b");
    problem = (struct problem){0};
    assert_int_equal(samples_request_parse_query("seed_b=18446744073709551615&mix=0.3", &limits, &r,
                                                 &problem),
                     0);
    assert_true(r.seed_b == UINT64_MAX && r.mix == 300000);
    for (size_t j = 0; j < 7; j++) {
        static const char *const bad[] = {"seed_b=1&mix=",  "seed_b=1&mix=.", "seed_b=1&mix=0.5.5",
                                          "seed_b=1&mix=2", "mix=0.5",        "seed_b=1&mix=1e-1",
                                          "seed_b=x"};

        problem = (struct problem){0};
        assert_int_equal(samples_request_parse_query(bad[j], &limits, &r, &problem), -EINVAL);
        assert_int_equal(problem.status, 422);
        assert_int_equal(problem.n_fields, 1);
    }
    problem = (struct problem){0};
    assert_int_equal(samples_request_parse_query("seed=7&prompt=a&model=b&n=1&timeout_ms=1",
                                                 &limits, &r, &problem),
                     -EINVAL);
    assert_int_equal(problem.n_fields, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_all_fields),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_whole_numbers_with_a_point),
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_two_seeds),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_every_mistake_is_told),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_problem_document),
        cmocka_unit_test(test_problem_with_half_a_character),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
