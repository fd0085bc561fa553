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

/* How many ways there are for a convolution, with a fault of cuDNN's; NULL: none. */
static int list(const char *fault, const char *names[DEVICE_ALGORITHMS_MAX], bool *packed)
{
    struct kernel_spec spec = convolution(3);
    struct device *device = NULL;
    struct kernel *kernel = NULL;
    struct error err = {""};
    int n;

    if (fault)
        setenv("CUDASIM_CUDNN_FAULT", fault, 1);
    else
        unsetenv("CUDASIM_CUDNN_FAULT");
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
    int n = list(NULL, names, &packed);

    assert_true(n >= 2);
    assert_string_equal(names[n - 1], "direct");
    assert_true(packed);
}

/* A fault of cuDNN's after which only own kernels are left. */
static void check_fault(const char *fault)
{
    const char *names[DEVICE_ALGORITHMS_MAX];
    bool packed;

    assert_int_equal(list(fault, names, &packed), 1);
    assert_string_equal(names[0], "direct");
    assert_false(packed);
}

static void test_unsteady_ones_are_not(void **state)
{
    check_fault("unsteady");
}

/* Another configuration for one number of images alone would draw other bytes there. */
static void test_refused_for_some_numbers_are_not(void **state)
{
    static const char *const faults[] = {"refuse:1", "refuse:2", "refuse:32", "refuse:256"};

    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        check_fault(faults[i]);
}

/* So that 1, 2, 4, ... are all that there is to prove. */
static void test_cuts_have_powers_of_two(void **state)
{
    static const int rows[][2] = {{1, 1},   {2, 2},     {3, 2},     {16, 16},  {20, 16},
                                  {64, 64}, {255, 128}, {256, 256}, {300, 256}};
    struct device *device = NULL;

    unsetenv("CUDASIM_CUDNN_FAULT");
    assert_int_equal(device_open("cudasim", 1, NULL, &device, NULL), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct plan_outline outline = {.batch_max = rows[i][0]};

        assert_int_equal(device_base(device)->ops->size(device, &outline), rows[i][1]);
    }
    device_close(device);
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

    unsetenv("CUDASIM_CUDNN_FAULT");
    assert_int_equal(device_open("cudasim", 1, NULL, &device, &err), 0);
    assert_true(device_algorithms(device, &spec, names) >= 2);
    strncpy(name, names[0], sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    device_close(device);
    setenv("CUDASIM_CUDNN_FAULT", "unsteady", 1);
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
        cmocka_unit_test(test_refused_for_some_numbers_are_not),
        cmocka_unit_test(test_cuts_have_powers_of_two),
        cmocka_unit_test(test_unsteady_name_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
