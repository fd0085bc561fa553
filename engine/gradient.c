/* Reverse mode: walk the operations backwards from y, append for each the operations of its
 * derivative, and keep for each value the sum of what came back.
 *
 * Needed values only: an operation is differentiated with respect to an input if that input leads
 * to one of `wrt`.
 */
#include "engine/gradient.h"
#include "engine/base/error.h"
#include "engine/program.h"

#include <errno.h>
#include <stdlib.h>

struct reverse {
    struct program *p;
    int n_values;  /* of the program before anything was appended */
    int *gradient; /* [n_values] the sum so far, or -1 */
    bool *needed;  /* [n_values] leads to one of wrt */
};

/* Adds a contribution to the gradient of a value. */
static void accumulate(struct reverse *r, int value, int contribution)
{
    if (contribution < 0)
        return;
    if (r->gradient[value] < 0)
        r->gradient[value] = contribution;
    else
        r->gradient[value] = program_add(r->p, r->gradient[value], contribution, 1.0f);
}

static bool wants(const struct reverse *r, int value)
{
    return value >= 0 && r->needed[value];
}

static struct shape shape_of(const struct reverse *r, int value)
{
    return program_value(r->p, value)->shape;
}

static enum value_type type_of(const struct reverse *r, int value)
{
    return program_value(r->p, value)->type;
}

/* dy in the type that a layer computes in: the last convolution of a network gives exact values. */
static int as_type(struct reverse *r, int dy, enum value_type type)
{
    return type_of(r, dy) == type ? dy : program_affine(r->p, dy, 1.0f, 0.0f, type);
}

/* Adds output i of an operation to the gradient of values[i], for those that want one. */
static void accumulate_all(struct reverse *r, int first, int n, const int *values)
{
    for (int i = 0; i < n; i++) {
        if (first >= 0 && wants(r, values[i]))
            accumulate(r, values[i], first + i);
    }
}

/* Convolution and linear have one form: y = x * weight + bias. */
static void reverse_layer(struct reverse *r, const struct op *op, int dy, enum op_kind grad_data,
                          enum op_kind grad_weight)
{
    int x = op->inputs[0], weight = op->inputs[1];
    struct op grad = {.n_inputs = 2, .attributes = op->attributes};

    if (op->kind == OP_CONVOLUTION) {
        grad.attributes.window.in[0] = shape_of(r, x).dims[0];
        grad.attributes.window.in[1] = shape_of(r, x).dims[1];
        grad.attributes.window.side = shape_of(r, weight).dims[2];
    }
    dy = as_type(r, dy, type_of(r, x));
    if (wants(r, x)) {
        grad.kind = grad_data;
        grad.inputs[0] = dy;
        grad.inputs[1] = weight;
        accumulate(r, x, program_append(r->p, &grad));
    }
    if (wants(r, weight) || wants(r, op->inputs[2])) {
        grad.kind = grad_weight;
        grad.inputs[0] = x;
        grad.inputs[1] = dy;
        accumulate_all(r, program_append(r->p, &grad), 2, &op->inputs[1]);
    }
}

static void reverse_group_norm(struct reverse *r, const struct op *op, int dy)
{
    int x = op->inputs[0], gamma = op->inputs[1], beta = op->inputs[2], shift = op->inputs[3];
    struct op grad = {.kind = OP_GROUP_NORM_GRAD,
                      .n_inputs = 6,
                      .inputs = {x, gamma, beta, op->outputs[1], dy, shift},
                      .n_outputs = shift >= 0 ? 4 : 3,
                      .attributes = op->attributes};

    accumulate_all(r, program_append(r->p, &grad), grad.n_outputs, op->inputs);
}

/* The adjoint of an upfirdn is an upfirdn: factors exchanged, kernel flipped, pads such that the
 * sizes come out (Karras et al. 2019, StyleGAN2; upfirdn2d.py of the reference). */
static void reverse_upfirdn(struct reverse *r, const struct op *op, int dy)
{
    struct shape in = shape_of(r, op->inputs[0]), out = shape_of(r, dy);
    const int *pad = op->attributes.upfirdn.pad;
    int up = op->attributes.upfirdn.up, down = op->attributes.upfirdn.down;
    float flipped[16];
    int adjoint[4];

    for (int i = 0; i < 16; i++)
        flipped[i] = op->attributes.upfirdn.kernel[15 - i];
    for (int axis = 0; axis < 2; axis++) {
        adjoint[2 * axis] = 3 - pad[2 * axis];
        adjoint[2 * axis + 1] = in.dims[axis] * up - out.dims[axis] * down + pad[2 * axis] - up + 1;
    }
    accumulate(r, op->inputs[0], program_upfirdn(r->p, dy, flipped, down, up, adjoint));
}

static void reverse_attention(struct reverse *r, const struct op *op, int dy)
{
    struct op grad = {.kind = OP_ATTENTION_GRAD,
                      .n_inputs = 5,
                      .inputs = {op->inputs[0], op->inputs[1], op->inputs[2], op->outputs[1], dy},
                      .attributes = op->attributes};

    accumulate_all(r, program_append(r->p, &grad), 3, op->inputs);
}

static void reverse_lookup(struct reverse *r, const struct op *op, int dy)
{
    struct op grad = {.kind = OP_LOOKUP_GRAD, .n_inputs = 2, .inputs = {op->inputs[1], dy}};

    grad.attributes.slice.count = shape_of(r, op->inputs[0]).dims[0];
    accumulate(r, op->inputs[0], program_append(r->p, &grad));
}

/* Appends the derivative of one operation whose output has the gradient dy. */
static int reverse_op(struct reverse *r, const struct op *op, int dy, struct error *err)
{
    struct program *p = r->p;
    const int *in = op->inputs;

    switch (op->kind) {
    case OP_CONVOLUTION:
        reverse_layer(r, op, dy, OP_CONVOLUTION_GRAD_DATA, OP_CONVOLUTION_GRAD_WEIGHT);
        return 0;
    case OP_LINEAR:
        reverse_layer(r, op, dy, OP_LINEAR_GRAD_DATA, OP_LINEAR_GRAD_WEIGHT);
        return 0;
    case OP_GROUP_NORM:
        reverse_group_norm(r, op, dy);
        return 0;
    case OP_SILU:
        accumulate(r, in[0],
                   program_append(p, &(struct op){.kind = OP_SILU_GRAD,
                                                  .n_inputs = 2,
                                                  .inputs = {in[0], dy}}));
        return 0;
    case OP_UPFIRDN:
        reverse_upfirdn(r, op, dy);
        return 0;
    case OP_CONCAT: {
        int first = 0;

        for (int i = 0; i < 2; i++) {
            int count = shape_of(r, in[i]).dims[2];

            if (wants(r, in[i]))
                accumulate(r, in[i], program_slice(p, dy, first, count));
            first += count;
        }
        return 0;
    }
    case OP_ATTENTION:
        reverse_attention(r, op, dy);
        return 0;
    case OP_ADD: {
        float scale = op->attributes.add.scale;
        int scaled = scale == 1.0f ? dy : program_affine(p, dy, scale, 0.0f, type_of(r, dy));

        for (int i = 0; i < 2; i++) {
            if (wants(r, in[i]))
                accumulate(r, in[i], scaled);
        }
        return 0;
    }
    case OP_AFFINE:
        if (op->attributes.affine.scale == 1.0f)
            accumulate(r, in[0], as_type(r, dy, type_of(r, in[0])));
        else
            accumulate(r, in[0],
                       program_affine(p, dy, op->attributes.affine.scale, 0.0f, type_of(r, in[0])));
        return 0;
    case OP_MIX:
        for (int i = 1; i < op->n_inputs; i++) {
            if (wants(r, in[i]))
                accumulate(r, in[i],
                           program_mix(p, in[0], op->attributes.mix.first + i - 1, 1, &dy,
                                       type_of(r, in[i])));
        }
        return 0;
    case OP_MULTIPLY:
        accumulate(r, in[0], program_multiply(p, dy, in[1]));
        return 0;
    case OP_SEPARABLE:
        accumulate(r, in[0],
                   program_separable(p, dy, in[1], in[2], !op->attributes.separable.transposed));
        return 0;
    case OP_TOEPLITZ:
        accumulate(r, in[0],
                   program_toeplitz(p, dy, in[1], in[2], in[3], op->attributes.toeplitz.reflect));
        return 0;
    case OP_MULTIPLY_TABLE:
        accumulate(r, in[0], program_multiply_table(p, dy, in[1], in[2]));
        return 0;
    case OP_MULTIPLY_RANK:
        accumulate(r, in[0], program_multiply_rank(p, dy, in[1], in[2]));
        return 0;
    case OP_LOOKUP:
        reverse_lookup(r, op, dy);
        return 0;
    case OP_HALF_SQUARE:
        accumulate(r, in[0],
                   program_append(p, &(struct op){.kind = OP_HALF_SQUARE_GRAD,
                                                  .n_inputs = 3,
                                                  .inputs = {in[0], in[1], dy}}));
        return 0;
    default:
        return error_set(err, -EINVAL, "%s has no derivative", op_name(op->kind));
    }
}

int gradient_append(struct program *p, int y, int dy, int n, const int *wrt, int *gradients,
                    struct error *err)
{
    struct reverse r = {.p = p, .n_values = program_n_values(p)};
    int n_ops = program_n_ops(p);
    int rc = program_check(p, err);

    if (rc < 0)
        return rc;
    r.gradient = malloc((size_t)r.n_values * sizeof(*r.gradient));
    r.needed = calloc((size_t)r.n_values, sizeof(*r.needed));
    if (!r.gradient || !r.needed) {
        rc = error_set(err, -ENOMEM, "out of memory to differentiate a program");
        goto out;
    }
    for (int i = 0; i < r.n_values; i++)
        r.gradient[i] = -1;
    for (int i = 0; i < n; i++)
        r.needed[wrt[i]] = true;
    for (int i = 0; i < n_ops; i++) {
        const struct op *op = program_op(p, i);

        for (int j = 0; j < op->n_inputs; j++) {
            if (wants(&r, op->inputs[j]) && !(op_info[op->kind].constant >> j & 1)) {
                for (int k = 0; k < op->n_outputs; k++)
                    r.needed[op->outputs[k]] = true;
            }
        }
    }
    r.gradient[y] = dy;
    for (int i = n_ops - 1; i >= 0; i--) {
        struct op op = *program_op(p, i); /* appending moves the operations */
        int d = r.gradient[op.outputs[0]];

        if (d < 0 || !r.needed[op.outputs[0]])
            continue;
        rc = reverse_op(&r, &op, d, err);
        if (rc == 0)
            rc = program_check(p, err);
        if (rc < 0) {
            error_prefix(err, "differentiating %s: ", op_name(op.kind));
            goto out;
        }
    }
    for (int i = 0; i < n; i++)
        gradients[i] = r.gradient[wrt[i]];

out:
    free(r.gradient);
    free(r.needed);
    return rc;
}
