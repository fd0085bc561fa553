/* Building programs: every call checks its operands, then appends one operation. */
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

struct shape shape_batched(int n_dims, const int *dims)
{
    struct shape shape = {.batched = true, .n_dims = n_dims};

    memcpy(shape.dims, dims, (size_t)n_dims * sizeof(*dims));
    return shape;
}

struct shape shape_images(int h, int w, int c)
{
    return shape_batched(3, (const int[]){h, w, c});
}

struct shape shape_vectors(int c)
{
    return shape_batched(1, &c);
}

struct shape shape_constant(int n_dims, const int *dims)
{
    struct shape shape = shape_batched(n_dims, dims);

    shape.batched = false;
    return shape;
}

size_t shape_count(const struct shape *shape)
{
    size_t count = 1;

    for (int i = 0; i < shape->n_dims; i++)
        count *= (size_t)shape->dims[i];
    return count;
}

bool shape_equal(const struct shape *a, const struct shape *b)
{
    return a->batched == b->batched && a->n_dims == b->n_dims &&
           memcmp(a->dims, b->dims, (size_t)a->n_dims * sizeof(a->dims[0])) == 0;
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

int program_append(struct program *p, const struct op *op, const struct shape *shapes,
                   const enum value_type *types)
{
    struct op appended = *op;

    if (p->code)
        return -1;
    for (int i = 0; i < op->n_inputs; i++) {
        if (op->inputs[i] < -1 || op->inputs[i] >= p->n_values)
            return fail(p, -EINVAL, "input %d of %s is not a value of the program", i,
                        op_name(op->kind));
    }
    if (p->n_ops == p->ops_capacity) {
        int capacity = p->ops_capacity ? 2 * p->ops_capacity : 256;
        struct op *ops = realloc(p->ops, (size_t)capacity * sizeof(*ops));

        if (!ops)
            return fail(p, -ENOMEM, "out of memory for the operations of a program");
        p->ops = ops;
        p->ops_capacity = capacity;
    }
    for (int i = 0; i < op->n_outputs; i++) {
        appended.outputs[i] = add_value(p, NULL, shapes[i], types[i], VALUE_COMPUTED);
        if (appended.outputs[i] < 0)
            return -1;
    }
    p->ops[p->n_ops++] = appended;
    return appended.outputs[0];
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
    p->ops[op] = *with;
}

/* One output. */
static int append_one(struct program *p, const struct op *op, struct shape shape,
                      enum value_type type)
{
    struct op one = *op;

    one.n_outputs = 1;
    return program_append(p, &one, &shape, &type);
}

/* The operand, or NULL after recording what is wrong with it. */
static const struct value *operand(struct program *p, enum op_kind kind, int value)
{
    if (p->code)
        return NULL;
    if (value < 0 || value >= p->n_values) {
        fail(p, -EINVAL, "an input of %s is missing", op_name(kind));
        return NULL;
    }
    return &p->values[value];
}

static bool is_images(const struct value *v)
{
    return v->shape.batched && v->shape.n_dims == 3 && v->type != VALUE_KEY;
}

static bool is_vectors(const struct value *v)
{
    return v->shape.batched && v->shape.n_dims == 1 && v->type == VALUE_EXACT;
}

static bool is_parameter(const struct value *v, int n_dims)
{
    return !v->shape.batched && v->shape.n_dims == n_dims && v->type == VALUE_EXACT;
}

/* True if the optional value is absent or is a parameter of n elements. */
static bool fits_bias(const struct program *p, int value, int n)
{
    return value == -1 ||
           (value >= 0 && value < p->n_values && is_parameter(&p->values[value], 1) &&
            p->values[value].shape.dims[0] == n);
}

int program_convolution(struct program *p, int x, int weight, int bias, int stride, int pad,
                        enum value_type type)
{
    const struct value *vx = operand(p, OP_CONVOLUTION, x);
    const struct value *vw = operand(p, OP_CONVOLUTION, weight);
    struct op op = {.kind = OP_CONVOLUTION, .n_inputs = 3, .inputs = {x, weight, bias}};
    int o, k, h, w;

    if (!vx || !vw)
        return -1;
    if (!is_images(vx) || vx->type != VALUE_COMPUTE || !is_parameter(vw, 4) ||
        vw->shape.dims[2] != vw->shape.dims[3])
        return fail(p, -EINVAL, "convolution needs compute images and a square kernel");
    o = vw->shape.dims[0];
    k = vw->shape.dims[2];
    if (vx->shape.dims[2] != vw->shape.dims[1])
        return fail(p, -EINVAL, "convolution \"%s\" takes %d channels, not %d",
                    vw->name ? vw->name : "", vw->shape.dims[1], vx->shape.dims[2]);
    if ((k != 1 && k != 3) || stride < 1 || stride > 2 || pad < 0 || pad > 1 ||
        !fits_bias(p, bias, o))
        return fail(p, -EINVAL, "convolution \"%s\" has an unusable kernel, stride, pad or bias",
                    vw->name ? vw->name : "");
    h = vx->shape.dims[0] + 2 * pad - k;
    w = vx->shape.dims[1] + 2 * pad - k;
    if (h < 0 || w < 0)
        return fail(p, -EINVAL, "convolution \"%s\" is larger than its image",
                    vw->name ? vw->name : "");
    op.attributes.window.stride = stride;
    op.attributes.window.pad = pad;
    op.attributes.window.in[0] = vx->shape.dims[0];
    op.attributes.window.in[1] = vx->shape.dims[1];
    op.attributes.window.side = k;
    return append_one(p, &op, shape_images(h / stride + 1, w / stride + 1, o), type);
}

int program_linear(struct program *p, int x, int weight, int bias, bool in_first)
{
    const struct value *vx = operand(p, OP_LINEAR, x);
    const struct value *vw = operand(p, OP_LINEAR, weight);
    struct op op = {.kind = OP_LINEAR, .n_inputs = 3, .inputs = {x, weight, bias}};
    struct shape shape;
    int in, out;

    if (!vx || !vw)
        return -1;
    if (!vx->shape.batched || vx->type == VALUE_KEY || !is_parameter(vw, 2))
        return fail(p, -EINVAL, "linear needs batched values and a matrix");
    in = vw->shape.dims[in_first ? 0 : 1];
    out = vw->shape.dims[in_first ? 1 : 0];
    shape = vx->shape;
    if (shape.dims[shape.n_dims - 1] != in || !fits_bias(p, bias, out))
        return fail(p, -EINVAL, "linear \"%s\" takes %d channels, not %d", vw->name ? vw->name : "",
                    in, shape.dims[shape.n_dims - 1]);
    shape.dims[shape.n_dims - 1] = out;
    op.attributes.linear.in_first = in_first;
    return append_one(p, &op, shape, vx->type);
}

int program_group_norm(struct program *p, int x, int gamma, int beta, int shift, int groups,
                       float eps, bool silu)
{
    const struct value *vx = operand(p, OP_GROUP_NORM, x);
    struct op op = {.kind = OP_GROUP_NORM,
                    .n_inputs = 4,
                    .inputs = {x, gamma, beta, shift},
                    .n_outputs = 2};
    struct shape shapes[2];
    enum value_type types[2] = {VALUE_COMPUTE, VALUE_EXACT};
    int c;

    if (!vx || !operand(p, OP_GROUP_NORM, gamma) || !operand(p, OP_GROUP_NORM, beta))
        return -1;
    if (!is_images(vx) || vx->type != VALUE_COMPUTE)
        return fail(p, -EINVAL, "group_norm needs compute images");
    c = vx->shape.dims[2];
    if (groups < 1 || c % groups || !fits_bias(p, gamma, c) || !fits_bias(p, beta, c) || !(eps > 0))
        return fail(p, -EINVAL, "group_norm of %d channels cannot have %d groups", c, groups);
    if (shift != -1 && (!operand(p, OP_GROUP_NORM, shift) || !is_vectors(&p->values[shift]) ||
                        p->values[shift].shape.dims[0] != c))
        return fail(p, -EINVAL, "the shift of group_norm is not [n,%d]", c);
    shapes[0] = vx->shape;
    shapes[1] = shape_batched(2, (const int[]){2, groups});
    op.attributes.group_norm.groups = groups;
    op.attributes.group_norm.eps = eps;
    op.attributes.group_norm.silu = silu;
    return program_append(p, &op, shapes, types);
}

/* A value goes through an operation of one input that keeps its shape and type. */
static int append_unary(struct program *p, enum op_kind kind, int x)
{
    const struct value *vx = operand(p, kind, x);
    struct op op = {.kind = kind, .n_inputs = 1, .inputs = {x}};

    if (!vx)
        return -1;
    if (!vx->shape.batched || vx->type == VALUE_KEY)
        return fail(p, -EINVAL, "%s needs batched values", op_name(kind));
    return append_one(p, &op, vx->shape, vx->type);
}

int program_silu(struct program *p, int x)
{
    return append_unary(p, OP_SILU, x);
}

int program_relu(struct program *p, int x)
{
    return append_unary(p, OP_RELU, x);
}

int program_max_pool(struct program *p, int x, int side, int stride)
{
    const struct value *vx = operand(p, OP_MAX_POOL, x);
    struct op op = {.kind = OP_MAX_POOL, .n_inputs = 1, .inputs = {x}};
    int h, w;

    if (!vx)
        return -1;
    if (!is_images(vx) || side < 2 || side > 3 || stride < 1 || stride > 2)
        return fail(p, -EINVAL, "max_pool needs images, a window of 2 or 3 and a stride of 1 or 2");
    h = vx->shape.dims[0] - side;
    w = vx->shape.dims[1] - side;
    if (h < 0 || w < 0)
        return fail(p, -EINVAL, "the window of max_pool is larger than a %dx%d image",
                    vx->shape.dims[0], vx->shape.dims[1]);
    op.attributes.window.side = side;
    op.attributes.window.stride = stride;
    return append_one(p, &op, shape_images(h / stride + 1, w / stride + 1, vx->shape.dims[2]),
                      vx->type);
}

int program_mean_pool(struct program *p, int x)
{
    const struct value *vx = operand(p, OP_MEAN_POOL, x);
    struct op op = {.kind = OP_MEAN_POOL, .n_inputs = 1, .inputs = {x}};

    if (!vx)
        return -1;
    if (!is_images(vx))
        return fail(p, -EINVAL, "mean_pool needs images");
    return append_one(p, &op, shape_vectors(vx->shape.dims[2]), VALUE_EXACT);
}

int program_upfirdn(struct program *p, int x, const float kernel[16], int up, int down,
                    const int pad[4])
{
    const struct value *vx = operand(p, OP_UPFIRDN, x);
    struct op op = {.kind = OP_UPFIRDN, .n_inputs = 1, .inputs = {x}};
    int h, w;

    if (!vx)
        return -1;
    if (!is_images(vx) || up < 1 || up > 2 || down < 1 || down > 2)
        return fail(p, -EINVAL, "upfirdn needs images and factors of 1 or 2");
    h = vx->shape.dims[0] * up + pad[0] + pad[1] - 4;
    w = vx->shape.dims[1] * up + pad[2] + pad[3] - 4;
    if (h < 0 || w < 0)
        return fail(p, -EINVAL, "upfirdn of a %dx%d image leaves nothing", vx->shape.dims[0],
                    vx->shape.dims[1]);
    memcpy(op.attributes.upfirdn.kernel, kernel, 16 * sizeof(*kernel));
    memcpy(op.attributes.upfirdn.pad, pad, 4 * sizeof(*pad));
    op.attributes.upfirdn.up = up;
    op.attributes.upfirdn.down = down;
    return append_one(p, &op, shape_images(h / down + 1, w / down + 1, vx->shape.dims[2]),
                      vx->type);
}

int program_concat(struct program *p, int a, int b)
{
    const struct value *va = operand(p, OP_CONCAT, a), *vb = operand(p, OP_CONCAT, b);
    struct op op = {.kind = OP_CONCAT, .n_inputs = 2, .inputs = {a, b}};

    if (!va || !vb)
        return -1;
    if (!is_images(va) || !is_images(vb) || va->type != vb->type ||
        va->shape.dims[0] != vb->shape.dims[0] || va->shape.dims[1] != vb->shape.dims[1])
        return fail(p, -EINVAL, "concat needs images of one size and type");
    return append_one(p, &op,
                      shape_images(va->shape.dims[0], va->shape.dims[1],
                                   va->shape.dims[2] + vb->shape.dims[2]),
                      va->type);
}

int program_slice(struct program *p, int x, int first, int count)
{
    const struct value *vx = operand(p, OP_SLICE, x);
    struct op op = {.kind = OP_SLICE, .n_inputs = 1, .inputs = {x}};

    if (!vx)
        return -1;
    if (!is_images(vx) || first < 0 || count < 1 || count > vx->shape.dims[2] - first)
        return fail(p, -EINVAL, "slice of channels %d .. %d leaves the image", first,
                    first + count - 1);
    op.attributes.slice.first = first;
    op.attributes.slice.count = count;
    return append_one(p, &op, shape_images(vx->shape.dims[0], vx->shape.dims[1], count), vx->type);
}

int program_attention(struct program *p, int q, int k, int v, float scale)
{
    const struct value *vq = operand(p, OP_ATTENTION, q), *vk = operand(p, OP_ATTENTION, k);
    const struct value *vv = operand(p, OP_ATTENTION, v);
    struct op op = {.kind = OP_ATTENTION, .n_inputs = 3, .inputs = {q, k, v}, .n_outputs = 2};
    struct shape shapes[2];
    enum value_type types[2] = {VALUE_COMPUTE, VALUE_COMPUTE};
    int positions;

    if (!vq || !vk || !vv)
        return -1;
    if (!is_images(vq) || vq->type != VALUE_COMPUTE || vk->type != VALUE_COMPUTE ||
        vv->type != VALUE_COMPUTE || !shape_equal(&vq->shape, &vk->shape) ||
        !shape_equal(&vq->shape, &vv->shape))
        return fail(p, -EINVAL, "attention needs q, k, v of one shape");
    positions = vq->shape.dims[0] * vq->shape.dims[1];
    shapes[0] = vq->shape;
    shapes[1] = shape_batched(2, (const int[]){positions, positions});
    op.attributes.attention.scale = scale;
    return program_append(p, &op, shapes, types);
}

int program_fourier(struct program *p, int time_cond, int weight)
{
    const struct value *vt = operand(p, OP_FOURIER, time_cond);
    const struct value *vw = operand(p, OP_FOURIER, weight);
    struct op op = {.kind = OP_FOURIER, .n_inputs = 2, .inputs = {time_cond, weight}};

    if (!vt || !vw)
        return -1;
    if (!is_vectors(vt) || vt->shape.dims[0] != 1 || !is_parameter(vw, 1))
        return fail(p, -EINVAL, "fourier needs one time per image and a vector of frequencies");
    return append_one(p, &op, shape_vectors(2 * vw->shape.dims[0]), VALUE_EXACT);
}

int program_positional(struct program *p, int time_cond, int dim)
{
    const struct value *vt = operand(p, OP_POSITIONAL, time_cond);
    struct op op = {.kind = OP_POSITIONAL, .n_inputs = 1, .inputs = {time_cond}};

    if (!vt)
        return -1;
    if (!is_vectors(vt) || vt->shape.dims[0] != 1 || dim < 4 || dim % 2)
        return fail(p, -EINVAL, "positional needs one time per image and an even width from 4");
    return append_one(p, &op, shape_vectors(dim), VALUE_EXACT);
}

int program_add(struct program *p, int a, int b, float scale)
{
    const struct value *va = operand(p, OP_ADD, a), *vb = operand(p, OP_ADD, b);
    struct op op = {.kind = OP_ADD, .n_inputs = 2, .inputs = {a, b}};

    if (!va || !vb)
        return -1;
    if (!shape_equal(&va->shape, &vb->shape) || va->type != vb->type || va->type == VALUE_KEY ||
        !va->shape.batched)
        return fail(p, -EINVAL, "add needs two batched values of one shape and type");
    op.attributes.add.scale = scale;
    return append_one(p, &op, va->shape, va->type);
}

int program_affine(struct program *p, int x, float scale, float shift, enum value_type type)
{
    const struct value *vx = operand(p, OP_AFFINE, x);
    struct op op = {.kind = OP_AFFINE, .n_inputs = 1, .inputs = {x}};

    if (!vx)
        return -1;
    if (!vx->shape.batched || vx->type == VALUE_KEY || type == VALUE_KEY)
        return fail(p, -EINVAL, "affine needs batched numbers");
    op.attributes.affine.scale = scale;
    op.attributes.affine.shift = shift;
    return append_one(p, &op, vx->shape, type);
}

int program_mix(struct program *p, int coefficients, int first, int n, const int *x,
                enum value_type type)
{
    const struct value *vc = operand(p, OP_MIX, coefficients);
    struct op op = {.kind = OP_MIX, .n_inputs = n + 1, .inputs = {coefficients}};
    const struct value *v0 = NULL;

    if (!vc)
        return -1;
    if (n < 1 || n > OP_INPUTS_MAX - 1 || !is_vectors(vc) || first < 0 ||
        first + n > vc->shape.dims[0] || type == VALUE_KEY)
        return fail(p, -EINVAL, "mix of %d values does not fit its coefficients", n);
    for (int i = 0; i < n; i++) {
        const struct value *vx = operand(p, OP_MIX, x[i]);

        if (!vx)
            return -1;
        if (i == 0)
            v0 = vx;
        if (!vx->shape.batched || vx->type == VALUE_KEY || !shape_equal(&vx->shape, &v0->shape))
            return fail(p, -EINVAL, "mix needs batched numbers of one shape");
        op.inputs[1 + i] = x[i];
    }
    op.attributes.mix.first = first;
    return append_one(p, &op, v0->shape, type);
}

int program_multiply(struct program *p, int x, int m)
{
    const struct value *vx = operand(p, OP_MULTIPLY, x), *vm = operand(p, OP_MULTIPLY, m);
    struct op op = {.kind = OP_MULTIPLY, .n_inputs = 2, .inputs = {x, m}};

    if (!vx || !vm)
        return -1;
    if (!is_images(vx) || !is_images(vm) || vx->shape.dims[0] != vm->shape.dims[0] ||
        vx->shape.dims[1] != vm->shape.dims[1] ||
        (vm->shape.dims[2] != 1 && vm->shape.dims[2] != vx->shape.dims[2]))
        return fail(p, -EINVAL, "multiply needs images of one size");
    return append_one(p, &op, vx->shape, vx->type);
}

int program_separable(struct program *p, int x, int a, int b, bool transposed)
{
    const struct value *vx = operand(p, OP_SEPARABLE, x);
    const struct value *va = operand(p, OP_SEPARABLE, a), *vb = operand(p, OP_SEPARABLE, b);
    struct op op = {.kind = OP_SEPARABLE, .n_inputs = 3, .inputs = {x, a, b}};
    int from = transposed ? 0 : 1, to = transposed ? 1 : 0;

    if (!vx || !va || !vb)
        return -1;
    if (!is_images(vx) || vx->type != VALUE_EXACT || va->type != VALUE_EXACT ||
        vb->type != VALUE_EXACT || va->shape.n_dims != 2 || vb->shape.n_dims != 2 ||
        va->shape.dims[from] != vx->shape.dims[0] || vb->shape.dims[from] != vx->shape.dims[1])
        return fail(p, -EINVAL, "separable needs exact images and matrices that fit them");
    op.attributes.separable.transposed = transposed;
    return append_one(p, &op,
                      shape_images(va->shape.dims[to], vb->shape.dims[to], vx->shape.dims[2]),
                      VALUE_EXACT);
}

static const struct value *key_operand(struct program *p, enum op_kind kind, int key)
{
    const struct value *vk = operand(p, kind, key);

    if (vk && (vk->type != VALUE_KEY || !vk->shape.batched || shape_count(&vk->shape) != 4)) {
        fail(p, -EINVAL, "%s needs a key [n,4]", op_name(kind));
        return NULL;
    }
    return vk;
}

int program_normal(struct program *p, int key, struct shape shape, uint32_t stream)
{
    struct op op = {.kind = OP_NORMAL, .n_inputs = 1, .inputs = {key}};

    if (!key_operand(p, OP_NORMAL, key))
        return -1;
    op.attributes.draw.stream = stream;
    return append_one(p, &op, shape, VALUE_EXACT);
}

int program_dropout_mask(struct program *p, int key, struct shape shape, uint32_t stream,
                         float rate)
{
    struct op op = {.kind = OP_DROPOUT_MASK, .n_inputs = 1, .inputs = {key}};

    if (!key_operand(p, OP_DROPOUT_MASK, key))
        return -1;
    if (!(rate >= 0 && rate < 1))
        return fail(p, -EINVAL, "a dropout rate of %g is not in [0, 1)", (double)rate);
    op.attributes.draw.stream = stream;
    op.attributes.draw.rate = rate;
    return append_one(p, &op, shape, VALUE_COMPUTE);
}

int program_half_square(struct program *p, int x, int weight)
{
    const struct value *vx = operand(p, OP_HALF_SQUARE, x);
    const struct value *vw = operand(p, OP_HALF_SQUARE, weight);
    struct op op = {.kind = OP_HALF_SQUARE, .n_inputs = 2, .inputs = {x, weight}};

    if (!vx || !vw)
        return -1;
    if (!vx->shape.batched || vx->type != VALUE_EXACT || !is_vectors(vw) || vw->shape.dims[0] != 1)
        return fail(p, -EINVAL, "half_square needs an exact value and one weight per image");
    return append_one(p, &op, shape_vectors(1), VALUE_EXACT);
}
