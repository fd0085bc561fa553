/* Only configurations of cuDNN whose bits do not depend on the number of images are used. */
#include "engine/base/error.h"
#include "engine/device.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct kernel_spec convolution(int n)
{
    struct shape images = shape_images(8, 8, 16);
    struct shape weight = shape_constant(4, (const int[]){16, 16, 3, 3});
    struct shape bias = shape_constant(1, (const int[]){16});
    struct kernel_spec spec = {
        .kind = OP_CONVOLUTION,
        .n_inputs = 3,
        .n_outputs = 1,
        .inputs = {{.dtype = DTYPE_F16, .shape = images, .n = n},
                   {.parameter = true, .shape = weight, .n = 1},
                   {.parameter = true, .shape = bias, .n = 1}},
        .outputs = {{.dtype = DTYPE_F16, .shape = images, .n = n}},
    };

    spec.attributes.window.stride = 1;
    spec.attributes.window.pad = 1;
    return spec;
}

static int list(bool unsteady, const char *names[DEVICE_ALGORITHMS_MAX], bool *packed)
{
    struct kernel_spec spec = convolution(3);
    struct device *device = NULL;
    struct kernel *kernel = NULL;
    struct error err = {""};
    int n;

    if (unsteady)
        setenv("CUDASIM_CUDNN_UNSTEADY", "1", 1);
    else
        unsetenv("CUDASIM_CUDNN_UNSTEADY");
    if (device_open("cudasim", 1, NULL, &device, &err) < 0)
        fail_msg("%s", err.text);
    n = device_algorithms(device, &spec, names);
    if (kernel_create(device, &spec, &kernel, &err) < 0)
        fail_msg("%s", err.text);
    *packed = kernel->packing[1] != 0; /* cuDNN's weights are */
    kernel->ops->destroy(kernel);
    device_close(device);
    return n;
}

static void test_steady_ones_are_used(void **state)
{
    const char *names[DEVICE_ALGORITHMS_MAX];
    bool packed;
    int n = list(false, names, &packed);

    assert_true(n >= 2);
    assert_string_equal(names[n - 1], "direct");
    assert_true(packed);
}

static void test_unsteady_ones_are_not(void **state)
{
    const char *names[DEVICE_ALGORITHMS_MAX];
    bool packed;

    assert_int_equal(list(true, names, &packed), 1);
    assert_string_equal(names[0], "direct");
    assert_false(packed);
}

/* Not by a table of choices either. */
static void test_unsteady_name_is_refused(void **state)
{
    const char *names[DEVICE_ALGORITHMS_MAX];
    struct kernel_spec spec = convolution(1);
    struct device *device = NULL;
    struct kernel *kernel = NULL;
    struct error err = {""};
    char name[128];

    unsetenv("CUDASIM_CUDNN_UNSTEADY");
    assert_int_equal(device_open("cudasim", 1, NULL, &device, &err), 0);
    assert_true(device_algorithms(device, &spec, names) >= 2);
    strncpy(name, names[0], sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    device_close(device);
    setenv("CUDASIM_CUDNN_UNSTEADY", "1", 1);
    assert_int_equal(device_open("cudasim", 1, NULL, &device, &err), 0);
    spec.algorithm = name;
    assert_int_equal(kernel_create(device, &spec, &kernel, &err), -EINVAL);
    assert_null(kernel);
    device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steady_ones_are_used),
        cmocka_unit_test(test_unsteady_ones_are_not),
        cmocka_unit_test(test_unsteady_name_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
