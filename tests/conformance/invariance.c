#include "engine/base/error.h"
#include "tests/conformance/cases.h"
#include "tests/conformance/groups.h"
#include "tests/conformance/inputs.h"
#include "tests/conformance/runner.h"
#include "tests/conformance/tap.h"

#include <stdlib.h>
#include <string.h>

enum { N_IMAGES = 3 };

/* A part of a batch: image i of it is image from[i] of the whole. */
struct part {
    int n;
    int from[N_IMAGES];
};

static void take(const struct tensor *whole, const struct part *part, struct tensor *out)
{
    struct tensor_desc desc = whole->desc;
    const size_t image_bytes = shape_count(&desc.shape) * dtype_size(desc.dtype);

    if (desc.shape.batched)
        desc.n = part->n;
    tensor_init(out, &desc);
    if (!desc.shape.batched && out->data)
        memcpy(out->data, whole->data, tensor_bytes(&desc));
    for (int i = 0; desc.shape.batched && out->data && i < part->n; i++)
        memcpy((uint8_t *)out->data + (size_t)i * image_bytes,
               (const uint8_t *)whole->data + (size_t)part->from[i] * image_bytes, image_bytes);
}

/* Whether the part, run by a kernel of its own, gives the bytes that the whole gave.
 * Unbatched outputs are sums over images and count only when the part is the whole in order. */
static int same_bytes(const struct subject *s, const struct kernel_spec *spec,
                      const struct tensor_set *whole, const struct part *part, bool in_order,
                      bool *out, struct error *err)
{
    struct kernel_spec part_spec = *spec;
    struct tensor_set set = {0};
    int rc;

    *out = true;
    case_set_images(&part_spec, part->n);
    for (int i = 0; i < spec->n_inputs; i++)
        take(&whole->inputs[i], part, &set.inputs[i]);
    rc = runner_once(s->device, &part_spec, &set, err);
    for (int i = 0; rc == 0 && i < spec->n_outputs; i++) {
        struct tensor wanted;

        if (!spec->outputs[i].shape.batched && !in_order)
            continue;
        take(&whole->outputs[i], part, &wanted);
        *out = *out && memcmp(wanted.data, set.outputs[i].data, tensor_bytes(&wanted.desc)) == 0;
        tensor_fini(&wanted);
    }
    tensor_set_fini(&set);
    return rc;
}

/* Whether an elementwise operation gives the same bytes in the place of each input that it may
 * take. */
static int same_in_place(const struct subject *s, const struct kernel_spec *spec,
                         const struct tensor_set *whole, bool *out, struct error *err)
{
    const struct tensor *y = &whole->outputs[0];
    int rc = 0;

    *out = true;
    for (int i = 0; rc == 0 && i < spec->n_inputs && op_info[spec->kind].elementwise; i++) {
        const struct tensor_desc *x = &spec->inputs[i];
        struct tensor got;
        struct runner *runner;

        if (x->dtype != y->desc.dtype || !shape_equal(&x->shape, &y->desc.shape))
            continue;
        rc = runner_create(s->device, spec, whole, &runner, err);
        if (rc < 0)
            return rc;
        tensor_init(&got, &y->desc);
        rc = runner_run_in_place(runner, i, got.data, err);
        *out = *out && rc == 0 && memcmp(got.data, y->data, tensor_bytes(&y->desc)) == 0;
        tensor_fini(&got);
        runner_destroy(runner);
    }
    return rc;
}

struct findings {
    bool again, in_place, elsewhere, alone;
};

static int examine(const struct subject *s, enum op_kind kind, int index, struct findings *out,
                   struct error *err)
{
    static const struct part whole_part = {3, {0, 1, 2}}, turned = {3, {1, 2, 0}};
    static const struct part singles[N_IMAGES] = {{1, {0}}, {1, {1}}, {1, {2}}};
    struct tensor_set whole = {0};
    struct op_case c;
    int rc;

    subject_case(s, kind, index, &c);
    case_set_images(&c.spec, N_IMAGES);
    for (int i = 0; i < c.spec.n_inputs; i++) {
        /* Any numbers will do, but keep what must be positive or whole so. */
        static const struct fill plain = {.scale = 1};

        if (!c.fill[i].positive && !c.fill[i].below)
            c.fill[i] = plain;
    }
    inputs_draw(&c, index, s->seed, &whole);
    rc = runner_once(s->device, &c.spec, &whole, err);
    if (rc == 0)
        rc = same_bytes(s, &c.spec, &whole, &whole_part, true, &out->again, err);
    if (rc == 0)
        rc = same_in_place(s, &c.spec, &whole, &out->in_place, err);
    if (rc == 0)
        rc = same_bytes(s, &c.spec, &whole, &turned, false, &out->elsewhere, err);
    out->alone = true;
    for (int i = 0; rc == 0 && i < N_IMAGES; i++) {
        bool same = true;

        rc = same_bytes(s, &c.spec, &whole, &singles[i], false, &same, err);
        out->alone = out->alone && same;
    }
    tensor_set_fini(&whole);
    return rc;
}

void invariance_check(const struct subject *s, enum op_kind kind)
{
    const char *device = device_base(s->device)->ops->name;
    const char *precision = precision_name(s->precision);
    struct error err = {""};
    /* What generates images must give each the same bytes everywhere. Gradients are summed over the
     * batch in the end: there it is enough to know. */
    const bool shown = !gradient_pair_of(kind);
    bool ok = true;
    int n_examined = 0;

    for (int index = 0; index < cases_count(kind); index++) {
        struct findings found = {false, false, false, false};
        int rc;

        if (!subject_has_case(s, kind, index))
            continue;
        n_examined++;
        rc = examine(s, kind, index, &found, &err);
        if (rc < 0)
            tap_note("%s case %d: %s", op_name(kind), index, err.text);
        else if (!found.again)
            tap_note("%s case %d: other bytes when run again", op_name(kind), index);
        else if (!found.in_place)
            tap_note("%s case %d: other bytes in the place of an input", op_name(kind), index);
        else if (!found.elsewhere)
            tap_note("%s case %d: other bytes in another place of the batch", op_name(kind), index);
        else if (!found.alone)
            tap_note("%s case %d: other bytes alone than among three", op_name(kind), index);
        ok = ok && rc == 0 && found.again && found.in_place &&
             (!shown || (found.elsewhere && found.alone));
    }
    if (n_examined > 0)
        tap_result(ok, "%s %s %s%s%s: %s (%d cases)", device, precision, op_name(kind),
                   s->algorithm ? " by " : "", s->algorithm ? s->algorithm : "",
                   shown ? "the bytes of an image depend on nothing but it"
                         : "the same bytes again",
                   n_examined);
}
