#include "engine/base/error.h"
#include "tests/conformance/cases.h"
#include "tests/conformance/compare.h"
#include "tests/conformance/groups.h"
#include "tests/conformance/inputs.h"
#include "tests/conformance/runner.h"
#include "tests/conformance/tap.h"

#include <inttypes.h>

static void repeat_note(const struct subject *s, enum op_kind kind, int index)
{
    tap_note("repeat: conformance --device %s --precision %s --op %s%s%s --case %d --seed %" PRIu64,
             device_base(s->device)->ops->name, precision_name(s->precision), op_name(kind),
             s->algorithm ? " --algorithm " : "", s->algorithm ? s->algorithm : "", index, s->seed);
}

void accuracy_check(const struct subject *s, enum op_kind kind, int index)
{
    struct tensor_set set = {0}, expected = {0};
    struct difference differences[OP_OUTPUTS_MAX];
    struct error err = {""};
    struct op_case c;
    char name[64];
    double nmse = 0, worst = 0;
    bool ok = true;
    int rc;

    subject_case(s, kind, index, &c);
    subject_name(s, kind, index, name, sizeof(name));
    rc = inputs_make(s->reference, kind, index, &c, s->seed, &set, &err);
    if (rc == 0)
        rc = inputs_reference(s->reference, &c.spec, &set, &expected, &err);
    if (rc == 0)
        rc = runner_once(s->device, &c.spec, &set, &err);
    if (rc < 0) {
        tap_result(false, "%s (%s): %s", name, c.text, err.text);
        repeat_note(s, kind, index);
        goto out;
    }
    for (int i = 0; i < c.spec.n_outputs; i++) {
        const struct limit limit = limit_of(&c.spec, i);

        differences[i] = compare(&set.outputs[i], &expected.outputs[i], (double)c.floor);
        ok = ok && within(&differences[i], &limit);
        nmse = differences[i].nmse > nmse ? differences[i].nmse : nmse;
        worst = differences[i].worst > worst ? differences[i].worst : worst;
    }
    tap_result(ok, "%s (%s): nmse %.2g, worst %.2g", name, c.text, nmse, worst);
    for (int i = 0; !ok && i < c.spec.n_outputs; i++) {
        const struct difference *d = &differences[i];
        const struct limit limit = limit_of(&c.spec, i);

        tap_note("output %d: nmse %.3g of %.3g, worst %.3g of %.3g at [%zu]: got %.9g, want %.9g",
                 i, d->nmse, limit.nmse, d->worst, limit.worst, d->worst_index, d->got, d->want);
    }
    if (!ok)
        repeat_note(s, kind, index);

out:
    tensor_set_fini(&set);
    tensor_set_fini(&expected);
}
