#include "engine/device.h"
#include "engine/base/choice.h"
#include "engine/base/error.h"
#include "engine/choices.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const precision_names[] = {"auto", "fp32", "bf16", "fp16"};

const char *precision_name(enum precision p)
{
    return precision_names[p];
}

int precision_parse(const char *name, enum precision *out, struct error *err)
{
    int i = choice_parse("precision", name, PRECISIONS, precision_names, err);

    if (i < 0)
        return i;
    *out = (enum precision)i;
    return 0;
}

enum dtype precision_dtype(enum precision p)
{
    static const enum dtype dtypes[] =
        {[PRECISION_FP32] = DTYPE_F32, [PRECISION_BF16] = DTYPE_BF16, [PRECISION_FP16] = DTYPE_F16};

    return dtypes[p];
}

const struct device_base *device_base(const struct device *device)
{
    return (const struct device_base *)device;
}

void device_machine(struct device *device, char text[DEVICE_MACHINE_BYTES])
{
    const struct device_ops *ops = device_base(device)->ops;
    int n = snprintf(text, DEVICE_MACHINE_BYTES, ops->machine ? "%s " : "%s", ops->name);

    if (ops->machine)
        ops->machine(device, text + n, DEVICE_MACHINE_BYTES - (size_t)n);
}

int device_algorithms(struct device *device, const struct kernel_spec *spec,
                      const char *names[DEVICE_ALGORITHMS_MAX])
{
    const struct device_ops *ops = device_base(device)->ops;

    return ops->algorithms ? ops->algorithms(device, spec, names) : 0;
}

int device_algorithm_of(struct device *device, const struct kernel_spec *spec, int n,
                        const char *const *names, struct error *err)
{
    const char *name = spec->algorithm;
    char machine[DEVICE_MACHINE_BYTES];
    int i;

    if (!name) {
        device_machine(device, machine);
        name = choices_find(device_base(device)->choices, machine, spec);
    }
    if (!name)
        return 0;
    if (n == 0)
        return error_set(err, -EINVAL, "%s has one algorithm, which is not called \"%s\"",
                         op_name(spec->kind), name);
    i = choice_parse("algorithm", name, n, names, err);
    if (i < 0) {
        char key[CHOICES_KEY_BYTES];

        if (choices_key(spec, key, NULL) == 0)
            error_prefix(err, "%s: ", key);
    }
    return i;
}

void kernel_init(struct kernel *kernel, const struct kernel_ops *ops)
{
    kernel->ops = ops;
    kernel->n_stages = 1;
    kernel->n_parts[0] = 1;
}

void device_stop_by(struct device *device, const atomic_bool *stop)
{
    ((struct device_base *)device)->stop = stop;
}

int device_check_stop(const struct device *device, struct error *err)
{
    const atomic_bool *stop = device_base(device)->stop;

    /* It orders nothing: a kernel more or less does not matter. */
    if (stop && atomic_load_explicit(stop, memory_order_relaxed))
        return error_set(err, -ECANCELED, "told to stop");
    return 0;
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
