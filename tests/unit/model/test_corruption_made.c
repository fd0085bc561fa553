/* Corruptions made of something given: matrices from a list, and products of two. */
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/device.h"
#include "engine/gradient.h"
#include "engine/parameters.h"
#include "engine/program.h"
#include "model/corruption.h"
#include "model/denoiser.h"
#include "tests/planned.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

enum { SIDE = 4, CHANNELS = 2, SIZE = SIDE * SIDE * CHANNELS };

#define IDENTITY   "[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]"
#define NEIGHBOURS "[[0.5, 0.5, 0, 0], [0.5, 0, 0.5, 0], [0, 0.5, 0, 0.5], [0, 0, 0.5, 0.5]]"
#define FIRST_ONLY "[[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]"
#define MATRICES \
    "{\"name\": \"matrices\", \"matrices\": [" IDENTITY ", " NEIGHBOURS ", " FIRST_ONLY "]}"
#define BLUR "{\"corruption\": {\"name\": \"blur\", \"half_size\": 4}, \"levels\": [0, 0.5, 3]}"
#define MASK "{\"corruption\": {\"name\": \"mask\", \"order\": \"rows\"}, \"levels\": [16, 0]}"
#define PRODUCT(first, second) \
    "{\"name\": \"product\", \"first\": " first ", \"second\": " second "}"
#define LISTED "{\"corruption\": " MATRICES ", \"levels\": [0, 2]}"

static struct corruption *create(const char *text)
{
    json_t *json = json_loads(text, 0, NULL);
    struct corruption *c;
    struct error err;

    assert_non_null(json);
    if (corruption_create(json, SIDE, SIDE, &c, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    json_decref(json);
    return c;
}

static void draw(uint64_t seed, float x[SIZE])
{
    struct philox_key key = philox_key(seed, 0, 0);

    philox_normals(&key, PHILOX_STREAM_DATA, SIZE, x);
}

static void apply(const char *text, double level, const float *x, float *y)
{
    struct corruption *c = create(text);

    assert_int_equal(corruption_apply_host(c, level, CHANNELS, x, y, NULL), 0);
    corruption_destroy(c);
}

/* A X A of the neighbours' mean, and half the way to it. */
static void matrices_are_applied_to_both_axes(void **state)
{
    static const double neighbours[SIDE][SIDE] = {{0.5, 0.5, 0, 0},
                                                  {0.5, 0, 0.5, 0},
                                                  {0, 0.5, 0, 0.5},
                                                  {0, 0, 0.5, 0.5}};
    float x[SIZE], y[SIZE];

    draw(1, x);
    for (int half = 0; half < 2; half++) {
        apply(MATRICES, half ? 0.5 : 1, x, y);
        for (int e = 0; e < SIZE; e++) {
            int i = e / CHANNELS / SIDE, j = e / CHANNELS % SIDE;
            double sum = 0;

            for (int k = 0; k < SIDE; k++) {
                for (int l = 0; l < SIDE; l++) {
                    double a = neighbours[i][k], b = neighbours[j][l];

                    if (half) {
                        a = 0.5 * a + 0.5 * (i == k);
                        b = 0.5 * b + 0.5 * (j == l);
                    }
                    sum += a * b * (double)x[(k * SIDE + l) * CHANNELS + e % CHANNELS];
                }
            }
            assert_true(fabs((double)y[e] - sum) < 1e-6);
        }
    }
    apply(MATRICES, 2, x, y);
    for (int e = 0; e < SIZE; e++)
        assert_true(y[e] == (e < CHANNELS ? x[e] : 0));
}

/* One after the other, each with the level that it has there. */
static void products_are_applied_in_their_order(void **state)
{
    float x[SIZE], once[SIZE], twice[SIZE], y[SIZE];

    draw(2, x);
    apply("{\"name\": \"blur\", \"half_size\": 4}", 0.5 + 0.5 * 2.5, x, once); /* at 3/4 */
    apply("{\"name\": \"mask\", \"order\": \"rows\"}", 4, once, twice);
    apply(PRODUCT(BLUR, MASK), 0.25, x, y);
    for (int i = 0; i < SIZE; i++)
        assert_true(fabsf(y[i] - twice[i]) < 1e-6f);
    apply(PRODUCT(MASK, BLUR), 0.25, x, y); /* what is hidden first is then blurred */
    assert_true(y[SIZE - 1] != 0 && twice[SIZE - 1] == 0);
    apply(PRODUCT(BLUR, MASK), 1, x, y);
    assert_memory_equal(x, y, sizeof(x));
    apply(PRODUCT(BLUR, MASK), 0, x, y);
    for (int i = 0; i < SIZE; i++)
        assert_true(y[i] == 0);
}

/* y = C x and z = C^T v on a device. */
static void run(struct device *device, const struct corruption *c, double level, const float *x,
                const float *v, float *y, float *z)
{
    struct parameters *parameters;
    struct operator_values op;
    struct plan_options options = {.precision = PRECISION_FP32, .batch_max = 1};
    struct program *p;
    struct planned *plan;
    int in, dy, outputs[2];

    assert_int_equal(program_create(&p, NULL), 0);
    in = program_input(p, "x", shape_images(SIDE, SIDE, CHANNELS), VALUE_EXACT);
    dy = program_input(p, "v", shape_images(SIDE, SIDE, CHANNELS), VALUE_EXACT);
    op = corruption_inputs(c, p, "c", false);
    outputs[0] = corruption_apply(c, p, in, &op);
    assert_int_equal(gradient_append(p, outputs[0], dy, 1, &in, &outputs[1], NULL), 0);
    options.n_outputs = 2;
    options.outputs = outputs;
    assert_int_equal(parameters_create(device, p, &parameters, NULL), 0);
    assert_int_equal(planned_create(device, p, parameters, &options, &plan, NULL), 0);
    assert_int_equal(corruption_write_tables(c, parameters, NULL), 0);
    assert_int_equal(planned_write(plan, in, 0, 1, x, NULL), 0);
    assert_int_equal(planned_write(plan, dy, 0, 1, v, NULL), 0);
    operator_write(c, level, &op, plan->executor, 0);
    assert_int_equal(planned_run(plan, 1, NULL), 0);
    assert_int_equal(planned_read(plan, outputs[0], 0, 1, y, NULL), 0);
    assert_int_equal(planned_read(plan, outputs[1], 0, 1, z, NULL), 0);
    planned_destroy(plan);
    parameters_destroy(parameters);
    program_destroy(p);
}

static const char *const all[] =
    {MATRICES, PRODUCT(BLUR, MASK), PRODUCT(MASK, BLUR), PRODUCT(LISTED, MASK),
     PRODUCT("{\"corruption\": {\"name\": \"pixelate\"}, \"levels\": [0, 2]}",
             "{\"corruption\": {\"name\": \"fade\"}, \"levels\": [1, 0]}")};

/* The device has what the host has, and its adjoint is one: <C x, v> = <x, C^T v>. */
static void programs_compute_what_the_host_does(void **state)
{
    static const double levels[] = {1.3, 0.4, 0.4, 0.6, 0.35};
    static const char *const devices[] = {"reference", "cpu"};
    float x[SIZE], v[SIZE], y[SIZE], z[SIZE], want[SIZE];

    draw(3, x);
    draw(4, v);
    for (size_t d = 0; d < N_ELEMENTS(devices); d++) {
        struct device *device;

        assert_int_equal(device_open(devices[d], 1, NULL, &device, NULL), 0);
        for (size_t i = 0; i < N_ELEMENTS(all); i++) {
            struct corruption *c = create(all[i]);
            double forward = 0, backward = 0;

            run(device, c, levels[i], x, v, y, z);
            assert_int_equal(corruption_apply_host(c, levels[i], CHANNELS, x, want, NULL), 0);
            for (int e = 0; e < SIZE; e++) {
                assert_true(fabsf(y[e] - want[e]) <= 2e-6f);
                forward += (double)y[e] * (double)v[e];
                backward += (double)x[e] * (double)z[e];
            }
            assert_true(fabs(forward - backward) <= 1e-5);
            corruption_destroy(c);
        }
        device_close(device);
    }
}

static void json_comes_back(void **state)
{
    for (size_t i = 0; i < N_ELEMENTS(all); i++) {
        struct corruption *c = create(all[i]), *again;
        json_t *json = corruption_to_json(c);
        float x[SIZE], y[2][SIZE];
        double level = 0.5 * (corruption_clean_level(c) + corruption_last_level(c));

        assert_int_equal(corruption_create(json, SIDE, SIDE, &again, NULL), 0);
        draw(5, x);
        assert_int_equal(corruption_apply_host(c, level, CHANNELS, x, y[0], NULL), 0);
        assert_int_equal(corruption_apply_host(again, level, CHANNELS, x, y[1], NULL), 0);
        assert_memory_equal(y[0], y[1], sizeof(y[0]));
        json_decref(json);
        corruption_destroy(c);
        corruption_destroy(again);
    }
}

static void mistakes_are_named(void **state)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"{\"name\": \"matrices\"}", "\"matrices\" is missing"},
        {"{\"name\": \"matrices\", \"matrices\": [" IDENTITY "]}", "array of 2 .. 257"},
        {"{\"name\": \"matrices\", \"matrices\": [" NEIGHBOURS ", " NEIGHBOURS "]}",
         "the first is not the identity"},
        {"{\"name\": \"matrices\", \"matrices\": [" IDENTITY ", [[1, 2], [2, 1]]]}",
         "matrix 1 has not 4 rows of 4"},
        {"{\"name\": \"matrices\", \"matrices\": [" IDENTITY
         ", [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 2, 1]]]}",
         "matrix 1 is not symmetric at row 2"},
        {"{\"name\": \"matrices\", \"matrices\": [" IDENTITY
         ", [[1, 0, 0, 0], [0, \"x\", 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]]}",
         "something else than a number at row 1"},
        {"{\"name\": \"product\", \"first\": " BLUR "}", "\"second\" is missing"},
        {PRODUCT(BLUR, BLUR), "not \"blur\" twice"},
        {PRODUCT(BLUR, LISTED), "leaves something at its end"},
        {PRODUCT("{\"corruption\": {\"name\": \"noise\"}, \"levels\": [1, 1]}", MASK),
         "\"noise\" is no factor"},
        {PRODUCT("{\"corruption\": {\"name\": \"fade\"}, \"levels\": [0.5, 0]}", MASK),
         "does not begin at 1"},
        {PRODUCT("{\"corruption\": {\"name\": \"fade\"}, \"levels\": [1]}", MASK),
         "array of 2 .. 1024"},
        {PRODUCT("{\"corruption\": {\"name\": \"fade\"}, \"levels\": [1, 2]}", MASK),
         "levels from 1 to 0 at this size, element 1 is none"},
        {PRODUCT("{\"corruption\": {\"name\": \"fog\"}, \"levels\": [1, 2]}", MASK),
         "unknown name \"fog\""},
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        json_t *json = json_loads(rows[i].text, 0, NULL);
        struct corruption *c = NULL;
        struct error err = {""};

        assert_non_null(json);
        assert_int_equal(corruption_create(json, SIDE, SIDE, &c, &err), -EINVAL);
        if (!strstr(err.text, rows[i].why))
            fail_msg("%s: \"%s\", expected \"%s\"", rows[i].text, err.text, rows[i].why);
        json_decref(json);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(matrices_are_applied_to_both_axes),
        cmocka_unit_test(products_are_applied_in_their_order),
        cmocka_unit_test(programs_compute_what_the_host_does),
        cmocka_unit_test(json_comes_back),
        cmocka_unit_test(mistakes_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
