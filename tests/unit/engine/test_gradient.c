/* Derivatives of whole programs against finite differences, on the reference device: every rule of
 * engine/gradient.c, values used several times, and sums over the chunks of a plan. */
#include "engine/gradient.h"
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/device.h"
#include "engine/parameters.h"
#include "tests/planned.h"
#include "engine/program.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

enum { N_IMAGES = 2, WRT_MAX = 8, PROBES = 12 };

static const float kernel[16] = {
    0.1f, -0.7f, 0.4f, 0.9f,  1.2f,  0.3f, -0.5f, 0.6f,
    0.8f, 0.2f,  1.1f, -0.4f, -0.9f, 0.5f, 0.7f,  -0.3f,
};

static int images(struct program *p, const char *name, int h, int w, int c)
{
    return program_input(p, name, shape_images(h, w, c), VALUE_COMPUTE);
}

static int exact_images(struct program *p, const char *name, int h, int w, int c)
{
    return program_input(p, name, shape_images(h, w, c), VALUE_EXACT);
}

static int parameter(struct program *p, const char *name, int n_dims, const int *dims)
{
    return program_parameter(p, name, shape_constant(n_dims, dims));
}

static int vector_parameter(struct program *p, const char *name, int n)
{
    return parameter(p, name, 1, &n);
}

/* The builders return y. Inputs with names in x are differentiated, and so are all parameters. */

static int build_convolution(struct program *p)
{
    const int weight = parameter(p, "weight", 4, (const int[]){3, 2, 3, 3});

    return program_convolution(p, images(p, "x", 5, 4, 2), weight, vector_parameter(p, "bias", 3),
                               1, 1, VALUE_EXACT);
}

static int build_strided_convolution(struct program *p)
{
    const int weight = parameter(p, "weight", 4, (const int[]){3, 2, 3, 3});

    return program_convolution(p, images(p, "x", 6, 7, 2), weight, -1, 2, 0, VALUE_COMPUTE);
}

static int build_linear(struct program *p)
{
    const int weight = parameter(p, "weight", 2, (const int[]){4, 3});

    return program_linear(p, images(p, "x", 2, 3, 3), weight, vector_parameter(p, "bias", 4),
                          false);
}

static int build_linear_in_first(struct program *p)
{
    const int weight = parameter(p, "weight", 2, (const int[]){3, 4});

    return program_linear(p, program_input(p, "x", shape_vectors(3), VALUE_EXACT), weight, -1,
                          true);
}

static int build_group_norm(struct program *p)
{
    const int shift = program_input(p, "x shift", shape_vectors(4), VALUE_EXACT);

    return program_group_norm(p, images(p, "x", 3, 4, 4), vector_parameter(p, "gamma", 4),
                              vector_parameter(p, "beta", 4), shift, 2, 1e-6f, true);
}

static int build_silu(struct program *p)
{
    return program_silu(p, images(p, "x", 3, 3, 2));
}

static int build_up(struct program *p)
{
    return program_upfirdn(p, images(p, "x", 3, 5, 2), kernel, 2, 1, (const int[]){2, 1, 2, 1});
}

static int build_down_odd(struct program *p)
{
    return program_upfirdn(p, images(p, "x", 7, 8, 2), kernel, 1, 2, (const int[]){1, 1, 1, 1});
}

static int build_crop(struct program *p)
{
    return program_upfirdn(p, images(p, "x", 7, 8, 1), kernel, 1, 1, (const int[]){-1, 2, 3, -2});
}

static int build_up_down(struct program *p)
{
    return program_upfirdn(p, images(p, "x", 4, 5, 1), kernel, 2, 2, (const int[]){2, 3, 1, 2});
}

static int build_concat(struct program *p)
{
    return program_concat(p, images(p, "x", 3, 2, 2), images(p, "x skip", 3, 2, 3));
}

static int build_attention(struct program *p)
{
    return program_attention(p, images(p, "x q", 2, 3, 4), images(p, "x k", 2, 3, 4),
                             images(p, "x v", 2, 3, 4), 0.5f);
}

static int build_add(struct program *p)
{
    return program_add(p, images(p, "x", 3, 2, 2), images(p, "x skip", 3, 2, 2), 0.70710678f);
}

static int build_affine(struct program *p)
{
    return program_affine(p, exact_images(p, "x", 3, 2, 2), 2, -1, VALUE_COMPUTE);
}

static int build_mix(struct program *p)
{
    const int coefficients = program_input(p, "coefficients", shape_vectors(4), VALUE_EXACT);
    const int x[] = {exact_images(p, "x", 3, 2, 2), exact_images(p, "x 1", 3, 2, 2)};

    return program_mix(p, coefficients, 1, 2, x, VALUE_EXACT);
}

static int build_multiply(struct program *p)
{
    return program_multiply(p, images(p, "x", 3, 2, 2), images(p, "mask", 3, 2, 1));
}

static int build_separable(struct program *p)
{
    const int a = program_input(p, "a", shape_batched(2, (const int[]){5, 3}), VALUE_EXACT);
    const int b = program_input(p, "b", shape_constant(2, (const int[]){2, 4}), VALUE_EXACT);

    return program_separable(p, exact_images(p, "x", 3, 4, 2), a, b, false);
}

static int build_separable_transposed(struct program *p)
{
    const int a = program_input(p, "a", shape_batched(2, (const int[]){5, 3}), VALUE_EXACT);
    const int b = program_input(p, "b", shape_batched(2, (const int[]){2, 4}), VALUE_EXACT);

    return program_separable(p, exact_images(p, "x", 5, 2, 2), a, b, true);
}

static int build_half_square(struct program *p)
{
    return program_half_square(p, exact_images(p, "x", 3, 2, 2),
                               program_input(p, "weight", shape_vectors(1), VALUE_EXACT));
}

/* x is used three times, one of them far from the others. (A parameter is used once.) */
static int build_shared(struct program *p)
{
    const int x = images(p, "x", 4, 4, 2);
    const int weight = parameter(p, "weight", 4, (const int[]){2, 2, 3, 3});
    const int y = program_silu(p, program_convolution(p, x, weight, -1, 1, 1, VALUE_COMPUTE));

    return program_add(p, program_concat(p, y, x), program_concat(p, x, y), 1);
}

static const struct row {
    const char *name;
    int (*build)(struct program *p);
    float step; /* large where y is linear or quadratic in x */
} rows[] = {
    {"convolution", build_convolution, 1},
    {"convolution with stride 2", build_strided_convolution, 1},
    {"linear", build_linear, 1},
    {"linear, in first", build_linear_in_first, 1},
    {"group norm", build_group_norm, 0x1p-6f},
    {"silu", build_silu, 0x1p-5f},
    {"upfirdn up", build_up, 1},
    {"upfirdn down, odd", build_down_odd, 1},
    {"upfirdn cropping", build_crop, 1},
    {"upfirdn up and down", build_up_down, 1},
    {"concat", build_concat, 1},
    {"attention", build_attention, 0x1p-4f},
    {"add", build_add, 1},
    {"affine", build_affine, 1},
    {"mix", build_mix, 1},
    {"multiply", build_multiply, 1},
    {"separable", build_separable, 1},
    {"separable, transposed", build_separable_transposed, 1},
    {"half square", build_half_square, 1},
    {"a value used several times", build_shared, 0x1p-5f},
};

/* A program with its derivative, made ready, and the host's copy of what goes in. */
struct bench {
    struct device *device;
    struct program *program;
    struct parameters *parameters;
    struct planned *plan;
    int y, dy;
    int n_wrt, wrt[WRT_MAX], gradients[WRT_MAX];
    float *cotangent;
    size_t y_count; /* of all images */
};

static size_t value_count(const struct program *p, int value)
{
    const struct shape *shape = &program_value(p, value)->shape;

    return shape_count(shape) * (shape->batched ? N_IMAGES : 1);
}

static float *draw(size_t n, uint32_t what)
{
    const struct philox_key key = philox_key(3, what, 0);
    float *x = malloc(n * sizeof(*x));

    assert_non_null(x);
    philox_normals(&key, 0, n, x);
    return x;
}

static int images_of(const struct program *p, int value)
{
    return program_value(p, value)->shape.batched ? N_IMAGES : 1;
}

static void succeed(int rc, const struct row *row, const struct error *err)
{
    if (rc != 0)
        fail_msg("%s: %s", row->name, err->text);
}

static void bench_init(struct bench *b, const struct row *row, int size)
{
    int outputs[1 + WRT_MAX], n_values;
    struct plan_options options = {.precision = PRECISION_FP32,
                                   .batch_max = N_IMAGES,
                                   .size = size,
                                   .outputs = outputs};
    struct error err = {""};
    struct shape shape;
    float *weights;

    memset(b, 0, sizeof(*b));
    succeed(device_open("reference", 1, NULL, &b->device, &err), row, &err);
    succeed(program_create(&b->program, &err), row, &err);
    b->y = row->build(b->program);
    succeed(program_check(b->program, &err), row, &err);
    shape = program_value(b->program, b->y)->shape;
    b->dy = program_input(b->program, "dy", shape, program_value(b->program, b->y)->type);
    n_values = program_n_values(b->program);
    for (int i = 0; i < n_values; i++) {
        const struct value *value = program_value(b->program, i);

        if (value->role == VALUE_PARAMETER ||
            (value->role == VALUE_INPUT && value->name[0] == 'x')) {
            assert_true(b->n_wrt < WRT_MAX);
            b->wrt[b->n_wrt++] = i;
        }
    }
    succeed(gradient_append(b->program, b->y, b->dy, b->n_wrt, b->wrt, b->gradients, &err), row,
            &err);
    succeed(parameters_create(b->device, b->program, &b->parameters, &err), row, &err);
    outputs[options.n_outputs++] = b->y;
    for (int i = 0; i < b->n_wrt; i++) {
        assert_true(b->gradients[i] >= 0);
        outputs[options.n_outputs++] = b->gradients[i];
    }
    succeed(planned_create(b->device, b->program, b->parameters, &options, &b->plan, &err), row,
            &err);
    b->y_count = value_count(b->program, b->y);
    b->cotangent = draw(b->y_count, (uint32_t)b->dy);
    for (int i = 0; i < n_values; i++) {
        const struct value *value = program_value(b->program, i);
        float *x;

        if (value->role != VALUE_INPUT)
            continue;
        x = draw(value_count(b->program, i), (uint32_t)i);
        succeed(planned_write(b->plan, i, 0, images_of(b->program, i), x, &err), row, &err);
        free(x);
    }
    weights = planned_take_weights(b->parameters);
    assert_non_null(weights);
    if (parameters_count(b->parameters) > 0) {
        float *x = draw(parameters_count(b->parameters), 1000);

        memcpy(weights, x, parameters_count(b->parameters) * sizeof(*x));
        free(x);
    }
    assert_int_equal(planned_put_weights(b->parameters, weights), 0);
    succeed(planned_run(b->plan, N_IMAGES, &err), row, &err);
}

static void bench_fini(struct bench *b)
{
    free(b->cotangent);
    planned_destroy(b->plan);
    parameters_destroy(b->parameters);
    program_destroy(b->program);
    device_close(b->device);
}

/* cotangent . y of the inputs as they stand. */
static double product(struct bench *b)
{
    float *y = malloc(b->y_count * sizeof(*y));
    double sum = 0;

    assert_non_null(y);
    assert_int_equal(planned_run(b->plan, N_IMAGES, NULL), 0);
    assert_int_equal(planned_read(b->plan, b->y, 0, N_IMAGES, y, NULL), 0);
    for (size_t i = 0; i < b->y_count; i++)
        sum += (double)y[i] * (double)b->cotangent[i];
    free(y);
    return sum;
}

/* Puts data, the content of an input or parameter, where the plan reads it. */
static void put(struct bench *b, int value, const float *data)
{
    const struct value *v = program_value(b->program, value);

    if (v->role == VALUE_PARAMETER) {
        const int i = parameters_find(b->parameters, v->name);
        float *weights = planned_take_weights(b->parameters);

        assert_non_null(weights);
        memcpy(weights + parameters_offset(b->parameters, i), data,
               value_count(b->program, value) * sizeof(*data));
        assert_int_equal(planned_put_weights(b->parameters, weights), 0);
    } else {
        assert_int_equal(planned_write(b->plan, value, 0, images_of(b->program, value), data, NULL),
                         0);
    }
}

/* What bench_init() put there. */
static float *content(struct bench *b, int value)
{
    const struct value *v = program_value(b->program, value);
    const size_t count = value_count(b->program, value);
    float *weights;

    if (v->role != VALUE_PARAMETER)
        return draw(count, (uint32_t)value);
    weights = planned_take_weights(b->parameters);
    assert_non_null(weights);
    memmove(weights,
            weights + parameters_offset(b->parameters, parameters_find(b->parameters, v->name)),
            count * sizeof(*weights));
    return weights;
}

static double quotient(struct bench *b, int value, float *data, size_t e, float step)
{
    static const double weights[] = {1, -8, 8, -1};
    static const float places[] = {-2, -1, 1, 2};
    const float kept = data[e];
    double sum = 0;

    for (int i = 0; i < 4; i++) {
        data[e] = kept + places[i] * step;
        put(b, value, data);
        sum += weights[i] * product(b);
    }
    data[e] = kept;
    put(b, value, data);
    return sum / (12 * (double)step);
}

static void check_gradient(struct bench *b, const struct row *row, int i)
{
    const int value = b->wrt[i], gradient = b->gradients[i];
    const size_t count = value_count(b->program, value);
    float *data = content(b, value), *got = malloc(count * sizeof(*got));
    double largest = 0;

    assert_non_null(got);
    assert_int_equal(value_count(b->program, gradient), count);
    assert_int_equal(planned_run(b->plan, N_IMAGES, NULL), 0);
    assert_int_equal(planned_read(b->plan, gradient, 0, images_of(b->program, gradient), got, NULL),
                     0);
    for (size_t e = 0; e < count; e++)
        largest = fmax(largest, fabs((double)got[e]));
    assert_true(largest > 0);
    for (size_t probe = 0; probe < PROBES; probe++) {
        const size_t e = probe * 7919 % count;
        const double want = quotient(b, value, data, e, row->step);

        /* Measured: below 2e-5. */
        if (!(fabs((double)got[e] - want) <= 1e-4 * largest))
            fail_msg("%s, gradient of \"%s\" at %zu: got %g, finite differences give %g", row->name,
                     program_value(b->program, value)->name, e, (double)got[e], want);
    }
    free(data);
    free(got);
}

static void gradients_agree_with_finite_differences(void **state)
{
    for (size_t r = 0; r < N_ELEMENTS(rows); r++) {
        for (int size = 1; size <= N_IMAGES; size++) {
            struct bench b;

            bench_init(&b, &rows[r], size);
            for (int i = 0; i < b.n_wrt; i++)
                check_gradient(&b, &rows[r], i);
            bench_fini(&b);
        }
    }
}

static void gradient_is_absent_where_y_does_not_depend(void **state)
{
    struct program *p;
    int x, other, y, dy, gradients[2];

    assert_int_equal(program_create(&p, NULL), 0);
    x = images(p, "x", 2, 2, 1);
    other = images(p, "other", 2, 2, 1);
    y = program_silu(p, x);
    dy = images(p, "dy", 2, 2, 1);
    assert_int_equal(gradient_append(p, y, dy, 2, (const int[]){x, other}, gradients, NULL), 0);
    assert_true(gradients[0] >= 0);
    assert_int_equal(gradients[1], -1);
    program_destroy(p);
}

static void gradient_names_what_has_none(void **state)
{
    struct error err = {""};
    struct program *p;
    int x, y, dy, gradient;

    assert_int_equal(program_create(&p, NULL), 0);
    x = images(p, "x", 2, 2, 3);
    y = program_slice(p, x, 1, 2);
    dy = images(p, "dy", 2, 2, 2);
    assert_int_equal(gradient_append(p, y, dy, 1, &x, &gradient, &err), -EINVAL);
    assert_non_null(strstr(err.text, "slice"));
    program_destroy(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_agree_with_finite_differences),
        cmocka_unit_test(gradient_is_absent_where_y_does_not_depend),
        cmocka_unit_test(gradient_names_what_has_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
