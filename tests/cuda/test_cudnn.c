/* What engine/cuda/cudnn_convolution.h promises, with cuDNN itself and the description of an H100. */
#include "engine/base/error.h"
#include "engine/base/whole_file.h"
#include "engine/cuda/cudnn.h"
#include "engine/cuda/cudnn_convolution.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct product forward = {
    .kind = PRODUCT_FORWARD,
    .n = 16,
    .x_h = 16,
    .x_w = 16,
    .x_c = 64,
    .y_h = 16,
    .y_w = 16,
    .y_c = 128,
    .window_h = 3,
    .window_w = 3,
    .stride = 1,
    .pad = {1, 1, 1, 1},
    .groups = 1,
    .x_type = DTYPE_F16,
    .y_type = DTYPE_F16,
    .bias = true,
    .scale = 1,
};

static struct cudnn_device *open_h100(void)
{
    struct error err = {""};
    struct cudnn_device *device = NULL;
    unsigned char *text;
    size_t size;

    assert_int_equal(whole_file_read(GPUS "/h100.json", 1 << 20, &text, &size, &err), 0);
    if (cudnn_device_create_described((const char *)text, &device, &err) < 0)
        fail_msg("%s", err.text);
    free(text);
    assert_false(cudnn_device_runs(device));
    return device;
}

static void test_description_is_refused(void **state)
{
    static const char *const texts[] = {"", "{}", "{\"deviceVer\": 900}", "no JSON"};
    struct cudnn_device *device = NULL;
    struct error err;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        err.text[0] = '\0';
        assert_true(cudnn_device_create_described(texts[i], &device, &err) < 0);
        assert_non_null(strstr(err.text, "the description of a GPU: cuDNN could not"));
        assert_null(device);
    }
    cudnn_device_destroy(NULL);
}

/* One configuration for all numbers of images: that is what keeps the bits of an image. */
static void test_names_are_those_of_any_n(void **state)
{
    static const int sizes[] = {1, 3, 64, 256};
    const char *first[CUDNN_CONFIGURATIONS_MAX], *names[CUDNN_CONFIGURATIONS_MAX];
    struct cudnn_device *device = open_h100();
    struct product p = forward;
    struct error err = {""};
    int n = cudnn_convolution_names(device, &p, first, &err);

    assert_true(n > 1);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        p.n = sizes[i];
        assert_int_equal(cudnn_convolution_names(device, &p, names, &err), n);
        for (int j = 0; j < n; j++) {
            struct cudnn_convolution *c = NULL;

            assert_ptr_equal(names[j], first[j]);
            if (cudnn_convolution_create(device, &p, names[j], &c, &err) < 0)
                fail_msg("%s for %d images: %s", names[j], p.n, err.text);
            assert_true(cudnn_convolution_workspace(c) <= 4096);
            cudnn_convolution_destroy(c);
        }
    }
    cudnn_device_destroy(device);
}

/* The order that cuDNN has compiled: with a residual before the bias. */
static void test_residual_is_fused(void **state)
{
    const char *names[CUDNN_CONFIGURATIONS_MAX];
    struct cudnn_device *device = open_h100();
    struct product p = forward;
    struct error err = {""};

    p.residual = true;
    p.scale = 0.7071f;
    assert_true(cudnn_convolution_names(device, &p, names, &err) > 0);
    p.bias = false; /* compiled at run time only */
    assert_int_equal(cudnn_convolution_names(device, &p, names, &err), 0);
    cudnn_device_destroy(device);
}

static void test_float32_is_not_for_cudnn(void **state)
{
    const char *names[CUDNN_CONFIGURATIONS_MAX];
    struct cudnn_device *device = open_h100();
    struct product p = forward;
    struct error err = {""};

    p.y_type = DTYPE_F32; /* the last convolution of a network */
    assert_int_equal(cudnn_convolution_names(device, &p, names, &err), 0);
    p.x_type = DTYPE_F32; /* there are engines, on tensor cores with rounded operands */
    assert_int_equal(cudnn_convolution_names(device, &p, names, &err), 0);
    cudnn_device_destroy(device);
}

static void test_unknown_name_is_refused(void **state)
{
    struct cudnn_device *device = open_h100();
    struct cudnn_convolution *c = NULL;
    struct error err = {""};

    assert_int_equal(cudnn_convolution_create(device, &forward, "e9999-2_0", &c, &err), -EINVAL);
    assert_non_null(strstr(err.text, "e9999-2_0"));
    assert_null(c);
    cudnn_convolution_destroy(NULL);
    cudnn_device_destroy(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_description_is_refused),
        cmocka_unit_test(test_names_are_those_of_any_n),
        cmocka_unit_test(test_residual_is_fused),
        cmocka_unit_test(test_float32_is_not_for_cudnn),
        cmocka_unit_test(test_unknown_name_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
