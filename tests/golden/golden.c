#include "tests/golden/golden.h"
#include "engine/base/error.h"
#include "engine/parameters.h"
#include "tests/planned.h"
#include "engine/program.h"
#include "model/safetensors.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const struct architecture golden_net_a = {
    .image_size = 16,
    .num_channels = 3,
    .nf = 16,
    .n_levels = 3,
    .ch_mult = {1, 2, 2},
    .num_res_blocks = 2,
    .n_attn = 1,
    .attn_resolutions = {8},
    .embedding_type = EMBEDDING_FOURIER,
    .fourier_scale = 16,
};

int golden_places(struct place places[3])
{
    const char *given = getenv("TEST_DEVICE");
    const struct place all[3] = {
        {given ? given : "reference", PRECISION_FP32, NULL},
        {given ? given : "cpu", given ? PRECISION_FP16 : PRECISION_FP32, NULL},
        {given ? given : "cpu", PRECISION_BF16, NULL},
    };
    int n = 0;

    for (int i = 0; i < 3; i++) {
        struct error err;
        struct place place = all[i];
        enum precision resolved;

        if (device_open(place.device, 1, NULL, &place.opened, &err) < 0)
            fail_msg("%s", err.text);
        if (device_base(place.opened)
                ->ops->precision(place.opened, place.precision, &resolved, NULL) < 0) {
            device_close(place.opened);
            print_message("# %s is not to be had here\n", golden_place_name(&place));
            continue;
        }
        places[n++] = place;
    }
    return n;
}

void golden_close(struct place *places, int n)
{
    for (int i = 0; i < n; i++)
        device_close(places[i].opened);
}

bool golden_is_half(const struct place *place)
{
    return place->precision != PRECISION_FP32;
}

double golden_allowed(const struct place *place, double in_bfloat16)
{
    return place->precision == PRECISION_FP16 ? in_bfloat16 / 4 : in_bfloat16;
}

const char *golden_place_name(const struct place *place)
{
    static char name[64];

    snprintf(name, sizeof(name), "%s %s", place->device, precision_name(place->precision));
    return name;
}

struct safetensors *golden_open(const char *name)
{
    struct safetensors *file;
    struct error err;
    char path[256];

    snprintf(path, sizeof(path), "data/%s.safetensors", name);
    if (safetensors_open(path, &file, &err) < 0)
        fail_msg("%s", err.text);
    return file;
}

static const struct safetensors_tensor *find(const struct safetensors *file, const char *name)
{
    const struct safetensors_tensor *tensor = safetensors_find(file, name);

    if (!tensor)
        fail_msg("no golden tensor \"%s\"", name);
    return tensor;
}

size_t golden_count(const struct safetensors *file, const char *name)
{
    return safetensors_count(find(file, name));
}

float *golden_read_raw(const struct safetensors *file, const char *name)
{
    const struct safetensors_tensor *tensor = find(file, name);
    float *values = malloc(safetensors_count(tensor) * sizeof(*values) + 1);
    struct error err;

    assert_non_null(values);
    if (safetensors_read_floats(tensor, values, &err) < 0)
        fail_msg("%s", err.text);
    return values;
}

double *golden_read_doubles(const struct safetensors *file, const char *name)
{
    const struct safetensors_tensor *tensor = find(file, name);
    double *values = malloc(safetensors_count(tensor) * sizeof(*values) + 1);
    struct error err;

    assert_non_null(values);
    if (safetensors_read_doubles(tensor, values, &err) < 0)
        fail_msg("%s", err.text);
    return values;
}

float *golden_read(const struct safetensors *file, const char *name)
{
    const struct safetensors_tensor *tensor = find(file, name);
    float *raw = golden_read_raw(file, name), *values;
    size_t c, positions;

    if (tensor->n_dims != 4)
        return raw;
    c = tensor->dims[1];
    positions = tensor->dims[2] * tensor->dims[3];
    values = malloc(safetensors_count(tensor) * sizeof(*values));
    assert_non_null(values);
    for (size_t n = 0; n < tensor->dims[0]; n++)
        for (size_t i = 0; i < c; i++)
            for (size_t j = 0; j < positions; j++)
                values[(n * positions + j) * c + i] = raw[(n * c + i) * positions + j];
    free(raw);
    return values;
}

void golden_load(struct parameters *parameters, const struct safetensors *file, const char *prefix)
{
    float *weights = planned_take_weights(parameters);

    assert_non_null(weights);
    for (int i = 0; i < parameters_n(parameters); i++) {
        size_t count = shape_count(parameters_shape(parameters, i));
        char name[160];
        float *values;

        snprintf(name, sizeof(name), "%s%s", prefix, parameters_name(parameters, i));
        values = golden_read_raw(file, name);
        assert_int_equal(golden_count(file, name), count);
        memcpy(weights + parameters_offset(parameters, i), values, count * sizeof(*values));
        free(values);
    }
    if (planned_put_weights(parameters, weights) < 0)
        fail_msg("could not pack the parameters");
}

/* A number in [-1, 1) for element i of tensor k. */
static double formula(uint64_t k, uint64_t i)
{
    uint64_t z = i + ((0x50F7D1FFull + k) << 32);

    z += 0x9E3779B97F4A7C15ull;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ z >> 27) * 0x94D049BB133111EBull;
    z ^= z >> 31;
    return (double)(z >> 40) * 0x1p-23 - 1;
}

static void fill(const struct parameters *parameters, int k, float *weights)
{
    const struct shape *shape = parameters_shape(parameters, k);
    const char *leaf = strrchr(parameters_name(parameters, k), '.') + 1;
    float *values = weights + parameters_offset(parameters, k);
    size_t n = shape_count(shape);
    double scale, shift = 0;

    if (shape->n_dims == 1) {
        scale = 0.2;
        shift = strcmp(leaf, "weight") == 0;
    } else if (strcmp(leaf, "W") == 0) {
        scale = sqrt(3.0 / shape->dims[0]);
    } else {
        size_t fan_in = n / (size_t)shape->dims[0];

        scale = sqrt(3.0 / (double)fan_in);
    }
    for (size_t i = 0; i < n; i++)
        values[i] = (float)(shift + scale * formula((uint64_t)k, i));
}

void golden_fill(const struct parameters *parameters, float *weights)
{
    for (int k = 0; k < parameters_n(parameters); k++)
        fill(parameters, k, weights);
}

struct planned *golden_plan(const struct place *place, const struct program *p,
                            struct parameters *parameters, int batch, int size, int n_outputs,
                            const int *outputs)
{
    struct plan_options options = {.precision = place->precision,
                                   .batch_max = batch,
                                   .size = size,
                                   .n_outputs = n_outputs,
                                   .outputs = outputs};
    struct planned *plan;
    struct error err;

    if (planned_create(place->opened, p, parameters, &options, &plan, &err) < 0)
        fail_msg("%s: %s", golden_place_name(place), err.text);
    return plan;
}

void golden_write(struct planned *plan, int value, int n, const float *src)
{
    struct error err;

    if (planned_write(plan, value, 0, n, src, &err) < 0)
        fail_msg("%s", err.text);
}

void golden_run(struct planned *plan, int n)
{
    struct error err;

    if (planned_run(plan, n, &err) < 0)
        fail_msg("%s", err.text);
}

float *golden_output(struct planned *plan, int value, int n, size_t count)
{
    float *values = malloc((size_t)n * count * sizeof(*values));
    struct error err;

    assert_non_null(values);
    if (planned_read(plan, value, 0, n, values, &err) < 0)
        fail_msg("%s", err.text);
    return values;
}

void golden_close_to(const char *what, const struct place *place, const float *a, const float *b,
                     size_t n, double tolerance)
{
    size_t worst = 0;
    double distance = -1;

    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);

        if (!(d <= distance)) { /* NaN is the worst */
            distance = d;
            worst = i;
            if (d != d)
                break;
        }
    }
    if (!(distance <= tolerance))
        fail_msg("%s on %s: element %zu is %.9g, golden %.9g, off by %.3g, allowed %.3g", what,
                 golden_place_name(place), worst, (double)a[worst], (double)b[worst], distance,
                 tolerance);
}

double golden_relative_l2(const float *a, const float *b, size_t n)
{
    double error = 0, norm = 0;

    for (size_t i = 0; i < n; i++) {
        error += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        norm += (double)b[i] * b[i];
    }
    return sqrt(error / norm);
}

double golden_largest(const float *a, size_t n)
{
    double largest = 0;

    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs((double)a[i]));
    return largest;
}
