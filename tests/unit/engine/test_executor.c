/* Executors: state by slot, two inboxes, sums over images, rounds; on every device and with more or
 * fewer threads than images. */
#include "engine/executor.h"
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/base/trace.h"
#include "engine/gradient.h"
#include "engine/parameters.h"
#include "engine/program.h"
#include "engine/state.h"
#include "tests/planned.h"
#include "tests/unit/devices.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 6, C = 3, THREADS_MAX = 5, SLOTS = PLANNED_SLOTS };

/* A device, and what a test has made on it. */
struct rig {
    struct device *device;
    struct program *p;
    struct parameters *parameters;
    struct planned *plan;
};

static void rig_open(struct rig *rig, const char *device, int n_threads)
{
    struct error err;

    *rig = (struct rig){0};
    if (device_open(device, n_threads, NULL, &rig->device, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(program_create(&rig->p, NULL), 0);
}

/* Once the program is there. other: whose state to use, or NULL. */
static void rig_plan(struct rig *rig, int batch_max, int n_outputs, const int *outputs,
                     struct planned *other)
{
    struct plan_options options = {.precision = PRECISION_FP32,
                                   .batch_max = batch_max,
                                   .n_outputs = n_outputs,
                                   .outputs = outputs};
    struct error err;

    if (program_check(rig->p, &err) < 0 ||
        parameters_create(rig->device, rig->p, &rig->parameters, &err) < 0 ||
        (other ? planned_create_beside(rig->device, rig->p, rig->parameters, &options, other,
                                       &rig->plan, &err)
               : planned_create(rig->device, rig->p, rig->parameters, &options, &rig->plan, &err)) <
            0)
        fail_msg("%s", err.text);
}

/* All but the device. */
static void rig_clear(struct rig *rig)
{
    planned_destroy(rig->plan);
    parameters_destroy(rig->parameters);
    program_destroy(rig->p);
}

static void rig_close(struct rig *rig)
{
    rig_clear(rig);
    device_close(rig->device);
}

static void run(struct rig *rig, int n)
{
    struct error err;

    if (planned_run(rig->plan, n, &err) < 0)
        fail_msg("%s", err.text);
}

static void read(struct rig *rig, int value, int n, float *dst)
{
    assert_int_equal(planned_read(rig->plan, value, 0, n, dst, NULL), 0);
}

static void for_all(void (*check)(const char *device, int n_threads))
{
    for (int i = 0; test_device_at(i); i++) {
        for (int threads = 1; threads <= THREADS_MAX; threads++)
            check(test_device_at(i), threads);
    }
}

/* y = state + x, which is the new state; z is read again after that. */
static void check_slots(const char *device, int n_threads)
{
    static const uint32_t slots[BATCH] = {6, 0, 3, 7, 2, 4};
    float x[BATCH * C], y[BATCH * C], z[BATCH * C], expected[SLOTS][C] = {{0}}, got[C];
    struct rig rig;
    int state, slot, in, outputs[2];

    rig_open(&rig, device, n_threads);
    slot = program_input(rig.p, "slot", shape_vectors(1), VALUE_KEY);
    in = program_input(rig.p, "x", shape_vectors(C), VALUE_EXACT);
    state = program_state(rig.p, "s", shape_vectors(C));
    outputs[0] = program_add(rig.p, program_load(rig.p, state, slot), in, 1.0f);
    program_store(rig.p, state, slot, outputs[0]);
    outputs[1] = program_load(rig.p, state, slot);
    rig_plan(&rig, BATCH, 2, outputs, NULL);
    assert_int_equal(planned_write(rig.plan, slot, 0, BATCH, slots, NULL), 0);
    for (int n = BATCH; n >= 0; n--) { /* those past n are not touched */
        for (int i = 0; i < BATCH * C; i++)
            x[i] = (float)(n * 100 + i);
        assert_int_equal(planned_write(rig.plan, in, 0, BATCH, x, NULL), 0);
        run(&rig, n);
        read(&rig, outputs[0], n, y);
        read(&rig, outputs[1], n, z);
        assert_memory_equal(y, z, sizeof(float) * C * (size_t)n);
        for (int i = 0; i < n * C; i++) {
            expected[slots[i / C]][i % C] += x[i];
            assert_true(y[i] == expected[slots[i / C]][i % C]);
        }
        for (int i = 0; i < SLOTS; i++) {
            assert_int_equal(state_read(rig.plan->state, "s", i, got, NULL), 0);
            assert_memory_equal(got, expected[i], sizeof(got));
        }
        /* From outside too. */
        expected[2][0] = (float)-n;
        assert_int_equal(state_write(rig.plan->state, "s", 2, expected[2], NULL), 0);
    }
    assert_int_equal(state_clear(rig.plan->state, "s", NULL), 0);
    assert_int_equal(state_read(rig.plan->state, "s", 6, got, NULL), 0);
    assert_memory_equal(got, ((const float[C]){0}), sizeof(got));
    rig_close(&rig);
}

static void test_state_by_slot(void **state)
{
    for_all(check_slots);
}

/* More images than a device takes at once, and numbers of them for which it has no size. */
static void check_many(const char *device, int n_threads)
{
    enum { MANY = 301 };
    static const int numbers[] = {MANY, 1, 2, 3, 75, 76, 150, 151, 255, 256, 257, 300};
    float x[MANY * C], y[MANY * C];
    struct rig rig;
    int in, out;

    rig_open(&rig, device, n_threads);
    in = program_input(rig.p, "x", shape_vectors(C), VALUE_EXACT);
    out = program_affine(rig.p, in, 2, 1, VALUE_EXACT);
    out = program_add(rig.p, out, in, 1);
    rig_plan(&rig, MANY, 1, &out, NULL);
    for (size_t k = 0; k < sizeof(numbers) / sizeof(numbers[0]); k++) {
        int n = numbers[k];

        for (int i = 0; i < MANY * C; i++)
            x[i] = (float)((int)k * 1000 + i);
        assert_int_equal(planned_write(rig.plan, in, 0, MANY, x, NULL), 0);
        run(&rig, n);
        read(&rig, out, n, y);
        for (int i = 0; i < n * C; i++)
            assert_true(y[i] == 3 * x[i] + 1);
    }
    rig_close(&rig);
}

static void test_many_images(void **state)
{
    for (int i = 0; test_device_at(i); i++) {
        check_many(test_device_at(i), 1);
        check_many(test_device_at(i), 3);
    }
}

/* The spans of a file whose name is that of an operation. */
static int count_spans(const char *path, const char *name)
{
    char line[4096], wanted[64];
    FILE *file = fopen(path, "r");
    int n = 0;

    assert_non_null(file);
    snprintf(wanted, sizeof(wanted), "\"name\":\"%s\"", name);
    while (fgets(line, sizeof(line), file))
        n += strstr(line, wanted) != NULL;
    fclose(file);
    return n;
}

/* A trace has each step of each run, and results are those without one. */
static void check_trace(const char *device, int n_threads)
{
    char path[] = "/tmp/spans-XXXXXX";
    float x[2 * C] = {1, 2, 3, 4, 5, 6}, before[2 * C], y[2 * C];
    FILE *file = fdopen(mkstemp(path), "w");
    int in, out;
    struct trace *trace;
    struct rig rig;

    assert_non_null(file);
    fclose(file);
    assert_int_equal(trace_create(100, &trace, NULL), 0);
    rig_open(&rig, device, n_threads);
    in = program_input(rig.p, "x", shape_vectors(C), VALUE_EXACT);
    out = program_affine(rig.p, in, 2, 1, VALUE_EXACT);
    rig_plan(&rig, 2, 1, &out, NULL);
    assert_int_equal(planned_write(rig.plan, in, 0, 2, x, NULL), 0);
    run(&rig, 2);
    read(&rig, out, 2, before);
    assert_int_equal(executor_trace(rig.plan->executor, trace, NULL), 0);
    run(&rig, 2);
    run(&rig, 1);
    read(&rig, out, 1, y);
    assert_memory_equal(y, before, C * sizeof(float));
    assert_int_equal(executor_trace(rig.plan->executor, NULL, NULL), 0);
    run(&rig, 2);
    read(&rig, out, 2, y);
    assert_memory_equal(y, before, sizeof(y));
    assert_int_equal(trace_write(trace, path, NULL), 0);
    assert_in_range(count_spans(path, "affine"), 2, 3); /* two runs; images may be apart */
    rig_close(&rig);
    trace_destroy(trace);
    remove(path);
}

static void test_trace(void **state)
{
    for (int i = 0; test_device_at(i); i++)
        check_trace(test_device_at(i), 2);
}

/* What one executor stores another loads, of another program and another order of values. */
static void check_shared(const char *device, int n_threads)
{
    static const uint32_t there[2] = {5, 1}, back[2] = {1, 5};
    static const float x[2 * C] = {1, 2, 3, 4, 5, 6};
    float y[2 * C];
    struct rig a, b;
    int slot, in, out;

    rig_open(&a, device, n_threads);
    slot = program_input(a.p, "slot", shape_vectors(1), VALUE_KEY);
    in = program_input(a.p, "x", shape_vectors(C), VALUE_EXACT);
    program_state(a.p, "other", shape_vectors(2 * C));
    program_store(a.p, program_state(a.p, "s", shape_vectors(C)), slot, in);
    rig_plan(&a, 2, 0, NULL, NULL);
    assert_int_equal(planned_write(a.plan, slot, 0, 2, there, NULL), 0);
    assert_int_equal(planned_write(a.plan, in, 0, 2, x, NULL), 0);

    b = (struct rig){.device = a.device};
    assert_int_equal(program_create(&b.p, NULL), 0);
    slot = program_input(b.p, "slot", shape_vectors(1), VALUE_KEY);
    out = program_load(b.p, program_state(b.p, "s", shape_vectors(C)), slot);
    out = program_affine(b.p, out, 2, 0, VALUE_EXACT);
    rig_plan(&b, 2, 1, &out, a.plan);
    assert_int_equal(planned_write(b.plan, slot, 0, 2, back, NULL), 0);
    run(&b, 2);
    read(&b, out, 2, y);
    assert_true(y[0] == 0 && y[2 * C - 1] == 0);
    run(&a, 2);
    run(&b, 2);
    read(&b, out, 2, y);
    for (int i = 0; i < 2 * C; i++)
        assert_true(y[i] == 2 * x[(i + C) % (2 * C)]);
    rig_clear(&b);
    rig_close(&a);
}

static void test_shared_state(void **state)
{
    for_all(check_shared);
}

static void fill(struct executor *e, int value, int n, float first)
{
    for (int i = 0; i < n; i++) {
        float *row = executor_row(e, value, i);

        for (int j = 0; j < C; j++)
            row[j] = first + (float)(i * C + j);
    }
}

/* While one inbox computes the other is filled, and results stay until the next start. m is unbatched:
 * there is one for all images of a run, in each inbox. */
static void check_inboxes(const char *device, int n_threads)
{
    struct rig rig;
    struct executor *e;
    int x, m, y;

    rig_open(&rig, device, n_threads);
    x = program_input(rig.p, "x", shape_vectors(C), VALUE_EXACT);
    m = program_input(rig.p, "m", shape_constant(2, (const int[]){C, C}), VALUE_EXACT);
    y = program_linear(rig.p, x, m, -1, false);
    rig_plan(&rig, BATCH, 1, &y, NULL);
    e = rig.plan->executor;
    assert_int_equal(executor_row_size(e, x), C * sizeof(float));
    assert_int_equal(executor_row_size(e, m), C * C * sizeof(float));
    assert_int_equal(executor_row_bytes(e), C * sizeof(float));
    assert_true(executor_memory_bytes(e) >= 3 * BATCH * C * sizeof(float));
    for (int i = 0; i < 20; i++) {
        const struct fetch fetches[2] = {{y, 0, 2}, {y, 3, 1}};
        int n = 1 + i % BATCH;
        float *matrix = executor_row(e, m, 0);

        fill(e, x, n, (float)(1000 * i));
        for (int j = 0; j < C * C; j++)
            matrix[j] = j % (C + 1) == 0 ? (float)(1 + i) : 0;
        assert_int_equal(executor_start(e, n, n > 3 ? 2 : n > 1 ? 1 : FETCH_ALL, fetches, NULL), 0);
        fill(e, x, BATCH, -1e30f); /* the other one; filled anew below */
        assert_int_equal(executor_wait(e, NULL), 0);
        fill(e, x, BATCH, -2e30f);
        for (int j = 0; j < n; j++) {
            const float *result = executor_result(e, y, j);

            for (int k = 0; k < C && (j < 2 || j == 3 || n == 1); k++)
                assert_true(result[k] == (float)(1 + i) * (float)(1000 * i + j * C + k));
        }
        assert_int_equal(executor_wait(e, NULL), 0); /* nothing to wait for */
    }
    rig_close(&rig);
}

static void test_two_inboxes(void **state)
{
    for_all(check_inboxes);
}

/* Gradients of a matrix, as an output of each run and added up in a state over runs. */
struct sums {
    float once[C * C], total[2 * C * C];
};

enum { SUMMED = 8 };

static void find_sums(const char *device, int n_threads, int size, struct sums *sums)
{
    struct plan_options options = {.precision = PRECISION_FP32,
                                   .batch_max = SUMMED,
                                   .size = size,
                                   .n_outputs = 1};
    float x[SUMMED * C], ones[SUMMED];
    struct philox_key key = philox_key(4, 0, 0);
    int in, weight, dloss, matrix, total, y, loss, gradient;
    struct rig rig;
    struct error err;
    float *weights;

    rig_open(&rig, device, n_threads);
    in = program_input(rig.p, "x", shape_vectors(C), VALUE_EXACT);
    weight = program_input(rig.p, "weight", shape_vectors(1), VALUE_EXACT);
    dloss = program_input(rig.p, "dloss", shape_vectors(1), VALUE_EXACT);
    matrix = program_parameter(rig.p, "W", shape_constant(2, (const int[]){C, C}));
    total = program_state(rig.p, "total", shape_constant(1, (const int[]){2 * C * C}));
    y = program_linear(rig.p, in, matrix, -1, false);
    loss = program_half_square(rig.p, program_add(rig.p, y, in, 1.0f), weight);
    if (gradient_append(rig.p, loss, dloss, 1, &matrix, &gradient, &err) < 0)
        fail_msg("%s", err.text);
    program_sum_into(rig.p, total, C * C, gradient);
    options.outputs = &gradient;
    assert_int_equal(parameters_create(rig.device, rig.p, &rig.parameters, NULL), 0);
    weights = planned_take_weights(rig.parameters);
    assert_non_null(weights);
    philox_normals(&key, 0, C * C, weights);
    assert_int_equal(planned_put_weights(rig.parameters, weights), 0);
    if (planned_create(rig.device, rig.p, rig.parameters, &options, &rig.plan, &err) < 0)
        fail_msg("%s", err.text);
    key.step = 1;
    philox_normals(&key, 0, SUMMED * C, x);
    for (int i = 0; i < SUMMED; i++)
        ones[i] = 1;
    assert_int_equal(planned_write(rig.plan, in, 0, SUMMED, x, NULL), 0);
    assert_int_equal(planned_write(rig.plan, weight, 0, SUMMED, ones, NULL), 0);
    assert_int_equal(planned_write(rig.plan, dloss, 0, SUMMED, ones, NULL), 0);
    for (int i = 0; i < 3; i++)
        run(&rig, SUMMED);
    read(&rig, gradient, 1, sums->once);
    assert_int_equal(state_read(rig.plan->state, "total", 0, sums->total, NULL), 0);
    rig_close(&rig);
}

static void test_sums_over_images(void **state)
{
    for (int i = 0; test_device_at(i); i++) {
        for (int size = 1; size <= SUMMED; size *= 2) {
            struct sums first, sums;

            find_sums(test_device_at(i), 1, size, &first);
            for (int j = 0; j < C * C; j++) {
                float expected = 3 * first.once[j];

                assert_true(first.total[j] == 0);
                assert_true(first.once[j] != 0);
                assert_true(first.total[C * C + j] > expected - 1e-4f &&
                            first.total[C * C + j] < expected + 1e-4f);
            }
            for (int threads = 2; threads <= THREADS_MAX; threads++) {
                find_sums(test_device_at(i), threads, size, &sums);
                assert_memory_equal(&sums, &first, sizeof(sums));
            }
        }
    }
}

/* Large enough that the kernels of one image are cut into parts, so that a team has something to get
 * wrong: a chain through the state, readers before and after its writers, and work beside it. */
enum { LINKS = 6, SIDE = 64, WIDE = 16, LARGE = SIDE * SIDE * WIDE };

static void check_chain(const char *device, int n_threads)
{
    int slot, in, state, x, outputs[LINKS + 2];
    float *pixels = malloc(sizeof(float) * LARGE), *y = malloc(sizeof(float) * LARGE);
    uint32_t number = 5;
    struct rig rig;

    assert_true(pixels && y);
    rig_open(&rig, device, n_threads);
    slot = program_input(rig.p, "slot", shape_vectors(1), VALUE_KEY);
    in = program_input(rig.p, "x", shape_images(SIDE, SIDE, WIDE), VALUE_EXACT);
    state = program_state(rig.p, "s", shape_images(SIDE, SIDE, WIDE));
    x = in;
    for (int i = 0; i < LINKS; i++) {
        int before = program_load(rig.p, state, slot);

        x = program_affine(rig.p, x, 2.0f, 0.0f, VALUE_EXACT);
        program_store(rig.p, state, slot, program_add(rig.p, x, before, 1.0f));
        outputs[i] = before; /* read before, used after */
    }
    outputs[LINKS] = program_load(rig.p, state, slot);
    outputs[LINKS + 1] = x;
    rig_plan(&rig, 2, LINKS + 2, outputs, NULL);
    for (int i = 0; i < LARGE; i++)
        pixels[i] = (float)(i % 1000);
    assert_int_equal(planned_write(rig.plan, slot, 0, 1, &number, NULL), 0);
    assert_int_equal(planned_write(rig.plan, in, 0, 1, pixels, NULL), 0);
    for (int repeat = 0; repeat < 3; repeat++) {
        float total = 0, sum = (float)((2 << LINKS) - 2) * (float)repeat;

        run(&rig, 1);
        for (int i = 0; i < LINKS + 2; i++) {
            float expected = i < LINKS + 1 ? sum + total : (float)(1 << LINKS);

            read(&rig, outputs[i], 1, y);
            for (int j = 0; j < LARGE; j++) {
                if (y[j] != expected * pixels[j])
                    fail_msg("%s, %d threads: output %d has %g at %d, not %g", device, n_threads, i,
                             (double)y[j], j, (double)(expected * pixels[j]));
            }
            total += (float)(2 << i);
        }
    }
    rig_close(&rig);
    free(pixels);
    free(y);
}

static void test_rounds_and_state(void **state)
{
    for_all(check_chain);
}

/* Nothing but the state ties these together, and the first round would suit them all. */
static void test_rounds_by_state_alone(void **state)
{
    enum { STEPS = 6 };
    int rounds[STEPS], outputs[3], slot, in, s;
    struct rig rig;

    rig_open(&rig, "cpu", 2);
    slot = program_input(rig.p, "slot", shape_vectors(1), VALUE_KEY);
    in = program_input(rig.p, "x", shape_vectors(C), VALUE_EXACT);
    s = program_state(rig.p, "s", shape_vectors(C));
    outputs[0] = program_load(rig.p, s, slot);
    outputs[1] = program_load(rig.p, s, slot);
    program_store(rig.p, s, slot, in);
    program_store(rig.p, s, slot, in);
    outputs[2] = program_load(rig.p, s, slot);
    program_store(rig.p, program_state(rig.p, "t", shape_vectors(C)), slot, in);
    rig_plan(&rig, 1, 3, outputs, NULL);
    assert_int_equal(plan_n_steps(rig.plan->plan), STEPS);
    for (int i = 0; i < STEPS; i++)
        rounds[i] = plan_step(rig.plan->plan, i).round;
    assert_int_equal(rounds[0], rounds[1]); /* two readers */
    assert_true(rounds[1] < rounds[2]);     /* a writer after them */
    assert_true(rounds[2] < rounds[3]);     /* another after it */
    assert_true(rounds[3] < rounds[4]);     /* a reader after that */
    assert_int_equal(rounds[4], rounds[5]); /* another state */
    rig_close(&rig);
}

/* Profiling runs steps one by one and spoils nothing but the state. */
static void test_profile(void **state)
{
    for (int i = 0; test_device_at(i); i++) {
        float x[C] = {1, 2, 3}, y[C];
        double seconds[8];
        struct rig rig;
        int in, out;

        rig_open(&rig, test_device_at(i), 3);
        in = program_input(rig.p, "x", shape_vectors(C), VALUE_EXACT);
        out = program_affine(rig.p, in, 2, 1, VALUE_EXACT);
        out = program_affine(rig.p, out, 2, 1, VALUE_EXACT);
        rig_plan(&rig, 1, 1, &out, NULL);
        assert_int_equal(planned_write(rig.plan, in, 0, 1, x, NULL), 0);
        assert_int_equal(plan_n_steps(rig.plan->plan), 2);
        assert_int_equal(executor_profile(rig.plan->executor, seconds, NULL), 0);
        assert_true(seconds[0] >= 0 && seconds[1] >= 0);
        run(&rig, 1);
        read(&rig, out, 1, y);
        assert_true(y[0] == 7 && y[1] == 11 && y[2] == 15);
        rig_close(&rig);
    }
}

static void expect_refused(const struct plan *plan, struct state *state, const char *text)
{
    struct executor *e;
    struct error err = {""};

    assert_int_equal(executor_create(plan, state, &e, &err), -EINVAL);
    if (!strstr(err.text, text))
        fail_msg("\"%s\" does not speak of \"%s\"", err.text, text);
}

static void test_refusals(void **state)
{
    static const float numbers[2 * C];
    float memory[C] = {0}, got[2 * C];
    struct program *other;
    struct state *empty, *wrong;
    struct rig rig;
    struct error err;
    int slot, in;

    rig_open(&rig, "reference", 2);
    slot = program_input(rig.p, "slot", shape_vectors(1), VALUE_KEY);
    in = program_input(rig.p, "x", shape_vectors(C), VALUE_EXACT);
    program_store(rig.p, program_state(rig.p, "s", shape_vectors(C)), slot, in);
    rig_plan(&rig, 3, 0, NULL, NULL);

    /* State. */
    assert_int_equal(program_create(&other, NULL), 0);
    program_state(other, "s", shape_vectors(2 * C));
    assert_int_equal(state_create(rig.device, 2, &empty, NULL), 0);
    assert_int_equal(state_create(rig.device, 2, &wrong, NULL), 0);
    assert_int_equal(state_declare(wrong, other, NULL), 0);
    expect_refused(rig.plan->plan, NULL, "\"s\"");
    expect_refused(rig.plan->plan, empty, "\"s\"");
    expect_refused(rig.plan->plan, wrong, "\"s\" of that shape");
    assert_int_equal(state_declare(wrong, rig.p, &err), -EINVAL);
    assert_non_null(strstr(err.text, "another shape"));
    assert_int_equal(state_bind(wrong, "s", shape_constant(1, (const int[]){C}), memory, &err),
                     -EINVAL);
    assert_int_equal(state_bind(wrong, "mine", shape_vectors(C), memory, NULL), -EINVAL);
    assert_int_equal(state_bind(wrong, "mine", shape_constant(1, (const int[]){C}), memory, NULL),
                     0);
    assert_int_equal(state_write(wrong, "mine", 0, (const float[]){1, 2, 3}, NULL), 0);
    assert_true(memory[2] == 3);
    assert_int_equal(state_write(wrong, "mine", 1, numbers, NULL), -EINVAL); /* unbatched */
    assert_int_equal(state_write(wrong, "s", 2, numbers, NULL), -EINVAL);
    assert_int_equal(state_write(wrong, "s", -1, numbers, NULL), -EINVAL);
    assert_int_equal(state_read(wrong, "t", 0, got, NULL), -EINVAL);
    assert_int_equal(state_clear(wrong, "t", NULL), -EINVAL);
    assert_int_equal(state_read(wrong, "s", 1, got, NULL), 0);
    state_destroy(empty);
    state_destroy(wrong); /* leaves memory alone */
    program_destroy(other);

    /* Runs, rows and results. */
    assert_int_equal(planned_run(rig.plan, -1, NULL), -EINVAL);
    assert_int_equal(planned_run(rig.plan, 4, NULL), -EINVAL);
    assert_int_equal(planned_run(rig.plan, 0, NULL), 0);
    assert_int_equal(planned_write(rig.plan, in, 3, 1, numbers, NULL), -EINVAL);
    assert_int_equal(planned_write(rig.plan, in, -1, 1, numbers, NULL), -EINVAL);
    assert_int_equal(planned_write(rig.plan, 99, 0, 1, numbers, NULL), -EINVAL);
    assert_int_equal(planned_read(rig.plan, 99, 0, 1, got, NULL), -EINVAL);
    rig_close(&rig);
}

/* What a device is told to stop ends between two kernels, also in a run that has begun: with two threads that
 * share an image, which they take up in executor_wait(). Nothing is begun any more. */
static void test_stop(void **state)
{
    static const char *const devices[] = {"reference", "cpu"};

    for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
        struct program *other;
        struct plan *plan = NULL;
        atomic_bool stop = false;
        struct rig rig;
        int in, out;

        rig_open(&rig, devices[i], 2);
        device_stop_by(rig.device, &stop);
        in = program_input(rig.p, "x", shape_vectors(C), VALUE_EXACT);
        out = program_add(rig.p, in, in, 1.0f);
        rig_plan(&rig, 1, 1, &out, NULL);
        run(&rig, 1);
        assert_int_equal(executor_start(rig.plan->executor, 1, FETCH_ALL, NULL, NULL), 0);
        atomic_store(&stop, true);
        assert_int_equal(executor_wait(rig.plan->executor, NULL), -ECANCELED);
        assert_int_equal(executor_start(rig.plan->executor, 1, FETCH_ALL, NULL, NULL), -ECANCELED);
        assert_int_equal(program_create(&other, NULL), 0);
        in = program_input(other, "x", shape_vectors(C), VALUE_EXACT);
        out = program_add(other, in, in, 1.0f);
        assert_int_equal(program_check(other, NULL), 0);
        assert_int_equal(plan_create(rig.device, other, rig.parameters,
                                     &(struct plan_options){.precision = PRECISION_FP32,
                                                            .batch_max = 1,
                                                            .n_outputs = 1,
                                                            .outputs = &out},
                                     &plan, NULL),
                         -ECANCELED);
        program_destroy(other);
        atomic_store(&stop, false);
        run(&rig, 1);
        rig_close(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state_by_slot),
        cmocka_unit_test(test_shared_state),
        cmocka_unit_test(test_two_inboxes),
        cmocka_unit_test(test_sums_over_images),
        cmocka_unit_test(test_rounds_and_state),
        cmocka_unit_test(test_rounds_by_state_alone),
        cmocka_unit_test(test_profile),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_many_images),
        cmocka_unit_test(test_trace),
        cmocka_unit_test(test_stop),
    };

    return cmocka_run_group_tests_name("executor", tests, NULL, NULL);
}
