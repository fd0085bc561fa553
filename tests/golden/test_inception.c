/* Inception-V3 as published FIDs have it, with random weights, against what PyTorch and pytorch-fid
 * compute. On the reference device, which takes minutes, only if it is named as an argument. */
#include "engine/base/error.h"
#include "engine/base/hash.h"
#include "engine/base/pool.h"
#include "engine/program.h"
#include "model/safetensors.h"
#include "tests/golden/golden.h"
#include "tools/eval/extractor.h"
#include "tools/eval/feature_network.h"
#include "tools/eval/feature_resize.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* As pytorch-fid has it, TensorFlow, and clean-fid. */
static const enum feature_resize resizes[] = {FEATURE_RESIZE_BILINEAR, FEATURE_RESIZE_TENSORFLOW,
                                              FEATURE_RESIZE_BICUBIC};

enum { LAYERS_MAX = 128, NAME_SIZE = 128, SIDE = 40 };
enum { N_RESIZES = sizeof(resizes) / sizeof(resizes[0]) };

static bool on_reference;

/* Element i of the recipe of remake/inception_weights.py, whose tensors have this hash. */
static double random_number(uint64_t hash, size_t i)
{
    uint64_t z = hash + i + 0x9E3779B97F4A7C15;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    z ^= z >> 31;
    return (double)(z >> 40) * 0x1p-23 - 1;
}

/* Of the name of a part of a layer: "Conv2d_1a_3x3", ".bn.bias". */
static uint64_t hash_of(const char *layer, const char *part)
{
    return hash_bytes(hash_bytes(HASH_START, layer, strlen(layer)), part, strlen(part));
}

/* The weight [out,...] or bias [out] of a layer, with its batch norm in it. */
static float *folded(const char *layer, const struct shape *shape, bool bias)
{
    size_t count = shape_count(shape), each = count / (size_t)shape->dims[0];
    float *values = malloc(count * sizeof(*values));
    uint64_t weight = hash_of(layer, ".conv.weight"), gamma = hash_of(layer, ".bn.weight");
    uint64_t beta = hash_of(layer, ".bn.bias"), mean = hash_of(layer, ".bn.running_mean");
    uint64_t variance = hash_of(layer, ".bn.running_var");
    double width = sqrt(6.0 / (double)each);

    assert_non_null(values);
    for (size_t i = 0; i < count; i++) {
        size_t o = i / each;
        double factor = (double)(float)(1 + random_number(gamma, o) / 5) /
                        sqrt((double)(float)(1 + random_number(variance, o) / 2) + 1e-3);

        values[i] = bias ? (float)((double)(float)(random_number(beta, o) / 5) -
                                   (double)(float)(random_number(mean, o) / 5) * factor)
                         : (float)((double)(float)(random_number(weight, i) * width) * factor);
    }
    return values;
}

/* A file with all weights of the network. */
static void write_weights(const struct feature_network *network, const char *path)
{
    struct safetensors_tensor *tensors = calloc(2 * LAYERS_MAX, sizeof(*tensors));
    struct program *p;
    struct error err;
    int n = 0;

    assert_non_null(tensors);
    assert_int_equal(program_create(&p, &err), 0);
    network->append(p, program_input(p, "x", shape_images(299, 299, 3), VALUE_COMPUTE));
    assert_int_equal(program_check(p, &err), 0);
    for (int i = 0; i < program_n_values(p); i++) {
        const struct value *v = program_value(p, i);
        char layer[NAME_SIZE];

        if (v->role != VALUE_PARAMETER)
            continue;
        assert_true(n < 2 * LAYERS_MAX);
        snprintf(layer, sizeof(layer), "%.*s", (int)(strrchr(v->name, '.') - v->name), v->name);
        tensors[n] = (struct safetensors_tensor){v->name,
                                                 SAFETENSORS_F32,
                                                 v->shape.n_dims,
                                                 {0},
                                                 folded(layer, &v->shape, v->shape.n_dims == 1)};
        for (int j = 0; j < v->shape.n_dims; j++)
            tensors[n].dims[j] = (size_t)v->shape.dims[j];
        n++;
    }
    assert_int_equal(n, 188);
    if (safetensors_write(path, n, tensors, 0, NULL, &err) < 0)
        fail_msg("%s", err.text);
    for (int i = 0; i < n; i++)
        free((void *)tensors[i].data);
    free(tensors);
    program_destroy(p);
}

/* float32 on both sides leaves 6e-7 of the largest between them. */
static void features_are_those_of_pytorch(void **state)
{
    struct safetensors *file = golden_open("inception");
    const struct safetensors_tensor *pixels = safetensors_find(file, "input");
    size_t count = golden_count(file, "features.bilinear");
    float *got = calloc(count, sizeof(*got));
    char path[] = "/tmp/softdiff-inception-XXXXXX";
    int fd = mkstemp(path), n_places;
    struct extractor_options options = {.weights = path, .side = SIDE};
    struct place places[3];
    struct pool *pool;

    assert_non_null(pixels);
    assert_non_null(got);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(feature_network_parse("inception", &options.network, NULL), 0);
    assert_int_equal(pool_create(1, &pool, NULL), 0);
    write_weights(options.network, path);
    n_places = golden_places(places);
    for (int i = 0; i < n_places; i++) {
        if (golden_is_half(&places[i]) ||
            on_reference != (strcmp(places[i].device, "reference") == 0))
            continue;
        for (int k = 0; k < (on_reference ? 1 : N_RESIZES); k++) {
            float *expected;
            struct extractor *e;
            struct error err;
            char name[NAME_SIZE];

            options.resize = resizes[k];
            snprintf(name, sizeof(name), "features.%s", feature_resize_name(resizes[k]));
            expected = golden_read(file, name);
            if (extractor_create(places[i].opened, pool, &options, &e, &err) < 0 ||
                extractor_compute(e, (int)pixels->dims[0], pixels->data, NULL, got, &err) < 0)
                fail_msg("%s", err.text);
            golden_close_to(name, &places[i], got, expected, count,
                            5e-6 * golden_largest(expected, count));
            extractor_destroy(e);
            free(expected);
        }
    }
    golden_close(places, n_places);
    unlink(path);
    pool_destroy(pool);
    free(got);
    safetensors_close(file);
}

/* Up, down, to the same size and of one pixel. Places are numbers of float32, which fused products round
 * otherwise: 5.2e-4 of 255. */
static void pictures_are_resized_as_by_pytorch(void **state)
{
    static const int sizes[][2] = {{7, 11}, {11, 7}, {40, 29}, {5, 5}, {1, 4}};
    const struct place here = {"cpu", PRECISION_FP32, NULL};
    struct safetensors *file = golden_open("inception");

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        int from = sizes[i][0], to = sizes[i][1];
        size_t count = 3 * (size_t)to * (size_t)to;
        float *got = calloc(count, sizeof(*got)), *expected;
        const struct safetensors_tensor *x;
        char name[NAME_SIZE];

        assert_non_null(got);
        snprintf(name, sizeof(name), "resize.%d.%d.x", from, to);
        x = safetensors_find(file, name);
        assert_non_null(x);
        snprintf(name, sizeof(name), "resize.%d.%d.y", from, to);
        expected = golden_read_raw(file, name);
        assert_int_equal(golden_count(file, name), count);
        assert_int_equal(feature_resize_run(FEATURE_RESIZE_BILINEAR, x->data, from, to, got, NULL),
                         0);
        golden_close_to(name, &here, got, expected, count, 1e-3);
        free(expected);
        free(got);
    }
    safetensors_close(file);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(features_are_those_of_pytorch),
        cmocka_unit_test(pictures_are_resized_as_by_pytorch),
    };

    on_reference = argc > 1 && strcmp(argv[1], "reference") == 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
