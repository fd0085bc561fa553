/* The gradients of the reference device, checked against its forward operations.
 *
 * L = sum over outputs of cotangent * output, in double. Its derivative along one element comes
 * from the five-point rule (8 (L(+h) - L(-h)) - (L(+2h) - L(-2h))) / 12h, whose error is of order
 * h^4; outputs are float32, so their rounding gives about 1e-7 |L| / h.
 */
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "tests/conformance/cases.h"
#include "tests/conformance/groups.h"
#include "tests/conformance/inputs.h"
#include "tests/conformance/runner.h"
#include "tests/conformance/tap.h"

#include <math.h>
#include <string.h>

/* Of the largest gradient: measured 4e-5 at worst, see the TAP lines. */
static const double tolerance = 1e-4;

enum {
    ELEMENTS_MAX = 4096, /* larger cases are left to the comparison of devices */
    PROBES = 16,         /* elements per input */
};

static bool is_small(const struct kernel_spec *spec)
{
    for (int i = 0; i < spec->n_inputs; i++) {
        if (tensor_count(&spec->inputs[i]) > ELEMENTS_MAX)
            return false;
    }
    return true;
}

static double cotangent_product(const struct kernel_spec *spec, const struct tensor_set *set,
                                const struct tensor *cotangent)
{
    double sum = 0;

    /* Only output 0 is differentiated: the others are kept for the gradient. */
    for (size_t i = 0; i < tensor_count(&spec->outputs[0]); i++)
        sum += tensor_at(&set->outputs[0], i) * tensor_at(cotangent, i);
    return sum;
}

/* dL / d(element e of an input). */
static int difference_quotient(struct runner *runner, const struct kernel_spec *spec,
                               struct tensor_set *set, const struct tensor *cotangent, int input,
                               size_t e, float step, double *out, struct error *err)
{
    static const double weights[] = {1, -8, 8, -1};
    static const float places[] = {-2, -1, 1, 2};
    float *element = (float *)set->inputs[input].data + e;
    const float kept = *element;
    double sum = 0;
    int rc = 0;

    for (int i = 0; rc == 0 && i < 4; i++) {
        *element = kept + places[i] * step;
        rc = runner_set_input(runner, input, &set->inputs[input], err);
        if (rc == 0)
            rc = runner_run_checked(runner, set, err);
        if (rc == 0)
            sum += weights[i] * cotangent_product(spec, set, cotangent);
    }
    *element = kept;
    if (rc == 0)
        rc = runner_set_input(runner, input, &set->inputs[input], err);
    *out = sum / (12 * (double)step);
    return rc;
}

/* Compares some elements of one gradient; *worst is relative to the largest of it, or
 * to floor. */
static int probe(struct runner *runner, const struct kernel_spec *spec, struct tensor_set *set,
                 const struct tensor *cotangent, int input, float step,
                 const struct tensor *gradient, double floor, uint64_t seed, double *worst,
                 struct error *err)
{
    const size_t count = tensor_count(&gradient->desc);
    const struct philox_key key = philox_key(seed, (uint32_t)input, 1);
    double largest = floor;

    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(tensor_at(gradient, i)));
    for (int i = 0; i < PROBES; i++) {
        uint32_t words[4];
        double quotient, difference;
        size_t e;
        int rc;

        philox_block(&key, 0, (uint32_t)i, words);
        e = count <= PROBES ? (size_t)i % count : words[0] % count;
        rc = difference_quotient(runner, spec, set, cotangent, input, e, step, &quotient, err);
        if (rc < 0)
            return rc;
        difference = fabs(quotient - tensor_at(gradient, e));
        /* fmax() would pass over NaN. */
        if (!(difference <= *worst * largest))
            *worst = largest > 0 ? difference / largest : INFINITY;
    }
    return 0;
}

void gradient_check(const struct subject *s, enum op_kind kind, int index)
{
    const struct gradient_pair *pair = gradient_pair_of(kind);
    struct tensor_set set = {0}, gradient = {0};
    struct tensor cotangent = {0};
    struct runner *runner = NULL;
    struct op_case forward_case, gradient_case;
    struct error err = {""};
    char name[64];
    double worst = 0;
    int rc;

    if (!pair)
        return;
    case_make(pair->forward, index, DTYPE_F32, &forward_case);
    case_make(kind, index, DTYPE_F32, &gradient_case);
    if (!is_small(&forward_case.spec) || forward_case.fill[0].scale != 1)
        return;
    subject_name(s, kind, index, name, sizeof(name));
    inputs_draw(&forward_case, index, s->seed, &set);
    inputs_draw_cotangent(&forward_case.spec.outputs[0], 0, index, s->seed, &cotangent);
    rc = inputs_make(s->device, kind, index, &gradient_case, s->seed, &gradient, &err);
    if (rc == 0)
        rc = runner_once(s->device, &gradient_case.spec, &gradient, &err);
    if (rc == 0)
        rc = runner_create(s->device, &forward_case.spec, &set, &runner, &err);
    for (int i = 0; rc == 0 && i < gradient_case.spec.n_outputs; i++) {
        if (!forward_case.spec.inputs[pair->wrt[i]].absent)
            rc = probe(runner, &forward_case.spec, &set, &cotangent, pair->wrt[i], pair->step,
                       &gradient.outputs[i], (double)gradient_case.floor, s->seed, &worst, &err);
    }
    if (rc < 0)
        tap_result(false, "%s against finite differences: %s", name, err.text);
    else
        tap_result(worst <= tolerance, "%s against finite differences (%s): worst %.2g", name,
                   gradient_case.text, worst);
    runner_destroy(runner);
    tensor_fini(&cotangent);
    tensor_set_fini(&set);
    tensor_set_fini(&gradient);
}
