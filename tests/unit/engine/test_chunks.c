/* The chunks of a batch, and what its passes do to the program, on a block with everything a
 * network has. */
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/parameters.h"
#include "tests/planned.h"
#include "engine/program.h"
#include "tests/unit/devices.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 7, SIDE = 16, C = 32, OUT_C = 64, OUT_COUNT = 4 * SIDE * SIDE * OUT_C };

struct block {
    struct program *p;
    int x;
    int enlarged, convolved; /* what the passes make disappear */
    int y;
};

static int parameter(struct program *p, const char *name, int n_dims, int d0, int d1, int side)
{
    return program_parameter(p, name, shape_constant(n_dims, (const int[]){d0, d1, side, side}));
}

/* attention, enlarged, two convolutions beside a 1x1 shortcut */
static void block_init(struct block *b)
{
    static const float taps[4] = {0.25f, 0.75f, 0.75f, 0.25f};
    static const int up[4] = {2, 1, 2, 1};
    struct program *p;
    struct error err;
    float kernel[16];
    int h, x;

    for (int i = 0; i < 16; i++)
        kernel[i] = taps[i / 4] * taps[i % 4];
    assert_int_equal(program_create(&p, &err), 0);
    b->p = p;
    b->x = program_input(p, "x", shape_images(SIDE, SIDE, C), VALUE_EXACT);
    x = program_affine(p, b->x, 1.0f, 0.0f, VALUE_COMPUTE);
    x = program_add(p, x, program_attention(p, x, x, x, 0.2f), 0.7f);
    h = program_group_norm(p, x, parameter(p, "gamma", 1, C, 0, 0),
                           parameter(p, "beta", 1, C, 0, 0), -1, 8, 1e-6f, true);
    h = program_upfirdn(p, h, kernel, 2, 1, up);
    h = program_convolution(p, h, parameter(p, "w0", 4, OUT_C, C, 3),
                            parameter(p, "b0", 1, OUT_C, 0, 0), 1, 1, VALUE_COMPUTE);
    h = program_group_norm(p, h, parameter(p, "gamma1", 1, OUT_C, 0, 0),
                           parameter(p, "beta1", 1, OUT_C, 0, 0), -1, 16, 1e-6f, true);
    b->convolved = program_convolution(p, h, parameter(p, "w1", 4, OUT_C, OUT_C, 3),
                                       parameter(p, "b1", 1, OUT_C, 0, 0), 1, 1, VALUE_COMPUTE);
    b->enlarged = program_upfirdn(p, x, kernel, 2, 1, up);
    x = program_convolution(p, b->enlarged, parameter(p, "w2", 4, OUT_C, C, 1),
                            parameter(p, "b2", 1, OUT_C, 0, 0), 1, 0, VALUE_COMPUTE);
    b->y = program_add(p, x, b->convolved, 0.7f);
    if (program_check(p, &err) < 0)
        fail_msg("%s", err.text);
}

static struct device *open_device(const char *name, int n_threads)
{
    struct device *device;
    struct error err;

    if (device_open(name, n_threads, NULL, &device, &err) < 0)
        fail_msg("%s", err.text);
    return device;
}

static struct parameters *draw_parameters(struct device *device, const struct program *p)
{
    struct parameters *parameters;
    struct error err;
    float *weights;

    if (parameters_create(device, p, &parameters, &err) < 0)
        fail_msg("%s", err.text);
    weights = planned_take_weights(parameters);
    assert_non_null(weights);
    for (int i = 0; i < parameters_n(parameters); i++) {
        const struct shape *shape = parameters_shape(parameters, i);
        struct philox_key key = philox_key(3, (uint32_t)i, 0);
        size_t count = shape_count(shape);
        float *values = weights + parameters_offset(parameters, i);
        float scale = shape->n_dims > 1 ? 1 / sqrtf((float)count / (float)shape->dims[0]) : 0.3f;

        philox_normals(&key, 0, count, values);
        for (size_t j = 0; j < count; j++)
            values[j] *= scale;
    }
    assert_int_equal(planned_put_weights(parameters, weights), 0);
    return parameters;
}

static struct planned *make_plan(struct device *device, const struct program *p,
                                 struct parameters *parameters, enum precision precision, int size,
                                 int n_outputs, const int *outputs)
{
    struct plan_options options = {.precision = precision,
                                   .batch_max = BATCH,
                                   .size = size,
                                   .n_outputs = n_outputs,
                                   .outputs = outputs};
    struct planned *plan;
    struct error err;

    if (planned_create(device, p, parameters, &options, &plan, &err) < 0)
        fail_msg("%s", err.text);
    return plan;
}

static void write_images(struct planned *plan, int x)
{
    float *image = malloc(SIDE * SIDE * C * sizeof(*image));
    struct error err;

    for (int i = 0; i < BATCH; i++) {
        struct philox_key key = philox_key(1, (uint32_t)i, 0);

        philox_normals(&key, 0, SIDE * SIDE * C, image);
        assert_int_equal(planned_write(plan, x, i, 1, image, &err), 0);
    }
    free(image);
}

/* y of images [0, n). */
static void run(struct planned *plan, const struct block *b, int n, float *y)
{
    struct error err;

    if (planned_run(plan, n, &err) < 0 || planned_read(plan, b->y, 0, n, y, &err) < 0)
        fail_msg("%s", err.text);
}

/* The bytes of an image are those that one thread gives it alone. */
static void check_bytes(enum precision precision)
{
    float *alone = malloc(sizeof(float) * BATCH * OUT_COUNT),
          *y = malloc(sizeof(float) * BATCH * OUT_COUNT);
    static const int sizes[] = {1, 2, 7};
    struct block b;

    block_init(&b);
    for (int n_threads = 1; n_threads <= 5; n_threads++) {
        struct device *device = open_device("cpu", n_threads);
        struct parameters *parameters = draw_parameters(device, b.p);

        for (size_t g = 0; g < sizeof(sizes) / sizeof(sizes[0]); g++) {
            struct planned *plan = make_plan(device, b.p, parameters, precision, sizes[g], 1, &b.y);

            write_images(plan, b.x);
            if (n_threads == 1 && g == 0)
                run(plan, &b, BATCH, alone);
            for (int n = BATCH; n > 0; n--) {
                memset(y, 0, sizeof(float) * BATCH * OUT_COUNT);
                run(plan, &b, n, y);
                if (memcmp(y, alone, sizeof(float) * (size_t)n * OUT_COUNT) != 0)
                    fail_msg("%d images, %d threads, chunks of %d: other bytes", n, n_threads,
                             sizes[g]);
            }
            planned_destroy(plan);
        }
        parameters_destroy(parameters);
        device_close(device);
    }
    program_destroy(b.p);
    free(alone);
    free(y);
}

static void test_bytes_fp32(void **state)
{
    check_bytes(PRECISION_FP32);
}

static void test_bytes_bf16(void **state)
{
    struct device *device = open_device("cpu", 1);
    enum precision precision;
    struct error err;
    int rc = device_base(device)->ops->precision(device, PRECISION_BF16, &precision, &err);

    device_close(device);
    if (rc < 0)
        skip();
    check_bytes(PRECISION_BF16);
}

static double distance(const float *a, const float *b, size_t n)
{
    double difference = 0, size = 0;

    for (size_t i = 0; i < n; i++) {
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        size += (double)b[i] * b[i];
    }
    return sqrt(difference / size);
}

/* Values that somebody reads stay; without them the same comes out with less work. */
static void test_passes(void **state)
{
    for (int i = 0; test_device_at(i); i++) {
        struct device *device = open_device(test_device_at(i), 2);
        float *y[2];
        struct block b;
        struct parameters *parameters;
        double products[2] = {0};

        block_init(&b);
        parameters = draw_parameters(device, b.p);
        for (int kept = 0; kept < 2; kept++) {
            const int outputs[] = {b.y, b.enlarged, b.convolved};
            struct planned *plan =
                make_plan(device, b.p, parameters, PRECISION_FP32, 1, kept ? 3 : 1, outputs);

            assert_int_equal(plan_passes(plan->plan).n_up_after, !kept);
            assert_int_equal(plan_passes(plan->plan).n_add_into, !kept);
            for (int j = 0; j < plan_n_steps(plan->plan); j++)
                products[kept] += plan_step(plan->plan, j).products;
            y[kept] = malloc(sizeof(float) * OUT_COUNT);
            write_images(plan, b.x);
            run(plan, &b, 1, y[kept]);
            planned_destroy(plan);
        }
        assert_true(products[1] - products[0] == 0.75 * 4 * SIDE * SIDE * C * OUT_C);
        assert_true(distance(y[0], y[1], OUT_COUNT) < 1e-6);
        free(y[0]);
        free(y[1]);
        parameters_destroy(parameters);
        device_close(device);
        program_destroy(b.p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_fp32),
        cmocka_unit_test(test_bytes_bf16),
        cmocka_unit_test(test_passes),
    };

    return cmocka_run_group_tests_name("chunks", tests, NULL, NULL);
}
