/* Which devices there are, and modules that have one. */
#include "engine/base/error.h"
#include "engine/device.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Opens a device, whose modules are in a folder; the text of what goes wrong. */
static const char *refusal(const char *folder, const char *name, int code)
{
    static struct error err;
    struct device *device = NULL;

    setenv("SOFTDIFF_MODULE_DIR", folder, 1);
    assert_int_equal(device_open(name, 1, NULL, &device, &err), code);
    return err.text;
}

static void a_module_that_is_not_there_is_told(void **state)
{
    assert_string_equal(refusal("/nowhere", "cudasim", -ENOTSUP),
                        "device \"cudasim\": softdiff-cudasim.so is not installed");
}

static void a_module_of_another_build_is_refused(void **state)
{
    const char *text = refusal(MODULES "/other", "cudasim", -ENOTSUP);

    assert_non_null(strstr(text, "is of another build than this program"));
}

static void a_file_that_is_no_module_is_refused(void **state)
{
    char folder[] = "/tmp/modules-XXXXXX", path[64];
    FILE *file;

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/softdiff-cudasim.so", folder);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs("no library", file);
    fclose(file);
    assert_non_null(strstr(refusal(folder, "cudasim", -ENOTSUP), path));
    unlink(path);
    rmdir(folder);
}

static void a_module_is_told_which_of_several(void **state)
{
    assert_string_equal(refusal(MODULES "/same", "cudasim", -ENOTSUP),
                        "device \"cudasim\": number 0 does not open");
    assert_string_equal(refusal(MODULES "/same", "cudasim:0", -ENOTSUP),
                        "device \"cudasim\": number 0 does not open");
    assert_string_equal(refusal(MODULES "/same", "cudasim:7", -ENOTSUP),
                        "device \"cudasim\": number 7 does not open");
}

static void names_are_read_strictly(void **state)
{
    static const char *const names[] =
        {"gpu",         "",        "cudasim:", "cudasim:x",   "cudasim:1x",
         "cuda:-1",     "cuda: 1", "cuda:64",  "cpu:1",       "cpu:",
         "auto:0",      "Cuda",    "cudasim2", "reference:3", "cpu:0",
         "reference:0", "cuda:01", "cuda:00"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_non_null(strstr(refusal(MODULES "/same", names[i], -EINVAL), "unknown device \""));
}

static void all_are_listed(void **state)
{
    struct device_entry entries[DEVICES_MAX];
    int n;

    setenv("SOFTDIFF_MODULE_DIR", MODULES "/same", 1);
    n = device_list(entries);
    assert_true(n >= 5); /* a machine may have several GPUs */
    assert_int_equal(strncmp(entries[0].name, "cuda", 4), 0);
    assert_string_equal(entries[n - 4].name, "cpu");
    assert_true(entries[n - 4].usable);
    assert_string_equal(entries[n - 3].name, "reference");
    assert_string_equal(entries[n - 2].name, "cudasim:0");
    assert_false(entries[n - 2].usable);
    assert_string_equal(entries[n - 2].text, "number 0 does not open");
    assert_string_equal(entries[n - 1].name, "cudasim:1");
    assert_string_equal(entries[n - 1].text, "number 1 does not open");
    setenv("SOFTDIFF_MODULE_DIR", "/nowhere", 1);
    n = device_list(entries);
    assert_string_equal(entries[n - 1].name, "reference"); /* the simulated one is hidden */
}

static void the_fastest_that_works_is_taken(void **state)
{
    struct device *device;

    setenv("SOFTDIFF_MODULE_DIR", MODULES "/same", 1); /* which has no "cuda" */
    assert_int_equal(device_open("auto", 1, NULL, &device, NULL), 0);
    assert_string_equal(device_base(device)->ops->name, "cpu");
    device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_module_that_is_not_there_is_told),
        cmocka_unit_test(a_module_of_another_build_is_refused),
        cmocka_unit_test(a_file_that_is_no_module_is_refused),
        cmocka_unit_test(a_module_is_told_which_of_several),
        cmocka_unit_test(names_are_read_strictly),
        cmocka_unit_test(all_are_listed),
        cmocka_unit_test(the_fastest_that_works_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
