/* Weights by their names: what is asked for is read, and what does not fit is told. */
#include "model/weights.h"
#include "engine/base/error.h"
#include "engine/device.h"
#include "engine/parameters.h"
#include "engine/program.h"
#include "model/safetensors.h"
#include "tests/unit/model/files.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static float w[6] = {1, 2, 3, 4, 5, 6}, b[3] = {7, 8, 9};

/* Writes net.w, net.b and something else; w with dimensions of the caller's. */
static void write_file(const char *path, const char *w_name, size_t rows, size_t columns)
{
    struct safetensors_tensor tensors[3] = {
        {.name = w_name, .dtype = SAFETENSORS_F32, .n_dims = 2, .dims = {rows, columns}, .data = w},
        {.name = "net.b", .dtype = SAFETENSORS_F32, .n_dims = 1, .dims = {3}, .data = b},
        {.name = "prior.mean", .dtype = SAFETENSORS_F32, .n_dims = 1, .dims = {3}, .data = b},
    };
    struct error err;

    if (safetensors_write(path, 3, tensors, 0, NULL, &err) < 0)
        fail_msg("%s", err.text);
}

static void refused(const char *path, const struct parameters *parameters, const char *text)
{
    float values[9];
    struct error err = {""};

    assert_int_equal(weights_read(path, "net.", parameters, values, &err), -EINVAL);
    if (!strstr(err.text, text) || !strstr(err.text, path))
        fail_msg("\"%s\" does not speak of \"%s\"", err.text, text);
}

static void weights_are_found_by_name(void **state)
{
    const char *path = files_path("weights.safetensors");
    struct parameters *parameters;
    struct program *p;
    struct device *device;
    struct error err = {""};
    float values[9] = {0};

    assert_int_equal(program_create(&p, NULL), 0);
    program_parameter(p, "b", shape_constant(1, (const int[]){3}));
    program_parameter(p, "w", shape_constant(2, (const int[]){2, 3}));
    assert_int_equal(device_open("reference", 1, NULL, &device, NULL), 0);
    assert_int_equal(parameters_create(device, p, &parameters, NULL), 0);

    write_file(path, "net.w", 2, 3);
    if (weights_read(path, "net.", parameters, values, &err) < 0)
        fail_msg("%s", err.text);
    assert_memory_equal(values + parameters_offset(parameters, 0), b, sizeof(b));
    assert_memory_equal(values + parameters_offset(parameters, 1), w, sizeof(w));

    write_file(path, "net.w", 3, 2);
    refused(path, parameters, "tensor \"net.w\" is [3,2], the model needs [2,3]");
    write_file(path, "w", 2, 3);
    refused(path, parameters, "tensor \"net.w\" is missing");
    w[4] = NAN;
    write_file(path, "net.w", 2, 3);
    refused(path, parameters, "net.w");
    assert_int_equal(weights_read("/nowhere", "", parameters, values, &err), -ENOENT);

    parameters_destroy(parameters);
    device_close(device);
    program_destroy(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(weights_are_found_by_name)};

    return cmocka_run_group_tests_name("weights", tests, files_set_up, files_tear_down);
}
