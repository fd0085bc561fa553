#include "tests/unit/model/pictures.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/base/philox.h"
#include "model/corruption.h"

struct corruption *pictures_corruption(const char *text, int side)
{
    json_t *json = json_loads(text, 0, NULL);
    struct corruption *c;

    assert_int_equal(corruption_create(json, side, side, &c, NULL), 0);
    json_decref(json);
    return c;
}

float *pictures(int n, int side, int channels)
{
    struct corruption *blur = pictures_corruption("{\"name\": \"blur\", \"half_size\": 16}", side);
    size_t size = (size_t)side * (size_t)side * (size_t)channels;
    float *images = malloc((size_t)n * size * sizeof(*images));
    float *noise = malloc(size * sizeof(*noise)), *fine = malloc(size * sizeof(*fine));
    float *coarse = malloc(size * sizeof(*coarse));

    assert_true(images && noise && fine && coarse);
    for (int i = 0; i < n; i++) {
        struct philox_key key = philox_key(11, (uint32_t)i, 0);
        float *image = images + (size_t)i * size;

        philox_normals(&key, PHILOX_STREAM_DATA, size, noise);
        assert_int_equal(corruption_apply_host(blur, 0.7, channels, noise, fine, NULL), 0);
        assert_int_equal(corruption_apply_host(blur, 3, channels, noise, coarse, NULL), 0);
        for (size_t e = 0; e < size; e++) {
            int left = (int)(e / (size_t)channels) % side < side / 2;

            image[e] = 0.4f + 0.1f * fine[e] + coarse[e] + (left ? 0.2f : 0);
        }
    }
    free(noise);
    free(fine);
    free(coarse);
    corruption_destroy(blur);
    return images;
}
