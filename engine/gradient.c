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
#include <string.h>

struct reverse {
    struct program *p;
    int n_values;  /* of the program before anything was appended */
    int *gradient; /* [n_values] the sum so far, or -1 */
    bool *needed;  /* [n_values] leads to one of wrt */
};

/* Appends an operation with up to OP_OUTPUTS_MAX outputs; outputs[i] receives the i-th. */
static void append(struct program *p, const struct op *op, const struct shape *shapes,
                   const enum value_type *types, int *outputs)
{
    int first = program_append(p, op, shapes, types);

    for (int i = 0; i < op->n_outputs; i++)
        outputs[i] = first < 0 ? -1 : first + i;
}

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

/* Convolution and linear have one form: y = x * weight + bias. */
static void reverse_layer(struct reverse *r, const struct op *op, int dy, enum op_kind grad_data,
                          enum op_kind grad_weight)
{
    int x = op->inputs[0], weight = op->inputs[1], bias = op->inputs[2];

    dy = as_type(r, dy, type_of(r, x));
    if (wants(r, x)) {
        struct op data = {.kind = grad_data,
                          .n_inputs = 2,
                          .inputs = {dy, weight},
                          .n_outputs = 1,
                          .attributes = op->attributes};
        struct shape shape = shape_of(r, x);
        enum value_type type = type_of(r, x);

        accumulate(r, x, program_append(r->p, &data, &shape, &type));
    }
    if (wants(r, weight) || wants(r, bias)) {
        struct op sums = {.kind = grad_weight,
                          .n_inputs = 2,
                          .inputs = {x, dy},
                          .n_outputs = 2,
                          .attributes = op->attributes};
        struct shape shapes[2] = {shape_of(r, weight), shape_of(r, dy)};
        enum value_type types[2] = {VALUE_EXACT, VALUE_EXACT};
        int outputs[2];

        shapes[1] = shape_constant(1, &shapes[1].dims[shapes[1].n_dims - 1]);
        append(r->p, &sums, shapes, types, outputs);
        if (wants(r, weight))
            accumulate(r, weight, outputs[0]);
        if (wants(r, bias))
            accumulate(r, bias, outputs[1]);
    }
}

static void reverse_group_norm(struct reverse *r, const struct op *op, int dy)
{
    int x = op->inputs[0], gamma = op->inputs[1], beta = op->inputs[2], shift = op->inputs[3];
    int outputs[4] = {-1, -1, -1, -1};
    struct op grad = {.kind = OP_GROUP_NORM_GRAD,
                      .n_inputs = 6,
                      .inputs = {x, gamma, beta, op->outputs[1], dy, shift},
                      .n_outputs = shift >= 0 ? 4 : 3,
                      .attributes = op->attributes};
    struct shape shapes[4] = {shape_of(r, x), shape_of(r, gamma), shape_of(r, beta)};
    enum value_type types[4] = {VALUE_COMPUTE, VALUE_EXACT, VALUE_EXACT, VALUE_EXACT};

    if (shift >= 0)
        shapes[3] = shape_of(r, shift);
    append(r->p, &grad, shapes, types, outputs);
    for (int i = 0; i < 4; i++) {
        if (wants(r, op->inputs[i]))
            accumulate(r, op->inputs[i], outputs[i]);
    }
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
                      .n_outputs = 3,
                      .attributes = op->attributes};
    struct shape shape = shape_of(r, dy);
    struct shape shapes[3] = {shape, shape, shape};
    enum value_type types[3] = {VALUE_COMPUTE, VALUE_COMPUTE, VALUE_COMPUTE};
    int outputs[3];

    append(r->p, &grad, shapes, types, outputs);
    for (int i = 0; i < 3; i++) {
        if (wants(r, op->inputs[i]))
            accumulate(r, op->inputs[i], outputs[i]);
    }
}

/* An operation of one output shaped like its first input, from the given inputs. */
static int append_like(struct reverse *r, enum op_kind kind, int like, int n, const int *inputs)
{
    struct op op = {.kind = kind, .n_inputs = n, .n_outputs = 1};
    struct shape shape = shape_of(r, like);
    enum value_type type = type_of(r, like);

    memcpy(op.inputs, inputs, (size_t)n * sizeof(*inputs));
    return program_append(r->p, &op, &shape, &type);
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
        accumulate(r, in[0], append_like(r, OP_SILU_GRAD, in[0], 2, (const int[]){in[0], dy}));
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
    case OP_HALF_SQUARE:
        accumulate(r, in[0],
                   append_like(r, OP_HALF_SQUARE_GRAD, in[0], 3, (const int[]){in[0], in[1], dy}));
        return 0;
    default:
        return error_set(err, -EINVAL, "%s has no derivative", op_name(op->kind));
    }
}

/* Input j of an operation is something it can be differentiated with respect to. */
static bool differentiable(const struct op *op, int j)
{
    switch (op->kind) {
    case OP_FOURIER:
    case OP_POSITIONAL:
    case OP_NORMAL:
    case OP_DROPOUT_MASK:
        return false;
    case OP_MIX:
        return j > 0;
    case OP_MULTIPLY:
    case OP_SEPARABLE:
    case OP_HALF_SQUARE:
        return j == 0;
    default:
        return true;
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
            if (wants(&r, op->inputs[j]) && differentiable(op, j)) {
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
