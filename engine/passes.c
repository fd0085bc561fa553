#include "engine/passes.h"
#include "engine/base/error.h"
#include "engine/program.h"

#include <errno.h>
#include <stdlib.h>

struct rewriting {
    struct program *p;
    int *n_readers; /* of a value of the original: inputs it is, and 1 if it is an output */
    int *maker;     /* the operation that makes it, -1: none */
    struct passes *done;
};

/* The operation whose result `value` is, if nothing but one input reads that; else -1. */
static int sole_maker(const struct rewriting *r, int value)
{
    return value >= 0 && r->n_readers[value] == 1 ? r->maker[value] : -1;
}

static const struct value *value_of(const struct rewriting *r, int value)
{
    return program_value(r->p, value);
}

/* convolution(upfirdn(x)) -> upfirdn(convolution(x)) + bias */
static int up_after(struct rewriting *r, int at, struct error *err)
{
    const struct op *op = program_op(r->p, at);
    int up_at = op->kind == OP_CONVOLUTION ? sole_maker(r, op->inputs[0]) : -1;
    struct op convolution = *op, up;
    const struct shape *weight;
    struct shape small;

    if (up_at < 0)
        return 0;
    up = *program_op(r->p, up_at);
    weight = &value_of(r, op->inputs[1])->shape;
    if (up.kind != OP_UPFIRDN || up.attributes.upfirdn.up != 2 || up.attributes.upfirdn.down != 1 ||
        weight->dims[2] != 1 || op->attributes.window.stride != 1 ||
        op->attributes.window.pad != 0 ||
        value_of(r, op->outputs[0])->type != value_of(r, op->inputs[0])->type)
        return 0;
    small = value_of(r, up.inputs[0])->shape;
    small.dims[2] = weight->dims[0];
    convolution.inputs[0] = up.inputs[0];
    convolution.inputs[2] = -1;
    convolution.outputs[0] = program_computed(r->p, small, value_of(r, op->inputs[0])->type);
    if (convolution.outputs[0] < 0)
        return program_check(r->p, err);
    up.n_inputs = 2;
    up.inputs[0] = convolution.outputs[0];
    up.inputs[1] = op->inputs[2];
    up.outputs[0] = op->outputs[0];
    program_replace(r->p, up_at, &convolution);
    program_replace(r->p, at, &up);
    r->done->n_up_after++;
    return 0;
}

/* (convolution + residual) scale -> convolution_add. The convolution moves to where the sum was: the
 * residual may be made after it. */
static void add_into(struct rewriting *r, int at)
{
    const struct op *add = program_op(r->p, at);

    if (add->kind != OP_ADD || value_of(r, add->outputs[0])->type != VALUE_COMPUTE)
        return;
    for (int i = 0; i < 2; i++) {
        int from = sole_maker(r, add->inputs[i]);
        struct op op;

        /* A 1x1 convolution gains nothing, and leaves a 3x3 one on the other side. */
        if (from < 0 || program_op(r->p, from)->kind != OP_CONVOLUTION ||
            value_of(r, program_op(r->p, from)->inputs[1])->shape.dims[2] == 1)
            continue;
        op = *program_op(r->p, from);
        op.kind = OP_CONVOLUTION_ADD;
        op.n_inputs = 4;
        op.inputs[3] = add->inputs[1 - i];
        op.outputs[0] = add->outputs[0];
        op.attributes.add = add->attributes.add;
        program_replace(r->p, at, &op);
        program_remove(r->p, from);
        r->done->n_add_into++;
        return;
    }
}

static void count(struct rewriting *r, int n_outputs, const int *outputs)
{
    for (int i = 0; i < program_n_values(r->p); i++)
        r->maker[i] = -1;
    for (int i = 0; i < n_outputs; i++)
        r->n_readers[outputs[i]]++;
    for (int i = 0; i < program_n_ops(r->p); i++) {
        const struct op *op = program_op(r->p, i);

        for (int j = 0; j < op->n_inputs; j++) {
            if (op->inputs[j] >= 0)
                r->n_readers[op->inputs[j]]++;
        }
        for (int j = 0; j < op->n_outputs; j++)
            r->maker[op->outputs[j]] = i;
    }
}

int passes_run(const struct program *p, int n_outputs, const int *outputs, struct passes *done,
               struct program **out, struct error *err)
{
    struct rewriting r = {.done = done};
    int n_values = program_n_values(p), rc = program_copy(p, &r.p, err);

    *done = (struct passes){0, 0};
    if (rc < 0)
        return rc;
    r.n_readers = calloc((size_t)n_values + 1, sizeof(*r.n_readers));
    r.maker = calloc((size_t)n_values + 1, sizeof(*r.maker));
    if (!r.n_readers || !r.maker)
        rc = error_set(err, -ENOMEM, "out of memory rewriting a program");
    else
        count(&r, n_outputs, outputs);
    /* Neither pass makes work for itself or, in this order, for the other. */
    for (int i = 0; rc == 0 && i < program_n_ops(r.p); i++)
        rc = up_after(&r, i, err);
    for (int i = 0; rc == 0 && i < program_n_ops(r.p); i++)
        add_into(&r, i);
    if (rc == 0)
        rc = program_check(r.p, err);
    free(r.n_readers);
    free(r.maker);
    if (rc < 0)
        program_destroy(r.p);
    else
        *out = r.p;
    return rc;
}
