#include "tools/convert/onnx_program.h"
#include "engine/base/error.h"
#include "engine/program.h"
#include "tools/convert/onnx_constants.h"
#include "tools/convert/onnx_graph.h"
#include "tools/convert/onnx_noise.h"
#include "tools/convert/onnx_operators.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* Of norms and of embeddings; those of our networks are far below. */
enum { GROUPS_MAX = 64, HALF_MAX = 2048 };

static const double pi = 3.14159265358979323846;

const struct shape *onnx_shape(const struct onnx_writer *w, int value)
{
    return &program_value(w->program, value)->shape;
}

int onnx_constant(struct onnx_writer *w, const struct op *op, int input, enum onnx_layout layout)
{
    int out = -1;

    if (op->inputs[input] < 0 || w->rc < 0)
        return -1;
    w->rc = onnx_constants_find(w->constants, program_value(w->program, op->inputs[input]), layout,
                                &out, w->err);
    return out;
}

int onnx_operand(const struct onnx_writer *w, const struct op *op, int input)
{
    return op->inputs[input] < 0 ? -1 : w->values[op->inputs[input]];
}

/* Element `place` of every image's vector, to be broadcast over images or vectors. */
static int element(struct onnx_writer *w, int vector, int place, bool images)
{
    const struct onnx_attribute columns[] = {ONNX_INTEGER("axis", 1), {0}};
    int index = onnx_integers(w->o, 1, (const int64_t[]){place});
    int out = onnx_node(w->o, "Gather", 2, (const int[]){vector, index}, columns);

    return images ? onnx_reshape(w->o, out, 4, (const int64_t[]){-1, 1, 1, 1}) : out;
}

int onnx_element(struct onnx_writer *w, int vector, int place)
{
    return element(w, vector, place, true);
}

static int convolution(struct onnx_writer *w, const struct op *op)
{
    int64_t stride = op->attributes.window.stride, pad = op->attributes.window.pad;
    const int64_t strides[] = {stride, stride}, pads[] = {pad, pad, pad, pad};
    const struct onnx_attribute attributes[] = {ONNX_INTEGERS("strides", 2, strides),
                                                ONNX_INTEGERS("pads", 4, pads),
                                                {0}};
    const int inputs[] = {onnx_operand(w, op, 0), onnx_constant(w, op, 1, ONNX_AS_IS),
                          onnx_constant(w, op, 2, ONNX_AS_IS)};

    return onnx_node(w->o, "Conv", inputs[2] < 0 ? 2 : 3, inputs, attributes);
}

/* Of images it is a convolution with windows of one pixel. */
static int linear(struct onnx_writer *w, const struct op *op)
{
    bool in_first = op->attributes.linear.in_first;
    bool images = onnx_shape(w, op->inputs[0])->n_dims == 3;
    enum onnx_layout layout = images     ? (in_first ? ONNX_WINDOW_TRANSPOSED : ONNX_WINDOW)
                              : in_first ? ONNX_AS_IS
                                         : ONNX_TRANSPOSED;
    int x = onnx_operand(w, op, 0), weight = onnx_constant(w, op, 1, layout);
    int bias = onnx_constant(w, op, 2, ONNX_AS_IS);

    return onnx_node(w->o, images ? "Conv" : "Gemm", bias < 0 ? 2 : 3,
                     (const int[]){x, weight, bias}, NULL);
}

/* One number per channel, for images. */
static int per_channel(struct onnx_writer *w, int vector)
{
    return onnx_2(w->o, "Unsqueeze", vector, onnx_integers(w->o, 2, (const int64_t[]){-1, -2}));
}

static int silu(struct onnx_writer *w, int x)
{
    return onnx_2(w->o, "Mul", x, onnx_1(w->o, "Sigmoid", x));
}

/* Groups are channels of InstanceNormalization. */
static int group_norm(struct onnx_writer *w, const struct op *op)
{
    const struct onnx_attribute eps[] = {ONNX_NUMBER("epsilon", op->attributes.group_norm.eps),
                                         {0}};
    const struct shape *shape = onnx_shape(w, op->inputs[0]);
    int groups = op->attributes.group_norm.groups, x = onnx_operand(w, op, 0);
    const int64_t images[] = {0, shape->dims[2], shape->dims[0], shape->dims[1]};
    float ones[GROUPS_MAX], zeros[GROUPS_MAX] = {0};

    for (int i = 0; i < GROUPS_MAX; i++)
        ones[i] = 1;
    if (groups > GROUPS_MAX)
        w->rc =
            error_set(w->err, -ENOTSUP, "a norm has %d groups, more than %d", groups, GROUPS_MAX);
    if (w->rc < 0)
        return -1;
    if (op->inputs[3] >= 0)
        x = onnx_2(w->o, "Add", x, per_channel(w, onnx_operand(w, op, 3)));
    x = onnx_reshape(w->o, x, 3, (const int64_t[]){0, groups, -1});
    x = onnx_node(w->o, "InstanceNormalization", 3,
                  (const int[]){x, onnx_floats(w->o, 1, &groups, ones),
                                onnx_floats(w->o, 1, &groups, zeros)},
                  eps);
    x = onnx_reshape(w->o, x, 4, images);
    x = onnx_2(w->o, "Mul", x, per_channel(w, onnx_constant(w, op, 1, ONNX_AS_IS)));
    x = onnx_2(w->o, "Add", x, per_channel(w, onnx_constant(w, op, 2, ONNX_AS_IS)));
    return op->attributes.group_norm.silu ? silu(w, x) : x;
}

static int attention(struct onnx_writer *w, const struct op *op)
{
    const struct shape *shape = onnx_shape(w, op->inputs[0]);
    const int64_t positions[] = {0, 0, -1}, turned[] = {0, 2, 1};
    const int64_t images[] = {0, shape->dims[2], shape->dims[0], shape->dims[1]};
    int parts[3], p;

    for (int i = 0; i < 3; i++)
        parts[i] = onnx_reshape(w->o, onnx_operand(w, op, i), 3, positions);
    p = onnx_2(w->o, "MatMul", onnx_transpose(w->o, parts[0], 3, turned), parts[1]);
    p = onnx_2(w->o, "Mul", p, onnx_number(w->o, op->attributes.attention.scale));
    p = onnx_1(w->o, "Softmax", p); /* over the last axis */
    p = onnx_2(w->o, "MatMul", parts[2], onnx_transpose(w->o, p, 3, turned));
    return onnx_reshape(w->o, p, 4, images);
}

static int sine_and_cosine(struct onnx_writer *w, int angle)
{
    const struct onnx_attribute columns[] = {ONNX_INTEGER("axis", 1), {0}};
    const int both[] = {onnx_1(w->o, "Sin", angle), onnx_1(w->o, "Cos", angle)};

    return onnx_node(w->o, "Concat", 2, both, columns);
}

static int fourier(struct onnx_writer *w, const struct op *op)
{
    int u = onnx_1(w->o, "Log", onnx_operand(w, op, 0));

    u = onnx_2(w->o, "Mul", u, onnx_constant(w, op, 1, ONNX_AS_IS));
    u = onnx_2(w->o, "Mul", u, onnx_number(w->o, 2));
    return sine_and_cosine(w, onnx_2(w->o, "Mul", u, onnx_number(w->o, (float)pi)));
}

static int positional(struct onnx_writer *w, const struct op *op)
{
    int half = onnx_shape(w, op->outputs[0])->dims[0] / 2;
    float factor = (float)(-log(10000.0) / (half - 1)), frequencies[HALF_MAX];

    if (half > HALF_MAX)
        w->rc = error_set(w->err, -ENOTSUP, "an embedding has more than %d features", 2 * HALF_MAX);
    if (w->rc < 0)
        return -1;
    for (int i = 0; i < half; i++)
        frequencies[i] = (float)exp((double)((float)i * factor));
    return sine_and_cosine(w, onnx_2(w->o, "Mul", onnx_operand(w, op, 0),
                                     onnx_floats(w->o, 1, &half, frequencies)));
}

static int add(struct onnx_writer *w, const struct op *op)
{
    int sum = onnx_2(w->o, "Add", onnx_operand(w, op, 0), onnx_operand(w, op, 1));
    float scale = op->attributes.add.scale;

    return scale == 1 ? sum : onnx_2(w->o, "Mul", sum, onnx_number(w->o, scale));
}

static int affine(struct onnx_writer *w, const struct op *op)
{
    float scale = op->attributes.affine.scale, shift = op->attributes.affine.shift;
    int x = onnx_operand(w, op, 0);

    if (scale != 1)
        x = onnx_2(w->o, "Mul", x, onnx_number(w->o, scale));
    return shift == 0 ? x : onnx_2(w->o, "Add", x, onnx_number(w->o, shift));
}

static int mix(struct onnx_writer *w, const struct op *op)
{
    int coefficients = onnx_operand(w, op, 0), first = op->attributes.mix.first, sum = -1;
    bool images = onnx_shape(w, op->outputs[0])->n_dims == 3;

    for (int i = 1; i < op->n_inputs; i++) {
        int part = onnx_2(w->o, "Mul", onnx_operand(w, op, i),
                          element(w, coefficients, first + i - 1, images));

        sum = sum < 0 ? part : onnx_2(w->o, "Add", sum, part);
    }
    return sum;
}

static int normal(struct onnx_writer *w, const struct op *op)
{
    const struct shape *shape = onnx_shape(w, op->outputs[0]);
    const int64_t images[] = {-1, shape->dims[0], shape->dims[1], shape->dims[2]};
    int x = onnx_normals(w->o, w->key, op->attributes.draw.stream, (int)shape_count(shape));

    return onnx_transpose(w->o, onnx_reshape(w->o, x, 4, images), 4, (const int64_t[]){0, 3, 1, 2});
}

static int concat(struct onnx_writer *w, const struct op *op)
{
    const struct onnx_attribute channels[] = {ONNX_INTEGER("axis", 1), {0}};
    const int both[] = {onnx_operand(w, op, 0), onnx_operand(w, op, 1)};

    return onnx_node(w->o, "Concat", 2, both, channels);
}

int onnx_pixels(struct onnx *o, int x)
{
    x = onnx_3(o, "Clip", x, onnx_number(o, 0), onnx_number(o, 1));
    x = onnx_1(o, "Round", onnx_2(o, "Mul", x, onnx_number(o, 255)));
    return onnx_transpose(o, onnx_cast(o, x, ONNX_UINT8), 4, (const int64_t[]){0, 2, 3, 1});
}

static int silu_op(struct onnx_writer *w, const struct op *op)
{
    return silu(w, onnx_operand(w, op, 0));
}

static const onnx_operator operators[OP_KINDS] = {
    [OP_CONVOLUTION] = convolution,
    [OP_LINEAR] = linear,
    [OP_GROUP_NORM] = group_norm,
    [OP_SILU] = silu_op,
    [OP_UPFIRDN] = onnx_upfirdn,
    [OP_CONCAT] = concat,
    [OP_ATTENTION] = attention,
    [OP_FOURIER] = fourier,
    [OP_POSITIONAL] = positional,
    [OP_ADD] = add,
    [OP_AFFINE] = affine,
    [OP_MIX] = mix,
    [OP_MULTIPLY] = onnx_multiply,
    [OP_SEPARABLE] = onnx_separable,
    [OP_TOEPLITZ] = onnx_toeplitz,
    [OP_MULTIPLY_TABLE] = onnx_multiply_table,
    [OP_MULTIPLY_RANK] = onnx_multiply_rank,
    [OP_MODES] = onnx_modes,
    [OP_LOOKUP] = onnx_lookup,
    [OP_NORMAL] = normal,
};

int onnx_append_program(struct onnx *o, const struct program *p, struct onnx_constants *constants,
                        const struct onnx_key *key, int *values, struct error *err)
{
    struct onnx_writer w = {o, p, constants, key, values, 0, err};

    for (int i = 0; i < program_n_ops(p); i++) {
        const struct op *op = program_op(p, i);
        int out;

        if (!operators[op->kind])
            return error_set(err, -ENOTSUP, "the operation %s has no translation to ONNX",
                             op_name(op->kind));
        out = operators[op->kind](&w, op);
        if (w.rc < 0)
            return w.rc;
        values[op->outputs[0]] = out;
    }
    return 0;
}
