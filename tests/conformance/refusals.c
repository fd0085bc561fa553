#include "engine/base/error.h"
#include "tests/conformance/cases.h"
#include "tests/conformance/groups.h"
#include "tests/conformance/tap.h"

#include <errno.h>
#include <string.h>

/* Whether kernel_create() refuses spec with this code and names the operation. */
static bool refuses(struct device *device, const struct kernel_spec *spec, int code,
                    const char *what)
{
    struct kernel *kernel = NULL;
    struct error err = {""};
    int rc = device_base(device)->ops->kernel_create(device, spec, &kernel, &err);

    if (rc == 0)
        kernel->ops->destroy(kernel);
    if (rc == code && !kernel && strstr(err.text, op_name(spec->kind)))
        return true;
    tap_note("%s: got %d (%s), wanted %d", what, rc, err.text, code);
    return false;
}

void refusal_check(const struct subject *s, enum op_kind kind)
{
    struct op_case good, bad;
    bool ok;

    case_make(kind, 0, DTYPE_F32, &good);

    bad = good;
    bad.spec.outputs[0].dtype = DTYPE_BF16;
    ok = refuses(s->device, &bad.spec, -ENOTSUP, "a bfloat16 output");

    bad = good;
    bad.spec.outputs[0].n++;
    ok = refuses(s->device, &bad.spec, -EINVAL, "an output of more images") && ok;

    bad = good;
    bad.spec.outputs[0].shape.dims[0] = 0;
    ok = refuses(s->device, &bad.spec, -EINVAL, "an empty dimension") && ok;

    bad = good;
    bad.spec.n_inputs = 0;
    ok = refuses(s->device, &bad.spec, -EINVAL, "no inputs") && ok;

    bad = good;
    bad.spec.n_outputs++;
    bad.spec.outputs[bad.spec.n_outputs - 1] = good.spec.outputs[0];
    ok = refuses(s->device, &bad.spec, -EINVAL, "an output too many") && ok;

    tap_result(ok, "%s %s refuses what does not fit", device_base(s->device)->ops->name,
               op_name(kind));
}
