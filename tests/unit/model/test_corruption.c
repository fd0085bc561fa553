/* Corruptions: what their levels mean, and that host, operator and program are one thing. */
#include "engine/gradient.h"
#include "model/denoiser.h"
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/device.h"
#include "engine/parameters.h"
#include "tests/planned.h"
#include "engine/program.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

enum { H = 4, W = 6, CHANNELS = 2, SIZE = H * W * CHANNELS };

static struct corruption *create(const char *text, int h, int w)
{
    json_t *json = json_loads(text, 0, NULL);
    struct corruption *c;
    struct error err;

    if (corruption_create(json, h, w, &c, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    json_decref(json);
    return c;
}

static const char *const all[] = {
    "{\"name\": \"blur\", \"half_size\": 3}",
    "{\"name\": \"mask\", \"order\": \"spiral\"}",
    "{\"name\": \"mask\", \"order\": \"random\", \"seed\": 5}",
    "{\"name\": \"mask\", \"order\": \"rows\"}",
    "{\"name\": \"noise\"}",
    "{\"name\": \"vp\"}",
    "{\"name\": \"subvp\"}",
    "{\"name\": \"fade\"}",
    "{\"name\": \"blur-dct\"}",
    "{\"name\": \"pixelate\"}",
};

static void mistakes_are_named(void **state)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"[]", "not a JSON object"},
        {"{}", "\"name\" is missing"},
        {"{\"name\": 1}", "\"name\" is not a string"},
        {"{\"name\": \"fog\"}", "unknown name \"fog\""},
        {"{\"name\": \"blur\"}", "\"half_size\" is missing"},
        {"{\"name\": \"blur\", \"half_size\": -1}", "\"half_size\" is -1"},
        {"{\"name\": \"blur\", \"half_size\": 1e3}", "\"half_size\" is not an integer"},
        {"{\"name\": \"blur\", \"half_size\": 100000}", "\"half_size\" is 100000"},
        {"{\"name\": \"blur\", \"half_size\": 3, \"std\": 1}", "unknown key \"std\""},
        {"{\"name\": \"mask\"}", "\"order\" is missing"},
        {"{\"name\": \"mask\", \"order\": \"star\"}", "unknown order \"star\""},
        {"{\"name\": \"mask\", \"order\": \"random\"}", "\"seed\" is missing"},
        {"{\"name\": \"mask\", \"order\": \"rows\", \"seed\": 1}", "unknown key \"seed\""},
        {"{\"name\": \"mask\", \"order\": \"random\", \"seed\": -1}", "\"seed\" is -1"},
        {"{\"name\": \"noise\", \"half_size\": 3}", "unknown key \"half_size\""},
        {"{\"name\": \"blur-dct\", \"half_size\": 3}", "unknown key \"half_size\""},
        {"{\"name\": \"mask\", \"order\": \"list\"}", "\"ranks\" is missing"},
        {"{\"name\": \"mask\", \"order\": \"list\", \"ranks\": [0]}", "array of 4 x 6 numbers"},
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        json_t *json = json_loads(rows[i].text, 0, NULL);
        struct corruption *c = NULL;
        struct error err = {""};

        assert_int_equal(corruption_create(json, H, W, &c, &err), -EINVAL);
        assert_null(c);
        if (!strstr(err.text, rows[i].why))
            fail_msg("%s: \"%s\", expected \"%s\"", rows[i].text, err.text, rows[i].why);
        json_decref(json);
    }
}

static void json_comes_back(void **state)
{
    for (size_t i = 0; i < N_ELEMENTS(all); i++) {
        struct corruption *c = create(all[i], H, W);
        json_t *json = json_loads(all[i], 0, NULL), *back = corruption_to_json(c);

        assert_true(json_equal(json, back));
        assert_string_equal(corruption_name(c), json_string_value(json_object_get(json, "name")));
        json_decref(json);
        json_decref(back);
        corruption_destroy(c);
    }
}

static void images(float x[SIZE])
{
    struct philox_key key = philox_key(2, 0, 0);

    philox_normals(&key, PHILOX_STREAM_DATA, SIZE, x);
}

static void the_clean_level_is_the_identity(void **state)
{
    float x[SIZE], y[SIZE];

    images(x);
    for (size_t i = 0; i < N_ELEMENTS(all); i++) {
        struct corruption *c = create(all[i], H, W);

        assert_int_equal(corruption_apply_host(c, corruption_clean_level(c), CHANNELS, x, y, NULL),
                         0);
        assert_memory_equal(x, y, sizeof(x));
        corruption_destroy(c);
    }
}

/* The matrix of a blur's height, [n,n]. */
static void blur_matrix(int n, double std, int half_size, float *out)
{
    char text[64];
    float width;
    struct corruption *c;

    snprintf(text, sizeof(text), "{\"name\": \"blur\", \"half_size\": %d}", half_size);
    c = create(text, n, 1);
    corruption_operator(c, std, out, &width);
    corruption_destroy(c);
}

/* Standard deviations at which a careless formula divides 0 by 0. */
static void a_blur_too_mild_to_see_is_the_identity(void **state)
{
    static const double rows[] = {0, 1e-320, 1e-200, 1e-30, 0.01};

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        float b[25];

        blur_matrix(5, rows[i], 80, b);
        for (int j = 0; j < 25; j++)
            assert_true(b[j] == (j % 6 == 0 ? 1 : 0));
    }
}

static void a_blur_is_normalised_before_it_is_cut(void **state)
{
    float b[9 * 9];
    double sum = 0, z = 1 + 2 * exp(-0.125) + 2 * exp(-0.5);

    blur_matrix(9, 2, 2, b); /* five taps, std 2 */
    for (int j = 0; j < 9; j++)
        sum += (double)b[4 * 9 + j];
    assert_true(fabs(sum - 1) < 1e-7);
    assert_true(fabs((double)b[4 * 9 + 6] - exp(-0.5) / z) < 1e-8);
    assert_true(b[4 * 9 + 7] == 0);
    for (int i = 0; i < 81; i++)
        assert_true(b[i] == b[i % 9 * 9 + i / 9]);
    sum = (double)(b[0] + b[1] + b[2]); /* a corner loses what lies outside: zero padding */
    assert_true(fabs(sum - (1 + exp(-0.125) + exp(-0.5)) / z) < 1e-6);
}

/* Rank of every pixel: how many are seen before it. */
static void ranks(const struct corruption *c, int n, int *rank)
{
    float *m = malloc((size_t)n * sizeof(*m));

    for (int i = 0; i < n; i++)
        rank[i] = 0;
    for (int level = 0; level < n; level++) {
        int visible = 0;

        corruption_operator(c, level, m, NULL);
        for (int i = 0; i < n; i++) {
            assert_true(m[i] == 0 || m[i] == 1);
            visible += m[i] == 1;
            rank[i] += m[i] == 0;
        }
        assert_int_equal(visible, level);
    }
    for (int i = 0; i < n; i++)
        rank[i]--; /* level 0 hides all */
    free(m);
}

static void masks_grow_in_their_order(void **state)
{
    static const int spiral[H * W] = {
        19, 6,  7,  8,  9,  20, /* */
        18, 5,  0,  1,  10, 21, /* */
        17, 4,  3,  2,  11, 22, /* */
        16, 15, 14, 13, 12, 23,
    };
    struct corruption *c = create(all[1], H, W);
    int rank[H * W], seen[H * W] = {0}, again[H * W];

    ranks(c, H * W, rank);
    assert_memory_equal(rank, spiral, sizeof(rank));
    corruption_destroy(c);

    c = create(all[3], H, W);
    ranks(c, H * W, rank);
    for (int i = 0; i < H * W; i++)
        assert_int_equal(rank[i], i);
    corruption_destroy(c);

    c = create(all[2], H, W);
    ranks(c, H * W, rank);
    corruption_destroy(c);
    for (int i = 0; i < H * W; i++)
        assert_int_equal(seen[rank[i]]++, 0);
    c = create("{\"name\": \"mask\", \"order\": \"random\", \"seed\": 6}", H, W);
    ranks(c, H * W, again);
    corruption_destroy(c);
    assert_true(memcmp(rank, again, sizeof(rank)) != 0);
}

static void a_mask_between_two_pixels_is_soft(void **state)
{
    struct corruption *c = create(all[3], H, W);
    float m[H * W];

    corruption_operator(c, 2.25, m, NULL);
    assert_true(m[0] == 1 && m[1] == 1 && m[2] == 0.25f && m[3] == 0);
    corruption_operator(c, -1, m, NULL);
    assert_true(m[0] == 0);
    corruption_destroy(c);
}

/* As the list says; and a list that is no permutation is refused. */
static void a_mask_follows_its_list(void **state)
{
    static const char *const wrong[] = {"[0, 1, 2, 2]",   "[0, 1, 2, 4]", "[0, 1, 2, -1]",
                                        "[0, 1, 2, 3.5]", "[0, 1, 2]",    "{}"};
    struct corruption *c =
        create("{\"name\": \"mask\", \"order\": \"list\", \"ranks\": [3, 0, 2, 1]}", 2, 2);
    json_t *json = corruption_to_json(c);
    int rank[4];

    ranks(c, 4, rank);
    assert_memory_equal(rank, ((const int[]){3, 0, 2, 1}), sizeof(rank));
    assert_int_equal(json_array_size(json_object_get(json, "ranks")), 4);
    corruption_destroy(c);
    for (size_t i = 0; i < N_ELEMENTS(wrong); i++) {
        struct error err = {""};

        json_object_set_new(json, "ranks", json_loads(wrong[i], 0, NULL));
        assert_int_equal(corruption_create(json, 2, 2, &c, &err), -EINVAL);
        assert_non_null(strstr(err.text, "ranks"));
    }
    json_decref(json);
}

/* An image of one cosine wave keeps its form, and as much of it as the formula says. */
static void a_blur_with_mirrors_leaves_waves_alone(void **state)
{
    enum { N = 9 };
    const double pi = 3.14159265358979323846, std = 1.3;
    struct corruption *c = create("{\"name\": \"blur-dct\"}", N, N);
    float x[N * N], y[N * N];

    for (int k = 0; k < N; k++) {
        double frequency = pi * k / N, kept = exp(-0.5 * std * std * frequency * frequency);

        for (int i = 0; i < N * N; i++)
            x[i] = (float)cos(frequency * (i % N + 0.5)); /* alike in all rows */
        assert_int_equal(corruption_apply_host(c, std, 1, x, y, NULL), 0);
        for (int i = 0; i < N * N; i++)
            assert_true(fabs((double)y[i] - kept * (double)x[i]) < 1e-6);
    }
    corruption_destroy(c);
}

/* Blocks of two, of four, half way between them, and no larger ones than the side has. */
static void pixels_become_blocks(void **state)
{
    enum { N = 12 };
    struct corruption *c = create("{\"name\": \"pixelate\"}", N, N);
    float x[N * N], two[N * N], four[N * N], between[N * N], more[N * N];

    for (int i = 0; i < N * N; i++)
        x[i] = (float)(i * i % 31);
    assert_true(corruption_last_level(c) == 2);
    assert_int_equal(corruption_apply_host(c, 1, 1, x, two, NULL), 0);
    assert_int_equal(corruption_apply_host(c, 2, 1, x, four, NULL), 0);
    assert_int_equal(corruption_apply_host(c, 7, 1, x, more, NULL), 0);
    assert_memory_equal(four, more, sizeof(four));
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            const float *from = x + (i & ~1) * N + (j & ~1);
            float sum = 0, mean = (from[0] + from[1] + from[N] + from[N + 1]) / 4;

            assert_true(fabsf(two[i * N + j] - mean) < 1e-5f);
            for (int k = 0; k < 16; k++)
                sum += x[((i & ~3) + k / 4) * N + (j & ~3) + k % 4];
            assert_true(fabsf(four[i * N + j] - sum / 16) < 1e-5f);
        }
    }
    /* Along one axis at a time the line between both. */
    for (int i = 0; i < N * N; i++)
        x[i] = (float)(i % N);
    assert_int_equal(corruption_apply_host(c, 1, 1, x, two, NULL), 0);
    assert_int_equal(corruption_apply_host(c, 2, 1, x, four, NULL), 0);
    assert_int_equal(corruption_apply_host(c, 1.25, 1, x, between, NULL), 0);
    for (int i = 0; i < N * N; i++)
        assert_true(fabsf(between[i] - (0.75f * two[i] + 0.25f * four[i])) < 1e-5f);
    corruption_destroy(c);
}

static void odd_sides_have_no_blocks(void **state)
{
    json_t *json = json_pack("{s:s}", "name", "pixelate");
    struct corruption *c;
    struct error err;

    assert_int_equal(corruption_create(json, 9, 8, &c, &err), -EINVAL);
    assert_non_null(strstr(err.text, "9 x 8"));
    json_decref(json);
}

/* Applies C and its adjoint on a device and compares with the host. */
static void check_program(struct device *device, const struct corruption *c, double level)
{
    float x[SIZE], want[SIZE], y[SIZE];
    struct parameters *parameters;
    struct operator_values op;
    struct plan_options options = {.precision = PRECISION_FP32, .batch_max = 1};
    struct program *p;
    struct planned *plan;
    int in, outputs[2];

    images(x);
    assert_int_equal(program_create(&p, NULL), 0);
    in = program_input(p, "x", shape_images(H, W, CHANNELS), VALUE_EXACT);
    op = corruption_inputs(c, p, "c", true);
    outputs[0] = corruption_apply(c, p, in, &op);
    assert_int_equal(gradient_append(p, outputs[0], in, 1, &in, &outputs[1], NULL), 0);
    options.n_outputs = 2;
    options.outputs = outputs;
    assert_int_equal(parameters_create(device, p, &parameters, NULL), 0);
    assert_int_equal(planned_create(device, p, parameters, &options, &plan, NULL), 0);
    assert_int_equal(corruption_write_tables(c, parameters, NULL), 0);
    assert_int_equal(planned_write(plan, in, 0, 1, x, NULL), 0);
    operator_write(c, level, &op, plan->executor, 0);
    assert_int_equal(planned_run(plan, 1, NULL), 0);
    assert_int_equal(corruption_apply_host(c, level, CHANNELS, x, want, NULL), 0);
    for (int o = 0; o < 2; o++) { /* all of ours are symmetric */
        assert_int_equal(planned_read(plan, outputs[o], 0, 1, y, NULL), 0);
        for (int i = 0; i < SIZE; i++)
            assert_true(fabsf(y[i] - want[i]) <= 1e-6f);
    }
    if (op.gate >= 0) { /* closed: nothing comes through */
        const float closed = 0;

        operator_write(c, level, &op, plan->executor, 0);
        assert_int_equal(planned_write(plan, op.gate, 0, 1, &closed, NULL), 0);
        assert_int_equal(planned_run(plan, 1, NULL), 0);
        assert_int_equal(planned_read(plan, outputs[0], 0, 1, y, NULL), 0);
        for (int i = 0; i < SIZE; i++)
            assert_true(y[i] == 0);
    }
    planned_destroy(plan);
    parameters_destroy(parameters);
    program_destroy(p);
}

static void programs_compute_what_the_host_does(void **state)
{
    static const double levels[N_ELEMENTS(all)] = {1.5, 7.5, 7.5, 7.5, 1, 0.7, 0.7, 0.4, 1.5, 0.3};
    static const char *const devices[] = {"reference", "cpu"};

    for (size_t d = 0; d < N_ELEMENTS(devices); d++) {
        struct device *device;

        assert_int_equal(device_open(devices[d], 1, NULL, &device, NULL), 0);
        for (size_t i = 0; i < N_ELEMENTS(all); i++) {
            struct corruption *c = create(all[i], H, W);

            check_program(device, c, levels[i]);
            corruption_destroy(c);
        }
        device_close(device);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(json_comes_back),
        cmocka_unit_test(the_clean_level_is_the_identity),
        cmocka_unit_test(a_blur_too_mild_to_see_is_the_identity),
        cmocka_unit_test(a_blur_is_normalised_before_it_is_cut),
        cmocka_unit_test(masks_grow_in_their_order),
        cmocka_unit_test(a_mask_between_two_pixels_is_soft),
        cmocka_unit_test(a_mask_follows_its_list),
        cmocka_unit_test(a_blur_with_mirrors_leaves_waves_alone),
        cmocka_unit_test(pixels_become_blocks),
        cmocka_unit_test(odd_sides_have_no_blocks),
        cmocka_unit_test(programs_compute_what_the_host_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
