/* Values of disjoint lifetimes share the arena. Random programs are run twice: with every value an
 * output, so that none shares anything, and with the last ones alone; the bytes must be the same, for
 * whole chunks and for one image on all threads. */
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/parameters.h"
#include "engine/program.h"
#include "tests/planned.h"
#include "tests/unit/devices.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PROGRAMS = 12, OPS = 40, VALUES = 2 * OPS + 2, SIDE = 8, C = 16, COUNT = SIDE * SIDE * C };
enum { BATCH = 5, OUTPUTS = 3, PARAMETERS = 3 };

struct made {
    struct program *p;
    uint32_t random;
    int x;
    int n;           /* values of the shape of x, the first of the computed ones first */
    int values[OPS]; /* them */
    int weights[PARAMETERS], gamma, beta;
};

static int roll(struct made *m, int n)
{
    m->random = m->random * 1664525u + 1013904223u;
    return (int)((m->random >> 8) % (uint32_t)n);
}

/* Old ones as often as new ones. */
static int any(struct made *m)
{
    return m->values[roll(m, m->n)];
}

static int append(struct made *m)
{
    struct program *p = m->p;
    int a = any(m), b = any(m), i = roll(m, PARAMETERS);

    switch (roll(m, 7)) {
    case 0:
        return program_add(p, a, b, 0.7f);
    case 1:
        return program_slice(p, program_concat(p, a, b), roll(m, C), C);
    case 2:
        return program_attention(p, a, b, any(m), 0.3f);
    case 3:
        return program_group_norm(p, a, m->gamma, m->beta, -1, 4, 1e-6f, true);
    case 4: /* the norm keeps a convolution and a sum apart, which a pass might make one */
        a = program_convolution(p, a, m->weights[i], -1, 1, 1, VALUE_COMPUTE);
        return program_group_norm(p, a, m->gamma, m->beta, -1, 4, 1e-6f, false);
    case 5:
        return program_multiply(p, a, b);
    default:
        return program_silu(p, a);
    }
}

static void make(struct made *m, uint32_t seed)
{
    static const char *const names[PARAMETERS] = {"w0", "w1", "w2"};
    struct error err;

    *m = (struct made){.random = seed};
    assert_int_equal(program_create(&m->p, NULL), 0);
    m->x = program_input(m->p, "x", shape_images(SIDE, SIDE, C), VALUE_EXACT);
    for (int i = 0; i < PARAMETERS; i++)
        m->weights[i] =
            program_parameter(m->p, names[i], shape_constant(4, (const int[]){C, C, 3, 3}));
    m->gamma = program_parameter(m->p, "gamma", shape_constant(1, (const int[]){C}));
    m->beta = program_parameter(m->p, "beta", shape_constant(1, (const int[]){C}));
    m->values[m->n++] = program_affine(m->p, m->x, 1, 0, VALUE_COMPUTE);
    while (m->n < OPS) {
        int value = append(m);

        m->values[m->n++] = value;
    }
    if (program_check(m->p, &err) < 0)
        fail_msg("%s", err.text);
}

static struct planned *make_plan(struct device *device, const struct made *m,
                                 struct parameters *parameters, int n_outputs, const int *outputs)
{
    struct plan_options options = {.precision = PRECISION_FP32,
                                   .batch_max = BATCH,
                                   .n_outputs = n_outputs,
                                   .outputs = outputs};
    struct philox_key key = philox_key(7, 0, 0);
    static float x[BATCH * COUNT];
    struct planned *plan;
    struct error err;

    if (planned_create(device, m->p, parameters, &options, &plan, &err) < 0)
        fail_msg("%s", err.text);
    philox_normals(&key, 0, BATCH * COUNT, x);
    assert_int_equal(planned_write(plan, m->x, 0, BATCH, x, NULL), 0);
    return plan;
}

/* Every value that the program computes. */
static int list_values(const struct made *m, int *out)
{
    int n = 0;

    for (int i = 0; i < program_n_values(m->p); i++) {
        if (program_value(m->p, i)->role == VALUE_COMPUTED)
            out[n++] = i;
    }
    return n;
}

static void check(const char *name, int n_threads, uint32_t seed)
{
    static float alone[OUTPUTS][BATCH * COUNT], shared[BATCH * COUNT];
    struct philox_key key = philox_key(8, 0, 0);
    struct parameters *parameters;
    struct planned *apart, *plan;
    struct device *device;
    int all[4 * VALUES];
    const int *last;
    float *weights;
    struct made m;

    make(&m, seed);
    last = &m.values[OPS - OUTPUTS];
    assert_int_equal(device_open(name, n_threads, NULL, &device, NULL), 0);
    assert_int_equal(parameters_create(device, m.p, &parameters, NULL), 0);
    weights = planned_take_weights(parameters);
    assert_non_null(weights);
    philox_normals(&key, 0, parameters_count(parameters), weights);
    assert_int_equal(planned_put_weights(parameters, weights), 0);
    apart = make_plan(device, &m, parameters, list_values(&m, all), all);
    plan = make_plan(device, &m, parameters, OUTPUTS, last);
    for (int n = BATCH; n > 0; n -= 2) {
        assert_int_equal(planned_run(apart, n, NULL), 0);
        assert_int_equal(planned_run(plan, n, NULL), 0);
        for (int i = 0; i < OUTPUTS; i++) {
            assert_int_equal(planned_read(apart, last[i], 0, n, alone[i], NULL), 0);
            assert_int_equal(planned_read(plan, last[i], 0, n, shared, NULL), 0);
            if (memcmp(alone[i], shared, sizeof(float) * COUNT * (size_t)n) != 0)
                fail_msg("%s, %d threads, program %u: output %d of %d images differs", name,
                         n_threads, seed, i, n);
        }
    }
    planned_destroy(apart);
    planned_destroy(plan);
    parameters_destroy(parameters);
    device_close(device);
    program_destroy(m.p);
}

static void test_what_shares_the_arena(void **state)
{
    static const int threads[] = {1, 2, 5};

    for (uint32_t seed = 1; seed <= PROGRAMS; seed++) {
        for (int i = 0; test_device_at(i); i++)
            check(test_device_at(i), threads[seed % 3], seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_shares_the_arena)};

    return cmocka_run_group_tests_name("lifetimes", tests, NULL, NULL);
}
