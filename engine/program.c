/* Building programs: every call appends one operation, which the table of operations checks. */
#include "engine/program.h"
#include "engine/base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct program {
    int n_values, values_capacity;
    struct value *values;
    int n_ops, ops_capacity;
    struct op *ops;
    int code; /* of the first error, 0: none */
    struct error error;
};

/* Keeps the first error. Returns -1, what a builder call returns then. */
__attribute__((format(printf, 3, 4))) static int fail(struct program *p, int code, const char *fmt,
                                                      ...)
{
    va_list args;

    if (p->code == 0) {
        p->code = code;
        va_start(args, fmt);
        vsnprintf(p->error.text, sizeof(p->error.text), fmt, args);
        va_end(args);
    }
    return -1;
}

int program_create(struct program **out, struct error *err)
{
    struct program *p = calloc(1, sizeof(*p));

    if (!p)
        return error_set(err, -ENOMEM, "out of memory for a program");
    *out = p;
    return 0;
}

void program_destroy(struct program *p)
{
    if (!p)
        return;
    for (int i = 0; i < p->n_values; i++)
        free((char *)p->values[i].name);
    free(p->values);
    free(p->ops);
    free(p);
}

int program_check(const struct program *p, struct error *err)
{
    return p->code ? error_set(err, p->code, "%s", p->error.text) : 0;
}

int program_n_values(const struct program *p)
{
    return p->n_values;
}

int program_n_ops(const struct program *p)
{
    return p->n_ops;
}

const struct value *program_value(const struct program *p, int value)
{
    return &p->values[value];
}

const struct op *program_op(const struct program *p, int op)
{
    return &p->ops[op];
}

static bool shape_valid(const struct shape *shape)
{
    size_t count = 1;

    if (shape->n_dims < 1 || shape->n_dims > SHAPE_DIMS_MAX)
        return false;
    for (int i = 0; i < shape->n_dims; i++) {
        if (shape->dims[i] < 1 || __builtin_mul_overflow(count, (size_t)shape->dims[i], &count))
            return false;
    }
    return count <= (size_t)1 << 31;
}

static int add_value(struct program *p, const char *name, struct shape shape, enum value_type type,
                     enum value_role role)
{
    char *copy = NULL;

    if (p->code)
        return -1;
    if (!shape_valid(&shape))
        return fail(p, -EINVAL, "value \"%s\" has no valid shape", name ? name : "");
    if (p->n_values == p->values_capacity) {
        int capacity = p->values_capacity ? 2 * p->values_capacity : 256;
        struct value *values = realloc(p->values, (size_t)capacity * sizeof(*values));

        if (!values)
            return fail(p, -ENOMEM, "out of memory for the values of a program");
        p->values = values;
        p->values_capacity = capacity;
    }
    if (name) {
        copy = strdup(name);
        if (!copy)
            return fail(p, -ENOMEM, "out of memory for the name of a value");
    }
    p->values[p->n_values] = (struct value){shape, type, role, copy};
    return p->n_values++;
}

static int add_named(struct program *p, const char *name, struct shape shape, enum value_type type,
                     enum value_role role)
{
    for (int i = 0; i < p->n_values; i++) {
        if (p->values[i].name && strcmp(p->values[i].name, name) == 0)
            return fail(p, -EINVAL, "two values of a program are called \"%s\"", name);
    }
    return add_value(p, name, shape, type, role);
}

int program_input(struct program *p, const char *name, struct shape shape, enum value_type type)
{
    return add_named(p, name, shape, type, VALUE_INPUT);
}

int program_parameter(struct program *p, const char *name, struct shape shape)
{
    if (shape.batched)
        return fail(p, -EINVAL, "parameter \"%s\" is batched", name);
    return add_named(p, name, shape, VALUE_EXACT, VALUE_PARAMETER);
}

int program_table(struct program *p, const char *name, struct shape shape)
{
    if (shape.batched)
        return fail(p, -EINVAL, "table \"%s\" is batched", name);
    for (int i = 0; i < p->n_values; i++) {
        const struct value *v = &p->values[i];

        if (v->role == VALUE_TABLE && strcmp(v->name, name) == 0 && shape_equal(&v->shape, &shape))
            return p->code ? -1 : i;
    }
    return add_named(p, name, shape, VALUE_EXACT, VALUE_TABLE);
}

int program_state(struct program *p, const char *name, struct shape shape)
{
    return add_named(p, name, shape, VALUE_EXACT, VALUE_STATE);
}

/* What an output of a spec is as a value; compute values are described as bfloat16. */
static const enum value_type value_types[] = {
    [DTYPE_F32] = VALUE_EXACT, [DTYPE_BF16] = VALUE_COMPUTE, [DTYPE_F16] = VALUE_COMPUTE,
    [DTYPE_U32] = VALUE_KEY,   [DTYPE_U8] = VALUE_PIXEL,
};

static struct tensor_desc describe(const struct program *p, int value, int n, enum dtype compute)
{
    struct tensor_desc desc = {.absent = value < 0, .n = 1};

    if (value >= 0) {
        const struct value *v = &p->values[value];

        desc.dtype = value_dtype(v->type, compute);
        desc.parameter = v->role == VALUE_PARAMETER;
        desc.state = v->role == VALUE_STATE;
        desc.shape = v->shape;
        desc.n = v->shape.batched ? n : 1;
    }
    return desc;
}

void program_describe(const struct program *p, const struct op *op, int n, enum dtype compute,
                      struct kernel_spec *out)
{
    *out = (struct kernel_spec){.kind = op->kind,
                                .attributes = op->attributes,
                                .n_inputs = op->n_inputs,
                                .n_outputs = op->n_outputs};
    for (int i = 0; i < op->n_inputs; i++)
        out->inputs[i] = describe(p, op->inputs[i], n, compute);
    for (int i = 0; i < op->n_outputs; i++)
        out->outputs[i] = describe(p, op->outputs[i], n, compute);
}

/* Says what is wrong with an operation, and which it is: a network has many of a kind. */
static int fail_op(struct program *p, const struct op *op, const struct error *err)
{
    for (int i = 0; i < op->n_inputs; i++) {
        const struct value *v = op->inputs[i] < 0 ? NULL : &p->values[op->inputs[i]];

        if (v && v->role == VALUE_PARAMETER)
            return fail(p, -EINVAL, "%s (with \"%s\")", err->text, v->name);
    }
    return fail(p, -EINVAL, "%s", err->text);
}

static bool inputs_exist(struct program *p, const struct op *op)
{
    for (int i = 0; i < op->n_inputs; i++) {
        if (op->inputs[i] < -1 || op->inputs[i] >= p->n_values) {
            fail(p, -EINVAL, "input %d of %s is not a value of the program", i, op_name(op->kind));
            return false;
        }
    }
    return true;
}

/* Takes an operation that has been checked. False without memory. */
static bool push(struct program *p, const struct op *op)
{
    if (p->n_ops == p->ops_capacity) {
        int capacity = p->ops_capacity ? 2 * p->ops_capacity : 256;
        struct op *ops = realloc(p->ops, (size_t)capacity * sizeof(*ops));

        if (!ops) {
            fail(p, -ENOMEM, "out of memory for the operations of a program");
            return false;
        }
        p->ops = ops;
        p->ops_capacity = capacity;
    }
    p->ops[p->n_ops++] = *op;
    return true;
}

int program_append_as(struct program *p, const struct op *op, const struct shape *shape,
                      enum value_type type)
{
    struct op appended = *op;
    struct kernel_spec spec;
    struct error err;

    if (p->code || !inputs_exist(p, op))
        return -1;
    appended.n_outputs = 0;
    program_describe(p, &appended, 1, DTYPE_BF16, &spec);
    spec.n_outputs = op->n_outputs;
    spec.outputs[0].dtype = value_dtype(type, DTYPE_BF16);
    if (shape) {
        spec.outputs[0].shape = *shape;
        spec.outputs[0].n = 1;
        spec.n_outputs = 1;
    }
    if (op_infer(&spec, DTYPE_BF16, &err) < 0)
        return fail_op(p, op, &err);
    appended.n_outputs = spec.n_outputs;
    for (int i = 0; i < spec.n_outputs; i++) {
        const struct tensor_desc *y = &spec.outputs[i];

        appended.outputs[i] = add_value(p, NULL, y->shape, value_types[y->dtype], VALUE_COMPUTED);
        if (appended.outputs[i] < 0)
            return -1;
    }
    return push(p, &appended) ? appended.outputs[0] : -1;
}

void program_append_into(struct program *p, const struct op *op)
{
    struct kernel_spec spec;
    struct error err;

    if (p->code || !inputs_exist(p, op))
        return;
    for (int i = 0; i < op->n_outputs; i++) {
        if (op->outputs[i] < 0 || op->outputs[i] >= p->n_values ||
            p->values[op->outputs[i]].role != VALUE_STATE) {
            fail(p, -EINVAL, "output %d of %s is no state", i, op_name(op->kind));
            return;
        }
    }
    program_describe(p, op, 1, DTYPE_BF16, &spec);
    if (op_check(&spec, &err) < 0)
        fail_op(p, op, &err);
    else
        push(p, op);
}

int program_append(struct program *p, const struct op *op)
{
    return program_append_as(p, op, NULL, VALUE_EXACT);
}

int program_copy(const struct program *p, struct program **out, struct error *err)
{
    struct program *copy = NULL;
    int rc = program_check(p, err);

    if (rc == 0)
        rc = program_create(&copy, err);
    for (int i = 0; rc == 0 && i < p->n_values; i++) {
        const struct value *v = &p->values[i];

        add_value(copy, v->name, v->shape, v->type, v->role);
        rc = program_check(copy, err);
    }
    if (rc == 0) {
        copy->ops = malloc(((size_t)p->n_ops + 1) * sizeof(*copy->ops));
        if (!copy->ops)
            rc = error_set(err, -ENOMEM, "out of memory for the operations of a program");
    }
    if (rc < 0) {
        program_destroy(copy);
        return rc;
    }
    memcpy(copy->ops, p->ops, (size_t)p->n_ops * sizeof(*copy->ops));
    copy->n_ops = p->n_ops;
    copy->ops_capacity = p->n_ops + 1;
    *out = copy;
    return 0;
}

int program_computed(struct program *p, struct shape shape, enum value_type type)
{
    return add_value(p, NULL, shape, type, VALUE_COMPUTED);
}

void program_replace(struct program *p, int op, const struct op *with)
{
    struct kernel_spec spec;
    struct error err;

    program_describe(p, with, 1, DTYPE_BF16, &spec);
    if (op_check(&spec, &err) < 0)
        fail_op(p, with, &err);
    else
        p->ops[op] = *with;
}

void program_remove(struct program *p, int op)
{
    p->ops[op] = (struct op){.n_outputs = 0};
}
