/* The features that distances are measured with, against numbers that were computed elsewhere. */
#include "engine/base/error.h"
#include "engine/base/pool.h"
#include "model/safetensors.h"
#include "tests/golden/golden.h"
#include "tools/eval/extractor.h"
#include "tools/eval/feature_network.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* features: of `input` [n,side,side,3], computed elsewhere with the weights of model/zoo. */
static void check_features(const char *name, const char *features, int side, double tolerance)
{
    struct safetensors *file = golden_open(name);
    const struct safetensors_tensor *pixels = safetensors_find(file, "input");
    float *expected = golden_read(file, features);
    const struct feature_network *network;
    struct place places[3];
    int n_places = golden_places(places);
    struct pool *pool;

    assert_non_null(pixels);
    assert_int_equal(feature_network_parse(name, &network, NULL), 0);
    assert_int_equal(pool_create(1, &pool, NULL), 0);
    for (int i = 0; i < n_places; i++) {
        int n = (int)pixels->dims[0];
        size_t count = (size_t)n * (size_t)network->n_features;
        float *got = calloc(count, sizeof(*got));
        struct extractor *e;
        struct error err;

        if (golden_is_half(&places[i])) {
            free(got);
            continue; /* distances are measured in float32 */
        }
        assert_non_null(got);
        if (extractor_create(places[i].opened, pool,
                             &(struct extractor_options){.network = network, .side = side}, &e,
                             &err) < 0 ||
            extractor_compute(e, n, pixels->data, NULL, got, &err) < 0)
            fail_msg("%s", err.text);
        golden_close_to("features", &places[i], got, expected, count, tolerance);
        extractor_destroy(e);
        free(got);
    }
    golden_close(places, n_places);
    pool_destroy(pool);
    free(expected);
    safetensors_close(file);
}

/* Features reach 36; float32 on both sides leaves 3e-5 between them. */
static void squeezenet_is_that_of_keras(void **state)
{
    check_features("squeezenet11", "fire9_mean", 128, 6e-5);
}

/* Descriptors are of length 1.4, by dlib itself. */
static void face_network_is_that_of_dlib(void **state)
{
    check_features("face-dlib", "descriptor", 150, 1e-6);
}

/* Features reach 6, by PyTorch in float64. */
static void efficientnet_is_that_of_its_package(void **state)
{
    check_features("efficientnet-lite0", "features", 224, 2e-5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(squeezenet_is_that_of_keras),
        cmocka_unit_test(face_network_is_that_of_dlib),
        cmocka_unit_test(efficientnet_is_that_of_its_package),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
