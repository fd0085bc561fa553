/* What does not fit the table of engine/op.c is refused, whatever tensor it is of. */
#include "engine/base/error.h"
#include "tests/conformance/cases.h"
#include "tests/conformance/groups.h"
#include "tests/conformance/tap.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum change {
    CHANGE_TYPE,      /* key and number, exact and compute */
    CHANGE_BATCHED,   /* to the contrary */
    CHANGE_IMAGES,    /* one more */
    CHANGE_SIZE,      /* a dimension too large */
    CHANGE_EMPTY,     /* a dimension of nothing */
    CHANGE_RANK,      /* no dimensions */
    CHANGE_ABSENT,    /* an input that is missing */
    CHANGE_PARAMETER, /* not a parameter any more */
    CHANGES,
};

static const char *const change_names[CHANGES] =
    {"of another type", "batched or not", "of one image more", "too large",
     "empty",           "no dimensions",  "missing",           "no parameter"};

enum { OUTPUT = 16, ANY = -1, LARGE = 1000003 };

/* What an operation leaves open, so that a change of it fits. tensor: an input, or OUTPUT + i. */
static const struct open_row {
    enum op_kind kind;
    enum change change;
    int tensor, dim;
} open_rows[] = {
    {OP_CONVOLUTION, CHANGE_TYPE, OUTPUT, ANY},
    {OP_CONVOLUTION, CHANGE_ABSENT, 2, ANY},
    {OP_CONVOLUTION_GENERAL, CHANGE_TYPE, OUTPUT, ANY},
    {OP_CONVOLUTION_GENERAL, CHANGE_ABSENT, 2, ANY},
    {OP_CONVOLUTION_ADD, CHANGE_ABSENT, 2, ANY},
    {OP_LINEAR, CHANGE_ABSENT, 2, ANY},
    {OP_MEAN_POOL, CHANGE_TYPE, 0, ANY},
    {OP_MEAN_POOL, CHANGE_SIZE, 0, 0},
    {OP_MEAN_POOL, CHANGE_SIZE, 0, 1},
    {OP_SLICE, CHANGE_SIZE, 0, 2},
    {OP_FOURIER, CHANGE_PARAMETER, 1, ANY},
    {OP_AFFINE, CHANGE_TYPE, 0, ANY},
    {OP_AFFINE, CHANGE_TYPE, OUTPUT, ANY},
    {OP_MIX, CHANGE_TYPE, 1, ANY},
    {OP_MIX, CHANGE_TYPE, OUTPUT, ANY},
    {OP_MIX, CHANGE_SIZE, 0, 0},
    {OP_MULTIPLY, CHANGE_TYPE, 1, ANY},
    {OP_SEPARABLE, CHANGE_BATCHED, 1, ANY},
    {OP_SEPARABLE, CHANGE_BATCHED, 2, ANY},
    {OP_NORMAL, CHANGE_SIZE, OUTPUT, ANY},
    {OP_DROPOUT_MASK, CHANGE_SIZE, OUTPUT, ANY},
    {OP_DROPOUT_MASK, CHANGE_TYPE, OUTPUT, ANY},
    {OP_HALF_SQUARE, CHANGE_SIZE, 0, ANY},
    {OP_TOEPLITZ, CHANGE_ABSENT, 3, ANY},
    {OP_MULTIPLY_TABLE, CHANGE_SIZE, 1, 0},
    {OP_LOOKUP, CHANGE_SIZE, 0, 0},
    {OP_LOOKUP, CHANGE_ABSENT, 1, ANY},
};

static bool is_open(enum op_kind kind, enum change change, int tensor, int dim)
{
    for (size_t i = 0; i < sizeof(open_rows) / sizeof(open_rows[0]); i++) {
        const struct open_row *r = &open_rows[i];

        if (r->kind == kind && r->change == change && r->tensor == tensor &&
            (r->dim == ANY || r->dim == dim))
            return true;
    }
    return false;
}

/* Attributes that do not fit the case. */
static const struct attribute_row {
    enum op_kind kind;
    size_t offset; /* of a float if number is not 0, else of an int */
    float number;
    int whole;
} attribute_rows[] = {
#define OFFSET(member) offsetof(struct op_attributes, member)
    {OP_CONVOLUTION, OFFSET(window.stride), 0, 3},
    {OP_CONVOLUTION, OFFSET(window.stride), 0, 0},
    {OP_CONVOLUTION, OFFSET(window.pad), 0, 2},
    {OP_CONVOLUTION, OFFSET(window.pad), 0, -1},
    {OP_CONVOLUTION_ADD, OFFSET(window.stride), 0, 2},
    {OP_CONVOLUTION_GENERAL, OFFSET(general.stride), 0, 3},
    {OP_CONVOLUTION_GENERAL, OFFSET(general.stride), 0, 0},
    {OP_CONVOLUTION_GENERAL, OFFSET(general.groups), 0, 0},
    {OP_CONVOLUTION_GENERAL, OFFSET(general.groups), 0, 3},
    {OP_CONVOLUTION_GENERAL, OFFSET(general.pad[0]), 0, -1},
    {OP_CONVOLUTION_GENERAL, OFFSET(general.pad[1]), 0, 7},
    {OP_CONVOLUTION_GENERAL, OFFSET(general.pad[3]), 0, 2},
    {OP_CONVOLUTION_GRAD_DATA, OFFSET(window.in[0]), 0, 5},
    {OP_CONVOLUTION_GRAD_DATA, OFFSET(window.in[1]), 0, 5},
    {OP_CONVOLUTION_GRAD_WEIGHT, OFFSET(window.side), 0, 1},
    {OP_GROUP_NORM, OFFSET(group_norm.groups), 0, 5},
    {OP_GROUP_NORM, OFFSET(group_norm.groups), 0, 0},
    {OP_GROUP_NORM, OFFSET(group_norm.groups), 0, 6},
    {OP_GROUP_NORM, OFFSET(group_norm.eps), -1, 0},
    {OP_GROUP_NORM_GRAD, OFFSET(group_norm.groups), 0, 4},
    {OP_RELU, OFFSET(relu.top), 0, 0},
    {OP_RELU, OFFSET(relu.top), -1, 0},
    {OP_MAX_POOL, OFFSET(window.side), 0, 4},
    {OP_MAX_POOL, OFFSET(window.side), 0, 1},
    {OP_MAX_POOL, OFFSET(window.stride), 0, 1},
    {OP_UPFIRDN, OFFSET(upfirdn.up), 0, 3},
    {OP_UPFIRDN, OFFSET(upfirdn.down), 0, 0},
    {OP_UPFIRDN, OFFSET(upfirdn.pad[0]), 0, 4},
    {OP_UPFIRDN, OFFSET(upfirdn.pad[3]), 0, -40},
    {OP_SLICE, OFFSET(slice.first), 0, -1},
    {OP_SLICE, OFFSET(slice.first), 0, 18},
    {OP_SLICE, OFFSET(slice.count), 0, 15},
    {OP_LOOKUP_GRAD, OFFSET(slice.count), 0, 6},
    {OP_MIX, OFFSET(mix.first), 0, -1},
    {OP_MIX, OFFSET(mix.first), 0, 2},
    {OP_DROPOUT_MASK, OFFSET(draw.rate), 1, 0},
    {OP_DROPOUT_MASK, OFFSET(draw.rate), -0.5f, 0},
#undef OFFSET
};

/* Whether op_check() refuses spec and names the operation, or takes it if that is wanted. */
static bool check_says(const struct kernel_spec *spec, bool fits, const char *what)
{
    struct error err = {""};
    int rc = op_check(spec, &err);

    if (fits ? rc == 0 : rc == -EINVAL && strstr(err.text, op_name(spec->kind)))
        return true;
    tap_note("%s: got %d (%s)", what, rc, err.text);
    return false;
}

/* False if the change is none. */
static bool change_tensor(struct tensor_desc *t, enum change change, int dim)
{
    const struct tensor_desc before = *t;

    switch (change) {
    case CHANGE_TYPE: /* exact is what is float32 although it could be bfloat16 */
        t->dtype = t->dtype == DTYPE_F32 ? DTYPE_BF16 : DTYPE_F32;
        break;
    case CHANGE_BATCHED:
        t->shape.batched = !t->shape.batched;
        t->n = 1;
        break;
    case CHANGE_IMAGES:
        t->n++;
        break;
    case CHANGE_SIZE:
        t->shape.dims[dim] = LARGE;
        break;
    case CHANGE_EMPTY:
        t->shape.dims[dim] = 0;
        break;
    case CHANGE_RANK:
        t->shape.n_dims = 0;
        break;
    case CHANGE_ABSENT:
        t->absent = true;
        break;
    default:
        t->parameter = false;
    }
    return t->dtype != before.dtype || t->n != before.n || t->absent != before.absent ||
           t->parameter != before.parameter || t->shape.batched != before.shape.batched ||
           t->shape.n_dims != before.shape.n_dims || t->shape.dims[dim] != before.shape.dims[dim];
}

/* Changes one tensor of a spec in every way. */
static bool tensor_refused(const struct kernel_spec *good, int tensor)
{
    const bool is_output = tensor >= OUTPUT;
    const struct tensor_desc *t =
        is_output ? &good->outputs[tensor - OUTPUT] : &good->inputs[tensor];
    bool ok = true;

    for (int change = 0; change < CHANGES && !t->absent; change++) {
        const bool each = change == CHANGE_SIZE || change == CHANGE_EMPTY;

        if (is_output && change == CHANGE_ABSENT)
            continue;
        for (int dim = 0; dim < (each ? t->shape.n_dims : 1); dim++) {
            struct kernel_spec bad = *good;
            char what[64];

            if (!change_tensor(is_output ? &bad.outputs[tensor - OUTPUT] : &bad.inputs[tensor],
                               (enum change)change, dim))
                continue;
            snprintf(what, sizeof(what), "%s %d, dimension %d: %s", is_output ? "output" : "input",
                     tensor % OUTPUT, dim, change_names[change]);
            ok =
                check_says(&bad, is_open(good->kind, (enum change)change, tensor, dim), what) && ok;
        }
    }
    return ok;
}

static bool count_refused(const struct kernel_spec *good)
{
    struct kernel_spec bad = *good;
    bool ok;

    bad.n_inputs = 0;
    ok = check_says(&bad, false, "no inputs");
    bad = *good;
    bad.n_outputs = 0;
    ok = check_says(&bad, false, "no outputs") && ok;
    bad = *good;
    bad.inputs[bad.n_inputs++] = good->inputs[0];
    ok = check_says(&bad, false, "an input too many") && ok;
    bad = *good;
    if (bad.n_outputs == OP_OUTPUTS_MAX)
        return ok;
    bad.outputs[bad.n_outputs++] = good->outputs[0];
    return check_says(&bad, false, "an output too many") && ok;
}

static bool attributes_refused(const struct kernel_spec *good)
{
    struct kernel_spec turned = *good;
    bool ok = true;

    /* The only ones that are bool: no matrix of a case 0 is its own transpose. */
    turned.attributes.linear.in_first = !good->attributes.linear.in_first;
    if (op_info[good->kind].transposed && good->kind != OP_SEPARABLE)
        ok = check_says(&turned, false, "in_first");
    for (size_t i = 0; i < sizeof(attribute_rows) / sizeof(attribute_rows[0]); i++) {
        const struct attribute_row *r = &attribute_rows[i];
        struct kernel_spec bad = *good;
        void *at = (char *)&bad.attributes + r->offset;
        char what[64];

        if (r->kind != good->kind)
            continue;
        if (r->number != 0)
            memcpy(at, &r->number, sizeof(r->number));
        else
            memcpy(at, &r->whole, sizeof(r->whole));
        snprintf(what, sizeof(what), "attribute at %zu, %g", r->offset,
                 r->number != 0 ? (double)r->number : r->whole);
        ok = check_says(&bad, false, what) && ok;
    }
    return ok;
}

void contract_check(enum op_kind kind)
{
    struct op_case good;
    bool ok;

    case_make(kind, 0, DTYPE_BF16, &good);
    ok = check_says(&good.spec, true, "the case") && count_refused(&good.spec) &&
         attributes_refused(&good.spec);
    for (int i = 0; i < good.spec.n_inputs; i++)
        ok = tensor_refused(&good.spec, i) && ok;
    for (int i = 0; i < good.spec.n_outputs; i++)
        ok = tensor_refused(&good.spec, OUTPUT + i) && ok;
    tap_result(ok, "%s refuses what does not fit", op_name(kind));
}

static void refusal_check_in(const struct subject *s, enum op_kind kind, enum precision precision)
{
    const struct device_ops *ops = device_base(s->device)->ops;
    struct kernel *kernel = NULL;
    struct error err = {""};
    struct op_case rounded;
    struct subject other = *s;
    int rc;

    other.precision = precision;
    if (ops->precision(s->device, precision, &precision, NULL) == 0 ||
        !subject_has_case(&other, kind, 0))
        return;
    case_make(kind, 0, precision_dtype(precision), &rounded);
    rc = kernel_create(s->device, &rounded.spec, &kernel, &err);
    if (rc == 0)
        kernel->ops->destroy(kernel);
    tap_result(rc == -ENOTSUP && strstr(err.text, op_name(kind)), "%s refuses %s in %s", ops->name,
               op_name(kind), precision_name(precision));
}

void refusal_check(const struct subject *s, enum op_kind kind)
{
    refusal_check_in(s, kind, PRECISION_BF16);
    refusal_check_in(s, kind, PRECISION_FP16);
}
