/* The features that distances are measured with, against numbers that were computed elsewhere. */
#include "engine/base/error.h"
#include "engine/base/pool.h"
#include "model/safetensors.h"
#include "tests/golden/golden.h"
#include "tools/eval/extractor.h"
#include "tools/eval/squeezenet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SIDE = 128 };

/* Features reach 36; float32 on both sides leaves 3e-5 between them. */
static void test_features(void **state)
{
    struct safetensors *file = golden_open("squeezenet11");
    const struct safetensors_tensor *pixels = safetensors_find(file, "input");
    float *expected = golden_read(file, "fire9_mean");
    struct place places[3];
    int n_places = golden_places(places);
    struct pool *pool;

    assert_non_null(pixels);
    assert_int_equal(pool_create(1, &pool, NULL), 0);
    for (int i = 0; i < n_places; i++) {
        int n = (int)pixels->dims[0];
        size_t count = (size_t)n * SQUEEZENET_FEATURES;
        float *got = calloc(count, sizeof(*got));
        struct extractor *e;
        struct error err;

        if (golden_is_half(&places[i])) {
            free(got);
            continue; /* distances are measured in float32 */
        }
        assert_non_null(got);
        if (extractor_create(places[i].opened, pool, NETWORK, SIDE, &e, &err) < 0 ||
            extractor_compute(e, n, pixels->data, NULL, got, &err) < 0)
            fail_msg("%s", err.text);
        golden_close_to("features", &places[i], got, expected, count, 6e-5);
        extractor_destroy(e);
        free(got);
    }
    golden_close(places, n_places);
    pool_destroy(pool);
    free(expected);
    safetensors_close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_features),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
