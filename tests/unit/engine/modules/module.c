/* A module with a device that has two of its kind and opens neither. */
#include "engine/module.h"
#include "engine/base/error.h"
#include "engine/device.h"

#include <errno.h>

static int fake_count(struct error *err)
{
    return 2;
}

static int fake_open(int ordinal, int n_threads, struct device **out, struct error *err)
{
    return error_set(err, -ENOTSUP, "number %d does not open", ordinal);
}

static const struct device_ops ops = {.name = "cudasim", .count = fake_count, .open = fake_open};

__attribute__((visibility("default"))) const struct module softdiff_module = {
    .interface = MODULE_INTERFACE,
    .build = TEST_BUILD,
    .device = &ops,
};
