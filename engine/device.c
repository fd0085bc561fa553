#include "engine/device.h"
#include "engine/base/choice.h"
#include "engine/base/error.h"
#include "engine/base/pool.h"
#include "engine/cpu/cpu_device.h"
#include "engine/reference/reference_device.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* In the order in which "auto" tries them; reference is never chosen for its speed. */
static const struct device_ops *const devices[] = {
    &cpu_device_ops,
    &reference_device_ops,
};

enum { N_DEVICES = sizeof(devices) / sizeof(devices[0]) };

static const char *const precision_names[] = {"auto", "fp32", "bf16"};

const char *precision_name(enum precision p)
{
    return precision_names[p];
}

int precision_parse(const char *name, enum precision *out, struct error *err)
{
    int i = choice_parse("precision", name, PRECISION_BF16 + 1, precision_names, err);

    if (i < 0)
        return i;
    *out = (enum precision)i;
    return 0;
}

int device_open(const char *name, int n_threads, struct device **out, struct error *err)
{
    if (n_threads < 0)
        return error_set(err, -EINVAL, "a device cannot have %d threads", n_threads);
    if (n_threads == 0)
        n_threads = pool_available_threads();
    /* The first that this machine can run. */
    for (int i = 0; strcmp(name, "auto") == 0; i++) {
        int rc = devices[i]->open(n_threads, out, err);

        if (rc != -ENOTSUP || i == N_DEVICES - 1)
            return rc;
    }
    for (int i = 0; i < N_DEVICES; i++) {
        if (strcmp(name, devices[i]->name) == 0)
            return devices[i]->open(n_threads, out, err);
    }
    error_set(err, -EINVAL, "unknown device \"%s\": known are auto", name);
    for (int i = 0; err && i < N_DEVICES; i++) {
        size_t used = strlen(err->text);

        snprintf(err->text + used, sizeof(err->text) - used, ", %s", devices[i]->name);
    }
    return -EINVAL;
}

void device_close(struct device *device)
{
    if (device)
        device_base(device)->ops->close(device);
}

const char *device_name_at(int i)
{
    return i >= 0 && i < N_DEVICES ? devices[i]->name : NULL;
}

const struct device_base *device_base(const struct device *device)
{
    return (const struct device_base *)device;
}

void kernel_init(struct kernel *kernel, const struct kernel_ops *ops)
{
    kernel->ops = ops;
    kernel->n_stages = 1;
    kernel->n_parts[0] = 1;
}

int kernel_create(struct device *device, const struct kernel_spec *spec, struct kernel **out,
                  struct error *err)
{
    int rc = op_check(spec, err);

    return rc < 0 ? rc : device_base(device)->ops->kernel_create(device, spec, out, err);
}

int kernel_run(const struct kernel *kernel, const struct kernel_args *args, struct error *err)
{
    int rc = 0;

    for (int stage = 0; stage < kernel->n_stages; stage++) {
        for (int part = 0; part < kernel->n_parts[stage] && rc == 0; part++)
            rc = kernel->ops->run(kernel, stage, part, args, err);
    }
    return rc;
}
