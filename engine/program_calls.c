/* The calls that networks are written with: each fills in an operation and appends it. */
#include "engine/program.h"

#include <math.h>
#include <string.h>

int program_convolution(struct program *p, int x, int weight, int bias, int stride, int pad,
                        enum value_type type)
{
    struct op op = {.kind = OP_CONVOLUTION, .n_inputs = 3, .inputs = {x, weight, bias}};

    op.attributes.window.stride = stride;
    op.attributes.window.pad = pad;
    return program_append_as(p, &op, NULL, type);
}

int program_convolution_general(struct program *p, int x, int weight, int bias, int stride,
                                const int pad[4], int groups, enum value_type type)
{
    struct op op = {.kind = OP_CONVOLUTION_GENERAL, .n_inputs = 3, .inputs = {x, weight, bias}};

    op.attributes.general.stride = stride;
    op.attributes.general.groups = groups;
    memcpy(op.attributes.general.pad, pad, 4 * sizeof(*pad));
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

static int append_relu(struct program *p, int x, float top)
{
    struct op op = {.kind = OP_RELU, .n_inputs = 1, .inputs = {x}};

    op.attributes.relu.top = top;
    return program_append(p, &op);
}

int program_relu(struct program *p, int x)
{
    return append_relu(p, x, INFINITY);
}

int program_relu6(struct program *p, int x)
{
    return append_relu(p, x, 6);
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

int program_average_pool(struct program *p, int x)
{
    return program_append(p, &(struct op){.kind = OP_AVERAGE_POOL, .n_inputs = 1, .inputs = {x}});
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
    struct op op = {.kind = OP_MIX, .inputs = {coefficients}};

    if (n < 1 || n > OP_INPUTS_MAX - 1)
        n = 0; /* which the table of operations refuses */
    op.n_inputs = n + 1;
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
    program_append_into(p, &(struct op){.kind = OP_STORE,
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
    program_append_into(p, &op);
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
    program_append_into(p, &op);
}

void program_average(struct program *p, int average, int weights, int norm, int numbers, int first)
{
    struct op op = {.kind = OP_AVERAGE,
                    .n_inputs = 4,
                    .inputs = {average, weights, norm, numbers},
                    .n_outputs = 1,
                    .outputs = {average}};

    op.attributes.slice.first = first;
    program_append_into(p, &op);
}
