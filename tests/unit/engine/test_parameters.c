/* Weights and tables: held once however many plans read them, loaded, kept, refused. */
#include "engine/parameters.h"
#include "engine/base/error.h"
#include "engine/executor.h"
#include "engine/program.h"
#include "tests/planned.h"
#include "tests/unit/devices.h"

#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 8, C = 32, BATCH = 3, WEIGHTS = C * C * 9 + C, IMAGE = SIDE * SIDE * C };

static struct device *open_device(const char *name)
{
    struct device *device;
    struct error err;

    if (device_open(name, 2, NULL, &device, &err) < 0)
        fail_msg("%s", err.text);
    return device;
}

/* A convolution, and a table that is added. */
struct net {
    struct program *p;
    int x, y;
};

static void net_init(struct net *net, const char *weight)
{
    struct program *p;

    assert_int_equal(program_create(&p, NULL), 0);
    net->p = p;
    net->x = program_input(p, "x", shape_images(SIDE, SIDE, C), VALUE_EXACT);
    net->y = program_affine(p, net->x, 1, 0, VALUE_COMPUTE);
    net->y = program_convolution(p, net->y,
                                 program_parameter(p, weight,
                                                   shape_constant(4, (const int[]){C, C, 3, 3})),
                                 program_parameter(p, "b", shape_constant(1, (const int[]){C})), 1,
                                 1, VALUE_EXACT);
    net->y = program_add(p, net->y,
                         program_lookup(p,
                                        program_table(p, "t",
                                                      shape_constant(4, (const int[]){1, SIDE, SIDE,
                                                                                      C})),
                                        -1),
                         1.0f);
    assert_int_equal(program_check(p, NULL), 0);
}

static int make_plan(struct device *device, const struct net *net, struct parameters *parameters,
                     int size, struct planned **out, struct error *err)
{
    struct plan_options options = {.precision = PRECISION_FP32,
                                   .batch_max = BATCH,
                                   .size = size,
                                   .n_outputs = 1,
                                   .outputs = &net->y};

    return planned_create(device, net->p, parameters, &options, out, err);
}

static void draw(struct planned *plan, const struct net *net, float *y)
{
    static float x[BATCH * IMAGE];

    for (int i = 0; i < BATCH * IMAGE; i++)
        x[i] = (float)(i % 11) - 5;
    assert_int_equal(planned_write(plan, net->x, 0, BATCH, x, NULL), 0);
    assert_int_equal(planned_run(plan, BATCH, NULL), 0);
    assert_int_equal(planned_read(plan, net->y, 0, BATCH, y, NULL), 0);
}

static float *make_numbers(size_t n, int step)
{
    float *values = malloc(n * sizeof(*values));

    assert_non_null(values);
    for (size_t i = 0; i < n; i++)
        values[i] = (float)((int)(i * (size_t)step % 13) - 6) / 64;
    return values;
}

/* Bytes that the process has from malloc(), in its heap and beside it; 0 where nobody counts. */
static size_t allocated(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

/* Several plans read one copy; loading leaves none behind. */
static void test_held_once(void **state)
{
    for (int d = 0; test_device_at(d); d++) {
        struct device *device = open_device(test_device_at(d));
        float *weights = make_numbers(WEIGHTS, 5), *table = make_numbers(IMAGE, 3);
        static float first[BATCH * IMAGE], second[BATCH * IMAGE], values[IMAGE];
        struct planned *a, *b, *c;
        struct parameters *parameters;
        size_t alone, before;
        struct net net;

        net_init(&net, "w");
        assert_int_equal(parameters_create(device, net.p, &parameters, NULL), 0);
        assert_int_equal(parameters_count(parameters), WEIGHTS);
        assert_int_equal(parameters_memory_bytes(parameters), 0);
        assert_int_equal(make_plan(device, &net, parameters, 1, &a, NULL), 0);
        alone = parameters_memory_bytes(parameters);
        assert_true(alone >= (WEIGHTS + IMAGE) * sizeof(float));
        assert_int_equal(make_plan(device, &net, parameters, 1, &b, NULL), 0);
        assert_int_equal(make_plan(device, &net, parameters, 1, &c, NULL), 0);
        assert_int_equal(parameters_memory_bytes(parameters), alone);

        before = allocated();
        assert_int_equal(parameters_load(parameters, weights, NULL), 0);
        assert_true(allocated() < before + WEIGHTS); /* a fourth of a copy */
        assert_int_equal(parameters_memory_bytes(parameters), alone);
        assert_int_equal(parameters_write_table(parameters, "t", table, NULL), 0);
        assert_int_equal(parameters_write_table(parameters, "nobody's", table, NULL), 0);
        assert_int_equal(parameters_read_table(parameters, "t", values, NULL), 0);
        assert_memory_equal(values, table, sizeof(values));
        assert_int_equal(parameters_read_table(parameters, "nobody's", values, NULL), -EINVAL);
        draw(a, &net, first);
        draw(c, &net, second);
        assert_memory_equal(first, second, sizeof(first));

        /* Whoever asked first may go first. */
        planned_destroy(a);
        assert_int_equal(parameters_memory_bytes(parameters), alone);
        draw(b, &net, second);
        assert_memory_equal(first, second, sizeof(first));
        weights[0] += 1; /* loaded anew: another copy is filled, by one who is still there */
        assert_int_equal(parameters_load(parameters, weights, NULL), 0);
        draw(c, &net, second);
        assert_memory_not_equal(first, second, sizeof(first));
        planned_destroy(b);
        planned_destroy(c);
        assert_int_equal(parameters_memory_bytes(parameters), 0);
        parameters_destroy(parameters);
        program_destroy(net.p);
        free(weights);
        free(table);
        device_close(device);
    }
}

/* Programs of one network find each other's weights and tables. */
static void test_shared_by_programs(void **state)
{
    struct device *device = open_device("cpu");
    float *weights = make_numbers(WEIGHTS, 5), *table = make_numbers(IMAGE, 3);
    static float first[BATCH * IMAGE], second[BATCH * IMAGE];
    struct program *wrong;
    struct planned *a, *b;
    struct parameters *parameters;
    struct net net, other;
    struct error err;
    size_t bytes;

    net_init(&net, "w");
    net_init(&other, "w");
    assert_int_equal(parameters_create(device, net.p, &parameters, NULL), 0);
    assert_int_equal(parameters_declare(parameters, other.p, NULL), 0);
    assert_int_equal(parameters_n(parameters), 2);
    assert_int_equal(make_plan(device, &net, parameters, 1, &a, NULL), 0);
    bytes = parameters_memory_bytes(parameters);
    assert_int_equal(make_plan(device, &other, parameters, 1, &b, NULL), 0);
    assert_int_equal(parameters_memory_bytes(parameters), bytes);
    assert_int_equal(parameters_load(parameters, weights, NULL), 0);
    assert_int_equal(parameters_write_table(parameters, "t", table, NULL), 0);
    draw(a, &net, first);
    draw(b, &other, second);
    assert_memory_equal(first, second, sizeof(first));
    planned_destroy(b);
    program_destroy(other.p);

    net_init(&other, "v");
    assert_int_equal(parameters_declare(parameters, other.p, &err), -EINVAL);
    assert_string_equal(err.text, "no parameter \"v\"");
    assert_int_equal(make_plan(device, &other, parameters, 1, &b, &err), -EINVAL);
    assert_int_equal(program_create(&wrong, NULL), 0);
    program_table(wrong, "t", shape_constant(1, (const int[]){2}));
    assert_int_equal(parameters_declare(parameters, wrong, &err), -EINVAL);
    assert_string_equal(err.text, "parameter \"t\" has another shape");
    planned_destroy(a);
    parameters_destroy(parameters);
    program_destroy(wrong);
    program_destroy(net.p);
    program_destroy(other.p);
    free(weights);
    free(table);
    device_close(device);
}

/* A plan that comes after loading finds the copy of another, or the weights where they are kept;
 * otherwise it is told so instead of computing with zeros. */
static void test_plans_that_come_later(void **state)
{
    for (int d = 0; test_device_at(d); d++) {
        for (int kept = 0; kept < 2; kept++) {
            struct device *device = open_device(test_device_at(d));
            float *weights = make_numbers(WEIGHTS, 5), *got = make_numbers(WEIGHTS, 0);
            float *table = make_numbers(IMAGE, 3);
            static float first[BATCH * IMAGE], second[BATCH * IMAGE];
            struct planned *a, *b;
            struct parameters *parameters;
            struct error err;
            struct net net;
            void *memory;

            net_init(&net, "w");
            assert_int_equal(parameters_create(device, net.p, &parameters, NULL), 0);
            if (kept)
                assert_int_equal(parameters_keep(parameters, &memory, NULL), 0);
            assert_int_equal(parameters_repack(parameters, NULL), kept ? 0 : -EINVAL);
            assert_int_equal(make_plan(device, &net, parameters, 1, &a, NULL), 0);
            assert_int_equal(parameters_load(parameters, weights, NULL), 0);
            assert_int_equal(parameters_write_table(parameters, "t", table, NULL), 0);
            draw(a, &net, first);
            assert_int_equal(make_plan(device, &net, parameters, 1, &b, NULL), 0);
            draw(b, &net, second);
            assert_memory_equal(first, second, sizeof(first));
            planned_destroy(a);
            planned_destroy(b);
            if (kept) {
                assert_int_equal(make_plan(device, &net, parameters, BATCH, &b, NULL), 0);
                assert_int_equal(parameters_write_table(parameters, "t", table, NULL), 0);
                draw(b, &net, second);
                assert_memory_equal(first, second, sizeof(first));
                planned_destroy(b);
            } else {
                assert_int_equal(make_plan(device, &net, parameters, 1, &b, &err), -EINVAL);
                assert_non_null(strstr(err.text, "loaded"));
            }
            assert_int_equal(parameters_read(parameters, got, NULL), kept ? 0 : -EINVAL);
            if (kept)
                assert_memory_equal(got, weights, WEIGHTS * sizeof(*got));
            parameters_destroy(parameters);
            program_destroy(net.p);
            free(weights);
            free(got);
            free(table);
            device_close(device);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_held_once),
        cmocka_unit_test(test_shared_by_programs),
        cmocka_unit_test(test_plans_that_come_later),
    };

    return cmocka_run_group_tests_name("parameters", tests, NULL, NULL);
}
