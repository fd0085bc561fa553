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
    [DTYPE_F32] = VALUE_EXACT,
    [DTYPE_BF16] = VALUE_COMPUTE,
    [DTYPE_U32] = VALUE_KEY,
    [DTYPE_U8] = VALUE_PIXEL,
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

/* Appends an operation that writes into state. */
static void append_into(struct program *p, const struct op *op)
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

int program_convolution(struct program *p, int x, int weight, int bias, int stride, int pad,
                        enum value_type type)
{
    struct op op = {.kind = OP_CONVOLUTION, .n_inputs = 3, .inputs = {x, weight, bias}};

    op.attributes.window.stride = stride;
    op.attributes.window.pad = pad;
    return program_append_as(p, &op, NULL, type);
}

int program_linear(struct program *p, int x, int weight, int bias, bool in_first)
{
    struct op op = {.kind = OP_LINEAR, .n_inputs = 3, .inputs = {x, weight, bias}};

    op.attributes.linear.in_first = in_first;
    return program_append(p, &op);
}

int program_group_norm(struct program *p, int x, int gamma, int beta, int shift, int groups,
                       float eps, bool silu)
{
    struct op op = {.kind = OP_GROUP_NORM, .n_inputs = 4, .inputs = {x, gamma, beta, shift}};

    op.attributes.group_norm.groups = groups;
    op.attributes.group_norm.eps = eps;
    op.attributes.group_norm.silu = silu;
    return program_append(p, &op);
}

int program_silu(struct program *p, int x)
{
    return program_append(p, &(struct op){.kind = OP_SILU, .n_inputs = 1, .inputs = {x}});
}

int program_relu(struct program *p, int x)
{
    return program_append(p, &(struct op){.kind = OP_RELU, .n_inputs = 1, .inputs = {x}});
}

int program_max_pool(struct program *p, int x, int side, int stride)
{
    struct op op = {.kind = OP_MAX_POOL, .n_inputs = 1, .inputs = {x}};

    op.attributes.window.side = side;
    op.attributes.window.stride = stride;
    return program_append(p, &op);
}

int program_mean_pool(struct program *p, int x)
{
    return program_append(p, &(struct op){.kind = OP_MEAN_POOL, .n_inputs = 1, .inputs = {x}});
}

int program_upfirdn(struct program *p, int x, const float kernel[16], int up, int down,
                    const int pad[4])
{
    struct op op = {.kind = OP_UPFIRDN, .n_inputs = 1, .inputs = {x}};

    memcpy(op.attributes.upfirdn.kernel, kernel, 16 * sizeof(*kernel));
    memcpy(op.attributes.upfirdn.pad, pad, 4 * sizeof(*pad));
    op.attributes.upfirdn.up = up;
    op.attributes.upfirdn.down = down;
    return program_append(p, &op);
}

int program_concat(struct program *p, int a, int b)
{
    return program_append(p, &(struct op){.kind = OP_CONCAT, .n_inputs = 2, .inputs = {a, b}});
}

int program_slice(struct program *p, int x, int first, int count)
{
    struct op op = {.kind = OP_SLICE, .n_inputs = 1, .inputs = {x}};

    op.attributes.slice.first = first;
    op.attributes.slice.count = count;
    return program_append(p, &op);
}

int program_attention(struct program *p, int q, int k, int v, float scale)
{
    struct op op = {.kind = OP_ATTENTION, .n_inputs = 3, .inputs = {q, k, v}};

    op.attributes.attention.scale = scale;
    return program_append(p, &op);
}

int program_fourier(struct program *p, int time_cond, int weight)
{
    struct op op = {.kind = OP_FOURIER, .n_inputs = 2, .inputs = {time_cond, weight}};

    return program_append(p, &op);
}

int program_positional(struct program *p, int time_cond, int dim)
{
    struct op op = {.kind = OP_POSITIONAL, .n_inputs = 1, .inputs = {time_cond}};
    struct shape shape = shape_vectors(dim);

    return program_append_as(p, &op, &shape, VALUE_EXACT);
}

int program_add(struct program *p, int a, int b, float scale)
{
    struct op op = {.kind = OP_ADD, .n_inputs = 2, .inputs = {a, b}};

    op.attributes.add.scale = scale;
    return program_append(p, &op);
}

int program_affine(struct program *p, int x, float scale, float shift, enum value_type type)
{
    struct op op = {.kind = OP_AFFINE, .n_inputs = 1, .inputs = {x}};

    op.attributes.affine.scale = scale;
    op.attributes.affine.shift = shift;
    return program_append_as(p, &op, NULL, type);
}

int program_mix(struct program *p, int coefficients, int first, int n, const int *x,
                enum value_type type)
{
    struct op op = {.kind = OP_MIX, .n_inputs = n + 1, .inputs = {coefficients}};

    if (n < 1 || n > OP_INPUTS_MAX - 1)
        return fail(p, -EINVAL, "mix of %d values", n);
    memcpy(&op.inputs[1], x, (size_t)n * sizeof(*x));
    op.attributes.mix.first = first;
    return program_append_as(p, &op, NULL, type);
}

int program_multiply(struct program *p, int x, int m)
{
    return program_append(p, &(struct op){.kind = OP_MULTIPLY, .n_inputs = 2, .inputs = {x, m}});
}

int program_separable(struct program *p, int x, int a, int b, bool transposed)
{
    struct op op = {.kind = OP_SEPARABLE, .n_inputs = 3, .inputs = {x, a, b}};

    op.attributes.separable.transposed = transposed;
    return program_append(p, &op);
}

int program_toeplitz(struct program *p, int x, int a, int b, int gate, bool reflect)
{
    struct op op = {.kind = OP_TOEPLITZ, .n_inputs = 4, .inputs = {x, a, b, gate}};

    op.attributes.toeplitz.reflect = reflect;
    return program_append(p, &op);
}

int program_multiply_table(struct program *p, int x, int table, int place)
{
    struct op op = {.kind = OP_MULTIPLY_TABLE, .n_inputs = 3, .inputs = {x, table, place}};

    return program_append(p, &op);
}

int program_multiply_rank(struct program *p, int x, int rank, int level)
{
    struct op op = {.kind = OP_MULTIPLY_RANK, .n_inputs = 3, .inputs = {x, rank, level}};

    return program_append(p, &op);
}

int program_modes(struct program *p, int x, int coefficients, int basis)
{
    struct op op = {.kind = OP_MODES, .n_inputs = 3, .inputs = {x, coefficients, basis}};

    return program_append(p, &op);
}

int program_lookup(struct program *p, int table, int index)
{
    return program_append(p,
                          &(struct op){.kind = OP_LOOKUP, .n_inputs = 2, .inputs = {table, index}});
}

int program_pixels(struct program *p, int x)
{
    return program_append(p, &(struct op){.kind = OP_PIXELS, .n_inputs = 1, .inputs = {x}});
}

int program_normal(struct program *p, int key, int weights, int other, struct shape shape,
                   uint32_t stream)
{
    struct op op = {.kind = OP_NORMAL, .n_inputs = 3, .inputs = {key, weights, other}};

    op.attributes.draw.stream = stream;
    return program_append_as(p, &op, &shape, VALUE_EXACT);
}

int program_dropout_mask(struct program *p, int key, struct shape shape, uint32_t stream,
                         float rate)
{
    struct op op = {.kind = OP_DROPOUT_MASK, .n_inputs = 1, .inputs = {key}};

    op.attributes.draw.stream = stream;
    op.attributes.draw.rate = rate;
    return program_append_as(p, &op, &shape, VALUE_COMPUTE);
}

int program_half_square(struct program *p, int x, int weight)
{
    struct op op = {.kind = OP_HALF_SQUARE, .n_inputs = 2, .inputs = {x, weight}};

    return program_append(p, &op);
}

int program_load(struct program *p, int state, int slot)
{
    return program_append(p, &(struct op){.kind = OP_LOAD, .n_inputs = 2, .inputs = {state, slot}});
}

void program_store(struct program *p, int state, int slot, int x)
{
    append_into(p, &(struct op){.kind = OP_STORE,
                                .n_inputs = 2,
                                .inputs = {x, slot},
                                .n_outputs = 1,
                                .outputs = {state}});
}

int program_sum(struct program *p, int gradient)
{
    return program_append(p, &(struct op){.kind = OP_SUM, .n_inputs = 1, .inputs = {gradient}});
}

void program_sum_into(struct program *p, int state, int first, int gradient)
{
    struct op op = {.kind = OP_SUM,
                    .n_inputs = 1,
                    .inputs = {gradient},
                    .n_outputs = 1,
                    .outputs = {state}};

    op.attributes.slice.first = first;
    append_into(p, &op);
}

int program_norm(struct program *p, int x)
{
    return program_append(p, &(struct op){.kind = OP_NORM, .n_inputs = 1, .inputs = {x}});
}

void program_adam(struct program *p, const int states[4], int norm, int numbers)
{
    struct op op = {.kind = OP_ADAM, .n_inputs = 6, .n_outputs = 4};

    memcpy(op.inputs, states, 4 * sizeof(*states));
    memcpy(op.outputs, states, 4 * sizeof(*states));
    op.inputs[4] = norm;
    op.inputs[5] = numbers;
    append_into(p, &op);
}

void program_average(struct program *p, int average, int weights, int norm, int numbers, int first)
{
    struct op op = {.kind = OP_AVERAGE,
                    .n_inputs = 4,
                    .inputs = {average, weights, norm, numbers},
                    .n_outputs = 1,
                    .outputs = {average}};

    op.attributes.slice.first = first;
    append_into(p, &op);
}
