/* Programs, gradients and plans on small closed forms, on every device. */
#include "tests/planned.h"
#include "engine/base/error.h"
#include "engine/choices.h"
#include "engine/gradient.h"
#include "engine/parameters.h"
#include "engine/program.h"
#include "tests/unit/devices.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 7, C = 4 };

static struct program *new_program(void)
{
    struct program *p;

    assert_int_equal(program_create(&p, NULL), 0);
    return p;
}

static void check_ok(const struct program *p)
{
    struct error err;

    if (program_check(p, &err) < 0)
        fail_msg("%s", err.text);
}

/* The first mistake is kept, and nothing after it does harm. */
static void test_first_error_stays(void **state)
{
    struct program *p = new_program();
    int x = program_input(p, "x", shape_images(4, 4, C), VALUE_EXACT);
    int y = program_input(p, "y", shape_images(5, 4, C), VALUE_EXACT);
    struct error err;

    assert_int_equal(program_add(p, x, y, 1.0f), -1);
    assert_int_equal(program_input(p, "x", shape_vectors(1), VALUE_EXACT), -1);
    assert_int_equal(program_check(p, &err), -EINVAL);
    assert_string_equal(err.text,
                        "add: input 1, exact [n,5,4,4], does not fit a:n* with * = 4,4,4");
    program_destroy(p);
}

static void expect_refused(struct program *p, const char *text)
{
    struct error err;

    assert_int_equal(program_check(p, &err), -EINVAL);
    if (!strstr(err.text, text))
        fail_msg("\"%s\" does not speak of \"%s\"", err.text, text);
    program_destroy(p);
}

static void test_refusals(void **state)
{
    static const float kernel[16];
    struct program *p = new_program();

    program_input(p, "x", shape_vectors(1), VALUE_EXACT);
    program_input(p, "x", shape_vectors(1), VALUE_EXACT);
    expect_refused(p, "\"x\"");

    p = new_program();
    program_input(p, "x", shape_images(0, 4, 4), VALUE_EXACT);
    expect_refused(p, "no valid shape");

    p = new_program();
    program_max_pool(p, program_input(p, "x", shape_images(2, 4, 3), VALUE_EXACT), 3, 2);
    expect_refused(p, "larger than a 2x4 image");

    p = new_program();
    program_convolution(p, program_input(p, "x", shape_images(4, 4, 3), VALUE_COMPUTE),
                        program_parameter(p, "w", shape_constant(4, (const int[]){8, 4, 3, 3})), -1,
                        1, 1, VALUE_COMPUTE);
    expect_refused(p, "input 1, parameter [8,4,3,3], does not fit P:oikk with i = 3 (with \"w\")");

    p = new_program();
    program_upfirdn(p, program_input(p, "x", shape_images(2, 2, 3), VALUE_COMPUTE), kernel, 1, 2,
                    (const int[4]){0, 0, 0, 0});
    expect_refused(p, "leaves nothing");

    p = new_program();
    program_normal(p, program_input(p, "x", shape_vectors(4), VALUE_EXACT), -1, -1,
                   shape_images(2, 2, 3), 0);
    expect_refused(p, "input 0, exact [n,4], does not fit K:n4");

    p = new_program();
    program_silu(p, 3);
    expect_refused(p, "input 0 of silu is not a value of the program");
}

/* The calls of engine/gradient.c and engine/passes.c are checked as the builders are. */
static void test_raw_operations_are_checked(void **state)
{
    struct program *p = new_program();
    int x = program_input(p, "x", shape_images(4, 4, C), VALUE_COMPUTE);
    int small = program_input(p, "small", shape_images(2, 4, C), VALUE_COMPUTE);
    int y = program_silu(p, x);
    struct op op = {.kind = OP_SILU_GRAD, .n_inputs = 2, .inputs = {x, y}};
    struct op other = {.kind = OP_ADD, .n_inputs = 2, .inputs = {x, x}, .n_outputs = 1};
    int dx = program_append(p, &op);

    check_ok(p);
    assert_true(shape_equal(&program_value(p, dx)->shape, &program_value(p, x)->shape));
    assert_int_equal(program_value(p, dx)->type, VALUE_COMPUTE);

    other.outputs[0] = dx;
    program_replace(p, 1, &other);
    check_ok(p);
    assert_int_equal(program_op(p, 1)->kind, OP_ADD);
    other.inputs[1] = small;
    program_replace(p, 1, &other);
    expect_refused(p, "add: input 1, compute [n,2,4,4], does not fit");

    p = new_program();
    op.inputs[0] = program_input(p, "x", shape_images(4, 4, C), VALUE_COMPUTE);
    op.inputs[1] = program_input(p, "dy", shape_images(4, 4, C), VALUE_EXACT);
    assert_int_equal(program_append(p, &op), -1);
    expect_refused(p, "silu_grad: input 1, exact [n,4,4,4], does not fit");
}

/* loss_i = 1/2 w_i ||2 x_i W^T + x_i||^2: x is used twice, W is a parameter. */
struct rig {
    struct program *p;
    int x, weight, dloss, matrix, loss, gradients[2];
};

static void rig_init(struct rig *rig)
{
    struct error err;
    int y;

    rig->p = new_program();
    rig->x = program_input(rig->p, "x", shape_vectors(C), VALUE_EXACT);
    rig->weight = program_input(rig->p, "weight", shape_vectors(1), VALUE_EXACT);
    rig->dloss = program_input(rig->p, "dloss", shape_vectors(1), VALUE_EXACT);
    rig->matrix = program_parameter(rig->p, "W", shape_constant(2, (const int[]){C, C}));
    y = program_linear(rig->p, rig->x, rig->matrix, -1, false);
    y = program_add(rig->p, program_affine(rig->p, y, 2.0f, 0.0f, VALUE_EXACT), rig->x, 1.0f);
    rig->loss = program_half_square(rig->p, y, rig->weight);
    check_ok(rig->p);
    if (gradient_append(rig->p, rig->loss, rig->dloss, 2, (const int[]){rig->x, rig->matrix},
                        rig->gradients, &err) < 0)
        fail_msg("%s", err.text);
}

/* Runs the rig with W = identity + small integers and compares with the closed form; every number
 * is a small integer, so that sums are exact in any order. */
static void run_rig(const char *device_name, int n_threads, int size, int n)
{
    struct rig rig;
    struct device *device;
    struct parameters *parameters = NULL;
    struct planned *plan;
    struct error err;
    float x[BATCH * C], weights[BATCH], ones[BATCH], loss[BATCH], dx[BATCH * C], dw[C * C];
    float expected_dw[C * C] = {0};
    float w[C * C], *taken;
    int outputs[3];

    rig_init(&rig);
    if (device_open(device_name, n_threads, NULL, &device, &err) < 0 ||
        parameters_create(device, rig.p, &parameters, &err) < 0)
        fail_msg("%s", err.text);
    taken = planned_take_weights(parameters);
    assert_non_null(taken);
    for (int i = 0; i < C * C; i++)
        taken[i] = w[i] = (float)(i % 3) - (i % C == i / C);
    assert_int_equal(planned_put_weights(parameters, taken), 0);
    outputs[0] = rig.loss;
    outputs[1] = rig.gradients[0];
    outputs[2] = rig.gradients[1];
    if (planned_create(device, rig.p, parameters,
                       &(struct plan_options){.precision = PRECISION_FP32,
                                              .batch_max = BATCH,
                                              .size = size,
                                              .n_outputs = 3,
                                              .outputs = outputs},
                       &plan, &err) < 0)
        fail_msg("%s", err.text);
    for (int i = 0; i < BATCH * C; i++)
        x[i] = (float)(i % 5) - 2;
    for (int i = 0; i < BATCH; i++) {
        weights[i] = (float)(1 + i % 2);
        ones[i] = 1;
    }
    assert_int_equal(planned_write(plan, rig.x, 0, BATCH, x, &err), 0);
    assert_int_equal(planned_write(plan, rig.weight, 0, BATCH, weights, &err), 0);
    assert_int_equal(planned_write(plan, rig.dloss, 0, BATCH, ones, &err), 0);
    for (int repeat = 0; repeat < 2; repeat++) {
        if (planned_run(plan, n, &err) < 0)
            fail_msg("%s", err.text);
    }
    assert_int_equal(planned_read(plan, rig.loss, 0, n, loss, &err), 0);
    assert_int_equal(planned_read(plan, rig.gradients[0], 0, n, dx, &err), 0);
    assert_int_equal(planned_read(plan, rig.gradients[1], 0, 1, dw, &err), 0);
    for (int i = 0; i < n; i++) {
        float y[C], square = 0;

        for (int j = 0; j < C; j++) {
            y[j] = x[i * C + j];
            for (int k = 0; k < C; k++)
                y[j] += 2 * w[j * C + k] * x[i * C + k];
            square += y[j] * y[j];
        }
        assert_true(loss[i] == weights[i] / 2 * square);
        for (int k = 0; k < C; k++) {
            float expected = weights[i] * y[k];

            for (int j = 0; j < C; j++) {
                expected += weights[i] * 2 * w[j * C + k] * y[j];
                expected_dw[j * C + k] += weights[i] * 2 * y[j] * x[i * C + k];
            }
            assert_true(dx[i * C + k] == expected);
        }
    }
    for (int i = 0; i < C * C; i++)
        assert_true(dw[i] == expected_dw[i]);
    planned_destroy(plan);
    parameters_destroy(parameters);
    device_close(device);
    program_destroy(rig.p);
}

static void test_gradients_in_chunks(void **state)
{
    for (int i = 0; test_device_at(i); i++) {
        for (int threads = 1; threads <= 3; threads++) {
            run_rig(test_device_at(i), threads, 1, BATCH);
            run_rig(test_device_at(i), threads, 1, 3);
            run_rig(test_device_at(i), threads, 7, BATCH);
            run_rig(test_device_at(i), threads, 2, 6);
        }
    }
}

/* What plans refuse, by name and before anything runs. */
static void test_plan_refusals(void **state)
{
    struct rig rig;
    struct program *other = new_program();
    struct device *device;
    struct parameters *parameters, *wrong;
    struct planned *plan;
    struct error err;
    float numbers[C] = {0};
    int outputs[2];
    struct plan_options options = {.precision = PRECISION_FP32,
                                   .batch_max = 4,
                                   .size = 2,
                                   .n_outputs = 2,
                                   .outputs = outputs};

    rig_init(&rig);
    outputs[0] = rig.loss;
    outputs[1] = rig.gradients[1];
    assert_int_equal(device_open("reference", 1, NULL, &device, &err), 0);
    program_parameter(other, "W", shape_constant(1, (const int[]){C * C}));
    assert_int_equal(parameters_create(device, rig.p, &parameters, &err), 0);
    assert_int_equal(parameters_create(device, other, &wrong, &err), 0);

    assert_int_equal(planned_create(device, rig.p, wrong, &options, &plan, &err), -EINVAL);
    assert_string_equal(err.text, "no parameter \"W\" of that shape");
    options.size = 5;
    assert_int_equal(planned_create(device, rig.p, parameters, &options, &plan, &err), -EINVAL);
    options.size = 2;
    options.precision = PRECISION_BF16;
    assert_int_equal(planned_create(device, rig.p, parameters, &options, &plan, &err), -ENOTSUP);
    options.precision = PRECISION_FP32;

    assert_int_equal(planned_create(device, rig.p, parameters, &options, &plan, &err), 0);
    assert_int_equal(planned_run(plan, 3, &err), -EINVAL); /* sums need whole chunks */
    assert_int_equal(planned_run(plan, 5, &err), -EINVAL);
    assert_int_equal(planned_write(plan, rig.x, 4, 1, numbers, &err), -EINVAL);
    assert_int_equal(planned_read(plan, rig.gradients[0], 0, 1, numbers, &err), -EINVAL);
    assert_int_equal(planned_write(plan, -1, 0, 1, numbers, &err), -EINVAL);
    assert_int_equal(planned_run(plan, 4, &err), 0);
    planned_destroy(plan);

    assert_int_equal(device_open("abacus", 1, NULL, &device, &err), -EINVAL);
    assert_non_null(strstr(err.text, "abacus"));
    parameters_destroy(parameters);
    parameters_destroy(wrong);
    device_close(device);
    program_destroy(rig.p);
    program_destroy(other);
}

/* What has no images cannot be asked of many: every cut would do it again. */
static void check_unbatched(struct device *device, bool stores, int batch_max, int expected)
{
    struct shape flat = shape_constant(1, (const int[]){C});
    struct parameters *parameters = NULL;
    struct planned *plan;
    struct program *p;
    struct error err = {""};
    int state, out, rc;

    assert_int_equal(program_create(&p, NULL), 0);
    state = program_state(p, "s", flat);
    out = program_norm(p, state);
    if (stores)
        program_average(p, program_state(p, "a", flat), state, out,
                        program_input(p, "rate", shape_constant(1, (const int[]){1}), VALUE_EXACT),
                        0);
    assert_int_equal(parameters_create(device, p, &parameters, NULL), 0);
    rc = planned_create(device, p, parameters,
                        &(struct plan_options){.precision = PRECISION_FP32,
                                               .batch_max = batch_max,
                                               .n_outputs = !stores,
                                               .outputs = &out},
                        &plan, &err);
    assert_int_equal(rc, expected);
    if (rc == 0)
        planned_destroy(plan);
    else
        assert_non_null(strstr(err.text, stores ? "average" : "norm"));
    parameters_destroy(parameters);
    program_destroy(p);
}

static void test_what_has_no_images(void **state)
{
    for (int i = 0; test_device_at(i); i++) {
        struct device *device;

        assert_int_equal(device_open(test_device_at(i), 2, NULL, &device, NULL), 0);
        for (int stores = 0; stores < 2; stores++) {
            check_unbatched(device, stores, 1, 0);
            check_unbatched(device, stores, 2, -EINVAL);
        }
        device_close(device);
    }
}

/* What is held constant has no gradient; what has no derivative is an error that names it. */
static void test_no_derivative(void **state)
{
    struct program *p = new_program();
    int t = program_input(p, "t", shape_vectors(1), VALUE_EXACT), gradient;
    int x = program_input(p, "x", shape_vectors(C), VALUE_EXACT);
    int y = program_add(p, program_positional(p, t, C), x, 1.0f);
    int image = program_input(p, "image", shape_images(2, 2, C), VALUE_EXACT);
    int part = program_slice(p, image, 0, 1);
    int dpart = program_input(p, "dpart", shape_images(2, 2, 1), VALUE_EXACT);
    struct error err;

    assert_int_equal(gradient_append(p, y, x, 1, &t, &gradient, &err), 0);
    assert_int_equal(gradient, -1);
    assert_int_equal(gradient_append(p, part, dpart, 1, &image, &gradient, &err), -EINVAL);
    assert_string_equal(err.text, "differentiating slice: slice has no derivative");
    program_destroy(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_error_stays),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_raw_operations_are_checked),
        cmocka_unit_test(test_gradients_in_chunks),
        cmocka_unit_test(test_plan_refusals),
        cmocka_unit_test(test_what_has_no_images),
        cmocka_unit_test(test_no_derivative),
    };

    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
