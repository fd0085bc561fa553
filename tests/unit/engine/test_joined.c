/* Steps that a device does by one launch: a sampler's step, a concatenation and its norm, linear operations of
 * one vector, with the bits of the steps alone. */
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/parameters.h"
#include "engine/plan_steps.h"
#include "engine/program.h"
#include "tests/planned.h"
#include "tests/unit/devices.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    BATCH = 3,
    SIDE = 12,
    C = 3,
    CORRUPTIONS = 3,
    VECTOR = 40,
    LINEARS = 5,
    LEFT = 8, /* channels of the sides of a concatenation */
    RIGHT = 16,
    BOTH = LEFT + RIGHT,
    NORM_SIDE = 6,
    LARGE_SIDE = 36, /* of more positions than a block holds */
    VALUES_MAX = 16,
};

struct subject {
    struct program *p;
    int slot, key;
    int n_inputs, inputs[VALUES_MAX]; /* of floats */
    int n_outputs, outputs[VALUES_MAX];
};

static int input(struct subject *s, const char *name, struct shape shape)
{
    return s->inputs[s->n_inputs++] = program_input(s->p, name, shape, VALUE_EXACT);
}

static void output(struct subject *s, int value)
{
    s->outputs[s->n_outputs++] = value;
}

/* As model/step.c has it. */
static void append_step(struct subject *s)
{
    struct program *p = s->p;
    const struct shape images = shape_images(SIDE, SIDE, C);
    const int x = program_state(p, "x", images), m = program_state(p, "m", images);
    const int coefficients = input(s, "step", shape_vectors(16));
    int parts[3 + CORRUPTIONS], g[CORRUPTIONS], h, next_x, next_m;

    s->slot = program_input(p, "slot", shape_vectors(1), VALUE_KEY);
    s->key = program_input(p, "key", shape_vectors(4), VALUE_KEY);
    parts[0] = program_load(p, x, s->slot);
    parts[1] = program_load(p, m, s->slot);
    parts[2] = program_normal(p, s->key, -1, -1, images, PHILOX_STREAM_ETA);
    h = program_affine(p, program_add(p, parts[0], parts[2], 0.75f), 1.5f, 0.25f, VALUE_EXACT);
    for (int k = 0; k < CORRUPTIONS; k++)
        g[k] = program_mix(p, coefficients, 2 * k, 2, (const int[]){h, parts[1]}, VALUE_EXACT);
    for (int k = 0; k < CORRUPTIONS; k++) {
        char row[16], gate[16];

        snprintf(row, sizeof(row), "row%d", k);
        snprintf(gate, sizeof(gate), "gate%d", k);
        parts[3 + k] = program_toeplitz(p, g[k], input(s, row, shape_vectors(SIDE)), -1,
                                        input(s, gate, shape_vectors(1)), false);
    }
    next_x = program_mix(p, coefficients, 6, 3 + CORRUPTIONS, parts, VALUE_EXACT);
    next_m = program_mix(p, coefficients, 12, 2, (const int[]){parts[0], h}, VALUE_EXACT);
    output(s, program_pixels(p, next_x));
    output(s, program_pixels(p, h));
    program_store(p, x, s->slot, next_x);
    program_store(p, m, s->slot, next_m);
    output(s, next_x);
    output(s, next_m);
}

/* Between other steps, as in a network. */
static void append_linears(struct subject *s)
{
    const int x = input(s, "vector", shape_vectors(VECTOR));

    for (int i = 0; i < LINEARS; i++) {
        char weight[16], bias[16];
        int y, n = 8 * i + 3, b = -1;

        snprintf(weight, sizeof(weight), "weight%d", i);
        snprintf(bias, sizeof(bias), "bias%d", i);
        if (i % 2)
            b = program_parameter(s->p, bias, shape_constant(1, &n));
        y = program_linear(s->p, x,
                           program_parameter(s->p, weight,
                                             shape_constant(2, (const int[]){n, VECTOR})),
                           b, false);
        output(s, program_silu(s->p, y));
    }
}

static void append_norm(struct subject *s, int side, const char *name)
{
    struct program *p = s->p;
    const int both = BOTH;
    char text[4][24];
    int joined, left, right;

    for (int i = 0; i < 4; i++)
        snprintf(text[i], sizeof(text[i]), "%s%d", name, i);
    left =
        program_affine(p, input(s, text[0], shape_images(side, side, LEFT)), 1, 0, VALUE_COMPUTE);
    right =
        program_affine(p, input(s, text[1], shape_images(side, side, RIGHT)), 1, 0, VALUE_COMPUTE);
    joined = program_concat(p, left, right);
    output(s, program_affine(p,
                             program_group_norm(p, joined,
                                                program_parameter(p, text[2],
                                                                  shape_constant(1, &both)),
                                                program_parameter(p, text[3],
                                                                  shape_constant(1, &both)),
                                                -1, 4, 1e-6f, true),
                             1, 0, VALUE_EXACT));
    output(s, program_affine(p, joined, 1, 0, VALUE_EXACT));
}

static void subject_init(struct subject *s)
{
    struct error err;

    memset(s, 0, sizeof(*s));
    assert_int_equal(program_create(&s->p, &err), 0);
    append_step(s);
    append_linears(s);
    append_norm(s, NORM_SIDE, "small");
    append_norm(s, LARGE_SIDE, "large");
    if (program_check(s->p, &err) < 0)
        fail_msg("%s", err.text);
}

static float *draw(uint32_t *number, size_t n)
{
    const struct philox_key key = philox_key(5, (*number)++, 0);
    float *values = malloc(n * sizeof(*values));

    assert_non_null(values);
    philox_normals(&key, 0, n, values);
    return values;
}

static size_t count_of(const struct subject *s, int value)
{
    return shape_count(&program_value(s->p, value)->shape);
}

static void write_inputs(const struct subject *s, struct planned *planned, uint32_t *number)
{
    const uint32_t slots[BATCH] = {4, 0, 7};
    uint32_t keys[4 * BATCH];

    for (int i = 0; i < 4 * BATCH; i++)
        keys[i] = 77u + (uint32_t)i;
    assert_int_equal(planned_write(planned, s->slot, 0, BATCH, slots, NULL), 0);
    assert_int_equal(planned_write(planned, s->key, 0, BATCH, keys, NULL), 0);
    for (int i = 0; i < s->n_inputs; i++) {
        float *values = draw(number, BATCH * count_of(s, s->inputs[i]));

        if (count_of(s, s->inputs[i]) == 1)
            values[1] = 0; /* a gate that is closed */
        assert_int_equal(planned_write(planned, s->inputs[i], 0, BATCH, values, NULL), 0);
        free(values);
    }
}

/* Bytes that a cut has of a value in its arena. */
static size_t arena_bytes(const struct plan *plan, const struct cut *cut, const struct span *at)
{
    const struct location *location = &plan->locations[at->value];

    return (size_t)(at->stride > 0 ? cut->size : 1) * location->count * dtype_size(location->dtype);
}

static void check_spans(const struct plan *plan, const struct cut *cut, const struct step *a,
                        const struct step *b)
{
    struct span spans[2][OP_INPUTS_MAX + OP_OUTPUTS_MAX];
    const struct step *steps[2] = {a, b};

    for (int i = 0; i < 2; i++) {
        memcpy(spans[i], steps[i]->inputs, sizeof(steps[i]->inputs));
        memcpy(&spans[i][OP_INPUTS_MAX], steps[i]->outputs, sizeof(steps[i]->outputs));
    }
    for (int i = 0; i < OP_INPUTS_MAX + OP_OUTPUTS_MAX; i++) {
        for (int j = 0; j < OP_INPUTS_MAX + OP_OUTPUTS_MAX; j++) {
            const struct span *x = &spans[0][i], *y = &spans[1][j];

            if (x->memory == MEMORY_ARENA && y->memory == MEMORY_ARENA && x->value != y->value)
                assert_true(x->offset + arena_bytes(plan, cut, x) <= y->offset ||
                            y->offset + arena_bytes(plan, cut, y) <= x->offset);
        }
    }
}

/* What joined steps read and write does not share memory: a thread may be at one of them while others are
 * still at another. The simulated device gives every value its own and would not see it. */
static void check_apart(const struct plan *plan)
{
    for (int c = 0; c < plan->n_cuts; c++) {
        const struct cut *cut = &plan->cuts[c];

        for (int i = 0; i < cut->n_steps; i++) {
            for (int j = i + 1; j < cut->n_steps && cut->steps[j].joined; j++)
                check_spans(plan, cut, &cut->steps[i], &cut->steps[j]);
        }
    }
}

/* Two runs, the second from the state that the first left. *out: all outputs, the caller's. */
static void run(const struct subject *s, struct device *device, enum precision precision,
                float **out, size_t *n, int *n_launches, int *n_steps)
{
    const struct plan_options options = {.precision = precision,
                                         .batch_max = BATCH,
                                         .n_outputs = s->n_outputs,
                                         .outputs = s->outputs};
    struct parameters *parameters = NULL;
    struct planned *planned = NULL;
    struct error err = {""};
    float *weights;
    uint32_t number = 0;
    size_t at = 0;

    assert_int_equal(parameters_create(device, s->p, &parameters, &err), 0);
    if (planned_create(device, s->p, parameters, &options, &planned, &err) < 0)
        fail_msg("%s", err.text);
    check_apart(planned->plan);
    weights = draw(&number, parameters_count(parameters));
    assert_int_equal(parameters_load(parameters, weights, &err), 0);
    free(weights);
    *n = 0;
    for (int i = 0; i < s->n_outputs; i++)
        *n += BATCH * count_of(s, s->outputs[i]);
    *out = malloc(*n * sizeof(**out));
    assert_non_null(*out);
    for (int turn = 0; turn < 2; turn++) {
        write_inputs(s, planned, &number);
        if (planned_run(planned, BATCH, &err) < 0)
            fail_msg("%s", err.text);
    }
    for (int i = 0; i < s->n_outputs; i++) {
        assert_int_equal(planned_read(planned, s->outputs[i], 0, BATCH, *out + at, &err), 0);
        at += BATCH * count_of(s, s->outputs[i]);
    }
    *n_launches = plan_n_launches(planned->plan);
    *n_steps = plan_n_steps(planned->plan);
    planned_destroy(planned);
    parameters_destroy(parameters);
}

static uint32_t bits_of(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static void check_device(const struct subject *s, const char *name, enum precision precision)
{
    struct device_ops alone;
    struct device_base *base;
    struct device *device;
    struct error err;
    int n_launches, n_steps, n_alone, n_steps_alone;
    size_t n, n_alone_floats;
    float *joined, *apart;

    assert_int_equal(device_open(name, 1, NULL, &device, &err), 0);
    base = (struct device_base *)device;
    run(s, device, precision, &joined, &n, &n_launches, &n_steps);
    /* The same device with a table that joins nothing. */
    alone = *base->ops;
    alone.joins = NULL;
    base->ops = &alone;
    run(s, device, precision, &apart, &n_alone_floats, &n_alone, &n_steps_alone);
    assert_int_equal(n, n_alone_floats);
    for (size_t i = 0; i < n; i++) {
        if (bits_of(joined[i]) != bits_of(apart[i]))
            fail_msg("%s: number %zu is %a, and %a by steps alone", name, i, (double)joined[i],
                     (double)apart[i]);
    }
    assert_int_equal(n_steps, n_steps_alone);
    assert_int_equal(n_alone, n_steps);
    /* Eight steps before the corruptions, three of these, six after them, five linear ones, and for each
     * norm itself and the casts behind it. */
    assert_int_equal(n_steps - n_launches, strncmp(name, "cuda", 4) == 0 ? 7 + 2 + 5 + 4 + 4 : 0);
    free(joined);
    free(apart);
    device_close(device);
}

static void test_bits(void **state)
{
    const char *name;
    struct subject s;

    subject_init(&s);
    for (int i = 0; (name = test_device_at(i)); i++) {
        check_device(&s, name, PRECISION_FP32);
        if (strncmp(name, "cuda", 4) == 0)
            check_device(&s, name, PRECISION_FP16);
    }
    program_destroy(s.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
