/* The blur against dense two-dimensional convolutions: on the host, and as an operation of a
 * program on every device. The tolerance refuses TF32, on purpose: its error adds up over hundreds
 * of steps.
 */
#include "engine/gradient.h"
#include "model/denoiser.h"
#include "engine/base/error.h"
#include "engine/parameters.h"
#include "tests/planned.h"
#include "engine/program.h"
#include "model/safetensors.h"
#include "tests/golden/golden.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { STDS_MAX = 5, BATCH_MAX = 3 };

static const double tolerance = 1e-5;

static const struct set {
    const char *name;
    int n, h, w, channels, half_size;
    double stds[STDS_MAX]; /* up to the first 0 */
} sets[] = {
    {"celeba64", 2, 64, 64, 3, 80, {0.01, 0.3, 1, 4, 23}},
    {"cifar10", 3, 32, 32, 3, 32, {0.01, 0.5, 2, 18}},
    {"smallR", 3, 32, 32, 3, 5, {0.3, 3}}, /* the kernel is shorter than the image */
    {"rect", 1, 20, 28, 2, 40, {0.7, 6}},
};

enum { SETS = sizeof(sets) / sizeof(sets[0]) };

static const struct place host = {.device = "host"};

static struct corruption *create(const struct set *set, const struct safetensors *file)
{
    char name[64];
    struct corruption *c;
    struct error err;
    float *half_size;
    json_t *json;

    snprintf(name, sizeof(name), "%s.half_size", set->name);
    half_size = golden_read_raw(file, name);
    json = json_pack("{s:s, s:i}", "name", "blur", "half_size", (int)half_size[0]);
    if (corruption_create(json, set->h, set->w, &c, &err) < 0)
        fail_msg("%s", err.text);
    json_decref(json);
    free(half_size);
    return c;
}

/* x_0 and the blurred images of one std, [n,h,w,c]. */
static float *read_images(const struct set *set, const struct safetensors *file, const char *what,
                          double std)
{
    char name[64];

    if (std > 0)
        snprintf(name, sizeof(name), "%s.%s.std%g", set->name, what, std);
    else
        snprintf(name, sizeof(name), "%s.%s", set->name, what);
    return golden_read(file, name);
}

static size_t image_size(const struct set *set)
{
    return (size_t)set->h * (size_t)set->w * (size_t)set->channels;
}

static void test_host(void **state)
{
    struct safetensors *file = golden_open("blur");

    for (int s = 0; s < SETS; s++) {
        const struct set *set = &sets[s];
        struct corruption *c = create(set, file);
        float *x0 = read_images(set, file, "x0", 0);
        float *y = malloc((size_t)set->n * image_size(set) * sizeof(*y));

        for (int i = 0; i < STDS_MAX && set->stds[i] > 0; i++) {
            float *want = read_images(set, file, "y", set->stds[i]);

            for (int image = 0; image < set->n; image++) {
                size_t at = (size_t)image * image_size(set);

                assert_int_equal(corruption_apply_host(c, set->stds[i], set->channels, x0 + at,
                                                       y + at, NULL),
                                 0);
            }
            golden_close_to(set->name, &host, y, want, (size_t)set->n * image_size(set), tolerance);
            free(want);
        }
        free(y);
        free(x0);
        corruption_destroy(c);
    }
    safetensors_close(file);
}

/* Every image of a batch has a std of its own; the adjoint of a blur is the blur itself. */
static void check_program(const struct place *place, const struct set *set,
                          const struct safetensors *file)
{
    struct corruption *c = create(set, file);
    size_t size = image_size(set);
    float *x0 = read_images(set, file, "x0", 0);
    struct operator_values op;
    struct parameters *parameters;
    struct program *p;
    struct planned *plan;
    int x, outputs[2];

    assert_int_equal(program_create(&p, NULL), 0);
    x = program_input(p, "x", shape_images(set->h, set->w, set->channels), VALUE_EXACT);
    op = corruption_inputs(c, p, "c", false);
    outputs[0] = corruption_apply(c, p, x, &op);
    /* The adjoint: the gradient with x as the cotangent. */
    assert_int_equal(gradient_append(p, outputs[0], x, 1, &x, &outputs[1], NULL), 0);
    assert_int_equal(parameters_create(place->opened, p, &parameters, NULL), 0);
    plan = golden_plan(place, p, parameters, BATCH_MAX, 1, 2, outputs);
    golden_write(plan, x, set->n, x0);

    for (int first = 0; first < STDS_MAX && set->stds[first] > 0; first++) {
        for (int image = 0; image < set->n; image++) {
            double std = set->stds[(first + image) % STDS_MAX];

            std = std > 0 ? std : set->stds[0];
            operator_write(c, std, &op, plan->executor, image);
        }
        golden_run(plan, set->n);
        for (int o = 0; o < 2; o++) {
            float *y = golden_output(plan, outputs[o], set->n, size);

            for (int image = 0; image < set->n; image++) {
                double std = set->stds[(first + image) % STDS_MAX];
                float *want = read_images(set, file, "y", std > 0 ? std : set->stds[0]);

                golden_close_to(set->name, place, y + (size_t)image * size,
                                want + (size_t)image * size, size, tolerance);
                free(want);
            }
            free(y);
        }
    }
    free(x0);
    planned_destroy(plan);
    parameters_destroy(parameters);
    program_destroy(p);
    corruption_destroy(c);
}

static void test_program(void **state)
{
    struct safetensors *file = golden_open("blur");
    struct place places[3];
    int n = golden_places(places);

    for (int i = 0; i < n; i++) {
        for (int s = 0; s < SETS; s++)
            check_program(&places[i], &sets[s], file);
    }
    golden_close(places, n);
    safetensors_close(file);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host),
        cmocka_unit_test(test_program),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
