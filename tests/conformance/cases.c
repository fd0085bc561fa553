#include "tests/conformance/cases.h"
#include "tests/conformance/case_parts.h"

#include <math.h>
#include <string.h>

static const struct case_family *family_of(enum op_kind kind)
{
    const struct case_family *families[] = {product_cases, resample_cases, pointwise_cases};

    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        if (families[i][kind].count > 0)
            return &families[i][kind];
    }
    return &row_cases[kind];
}

int cases_count(enum op_kind kind)
{
    return family_of(kind)->count;
}

/* float16 ends at 65504. */
static void bound_fills(struct op_case *c)
{
    for (int i = 0; i < c->spec.n_inputs; i++)
        c->fill[i].scale = fminf(c->fill[i].scale, 1e3f);
}

void case_make(enum op_kind kind, int index, enum dtype compute, struct op_case *out)
{
    memset(out, 0, sizeof(*out));
    out->spec.kind = kind;
    family_of(kind)->make(kind, index, compute, out);
    if (compute == DTYPE_F16)
        bound_fills(out);
}

static void set_images(struct tensor_desc *tensors, int n_tensors, int n)
{
    for (int i = 0; i < n_tensors; i++) {
        if (tensors[i].shape.batched)
            tensors[i].n = n;
    }
}

void case_set_images(struct kernel_spec *spec, int n)
{
    set_images(spec->inputs, spec->n_inputs, n);
    set_images(spec->outputs, spec->n_outputs, n);
}

const struct gradient_pair *gradient_pair_of(enum op_kind kind)
{
    enum { X = FORWARD_INPUT, Y = FORWARD_OUTPUT, DY = FORWARD_COTANGENT };
    static const struct gradient_pair pairs[] = {
        {OP_CONVOLUTION, OP_CONVOLUTION_GRAD_DATA, {DY, X + 1}, 2, {0}, 1, 1},
        {OP_CONVOLUTION, OP_CONVOLUTION_GRAD_WEIGHT, {X, DY}, 2, {1, 2}, 2, 1},
        {OP_LINEAR, OP_LINEAR_GRAD_DATA, {DY, X + 1}, 2, {0}, 1, 1},
        {OP_LINEAR, OP_LINEAR_GRAD_WEIGHT, {X, DY}, 2, {1, 2}, 2, 1},
        {OP_GROUP_NORM,
         OP_GROUP_NORM_GRAD,
         {X, X + 1, X + 2, Y + 1, DY, X + 3},
         6,
         {0, 1, 2, 3},
         4,
         0x1p-6f},
        {OP_SILU, OP_SILU_GRAD, {X, DY}, 2, {0}, 1, 0x1p-5f},
        {OP_ATTENTION, OP_ATTENTION_GRAD, {X, X + 1, X + 2, Y + 1, DY}, 5, {0, 1, 2}, 3, 0x1p-4f},
        {OP_HALF_SQUARE, OP_HALF_SQUARE_GRAD, {X, X + 1, DY}, 3, {0}, 1, 1},
        {OP_LOOKUP, OP_LOOKUP_GRAD, {X + 1, DY}, 2, {0}, 1, 1},
    };

    for (int i = 0; i < (int)(sizeof(pairs) / sizeof(pairs[0])); i++) {
        if (pairs[i].gradient == kind)
            return &pairs[i];
    }
    return NULL;
}
