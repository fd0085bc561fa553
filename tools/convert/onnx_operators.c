#include "tools/convert/onnx_operators.h"
#include "engine/base/error.h"
#include "engine/program.h"
#include "tools/convert/onnx_graph.h"

#include <errno.h>
#include <stdlib.h>

enum { FIR_SIDE = 4 };

/* The kernel once for every channel, [c,1,4,4], maybe flipped. */
static int fir_kernel(struct onnx_writer *w, const float kernel[FIR_SIDE * FIR_SIDE], int channels,
                      bool flipped)
{
    const int dims[] = {channels, 1, FIR_SIDE, FIR_SIDE}, taps = FIR_SIDE * FIR_SIDE;
    float *all = malloc((size_t)channels * (size_t)taps * sizeof(*all));
    int out = -1;

    if (all) {
        for (int i = 0; i < channels * taps; i++)
            all[i] = kernel[flipped ? taps - 1 - i % taps : i % taps];
        out = onnx_floats(w->o, 4, dims, all);
    } else if (w->rc == 0) {
        w->rc = error_set(w->err, -ENOMEM, "out of memory for a kernel");
    }
    free(all);
    return out;
}

/* With zeros between the pixels it is a transposed convolution, whose kernel is not flipped: tap k of
 * pixel j goes to 2 j + k - 3 + pad. */
int onnx_upfirdn(struct onnx_writer *w, const struct op *op)
{
    const struct shape *from = onnx_shape(w, op->inputs[0]), *to = onnx_shape(w, op->outputs[0]);
    int channels = from->dims[2], up = op->attributes.upfirdn.up;
    const int *pad = op->attributes.upfirdn.pad;
    int64_t stride = up > 1 ? up : op->attributes.upfirdn.down, before[2], after[2];
    int kernel = fir_kernel(w, op->attributes.upfirdn.kernel, channels, up == 1);

    if (op->n_inputs > 1 && op->inputs[1] >= 0)
        w->rc = error_set(w->err, -ENOTSUP, "resampling with a bias has no translation to ONNX");
    if (up > 1 && op->attributes.upfirdn.down > 1)
        w->rc = error_set(w->err, -ENOTSUP, "resampling both ways has no translation to ONNX");
    for (int i = 0; i < 2; i++) {
        before[i] = up > 1 ? FIR_SIDE - 1 - pad[2 * i] : pad[2 * i];
        after[i] = up > 1 ? (from->dims[i] - 1) * stride + FIR_SIDE - before[i] - to->dims[i]
                          : pad[2 * i + 1];
    }
    {
        const int64_t strides[] = {stride, stride};
        const int64_t pads[] = {before[0], before[1], after[0], after[1]};
        const struct onnx_attribute attributes[] = {ONNX_INTEGER("group", channels),
                                                    ONNX_INTEGERS("strides", 2, strides),
                                                    ONNX_INTEGERS("pads", 4, pads),
                                                    {0}};

        return onnx_node(w->o, up > 1 ? "ConvTranspose" : "Conv", 2,
                         (const int[]){onnx_operand(w, op, 0), kernel}, attributes);
    }
}

int onnx_multiply(struct onnx_writer *w, const struct op *op)
{
    return onnx_2(w->o, "Mul", onnx_operand(w, op, 0), onnx_operand(w, op, 1));
}

/* A matrix [n,h',h], or one for all, for images; turned: its transpose. */
static int matrix(struct onnx_writer *w, const struct op *op, int input, bool turned)
{
    const struct value *v = program_value(w->program, op->inputs[input]);
    int m;

    if (v->role == VALUE_TABLE)
        return onnx_constant(w, op, input, turned ? ONNX_TRANSPOSED : ONNX_AS_IS);
    m = onnx_operand(w, op, input);
    if (turned)
        m = onnx_transpose(w->o, m, 3, (const int64_t[]){0, 2, 1});
    return onnx_2(w->o, "Unsqueeze", m, onnx_integers(w->o, 1, (const int64_t[]){1}));
}

int onnx_separable(struct onnx_writer *w, const struct op *op)
{
    bool transposed = op->attributes.separable.transposed;
    int a = matrix(w, op, 1, transposed), b = matrix(w, op, 2, !transposed);

    return onnx_2(w->o, "MatMul", onnx_2(w->o, "MatMul", a, onnx_operand(w, op, 0)), b);
}

/* The matrix [n,1,size,size] of weights by distance. */
static int toeplitz_matrix(struct onnx_writer *w, int row, int size, bool reflect)
{
    const struct onnx_attribute columns[] = {ONNX_INTEGER("axis", 1), {0}};
    size_t count = (size_t)size * (size_t)size;
    int64_t *index = malloc(2 * count * sizeof(*index)), *mirror = index ? index + count : NULL;
    const int64_t square[] = {-1, 1, size, size};
    int m = -1;

    if (!index) {
        w->rc = error_set(w->err, -ENOMEM, "out of memory for a matrix");
        return -1;
    }
    for (int i = 0; i < size; i++) {
        for (int j = 0; j < size; j++) {
            int across = i + j + 1;

            index[i * size + j] = abs(i - j);
            /* a weight of 0 stands behind the last */
            mirror[i * size + j] = across <= size ? across : 2 * size - across;
        }
    }
    if (reflect) {
        const int64_t ends[] = {0, 0, 0, 1};

        row = onnx_2(w->o, "Pad", row, onnx_integers(w->o, 4, ends));
    }
    m = onnx_node(w->o, "Gather", 2, (const int[]){row, onnx_integers(w->o, (int)count, index)},
                  columns);
    if (reflect) {
        int other = onnx_integers(w->o, (int)count, mirror);

        m = onnx_2(w->o, "Add", m,
                   onnx_node(w->o, "Gather", 2, (const int[]){row, other}, columns));
    }
    free(index);
    return onnx_reshape(w->o, m, 4, square);
}

int onnx_toeplitz(struct onnx_writer *w, const struct op *op)
{
    const struct shape *shape = onnx_shape(w, op->inputs[0]);
    bool reflect = op->attributes.toeplitz.reflect;
    int second = op->n_inputs > 2 ? onnx_operand(w, op, 2) : -1;
    int gate = op->n_inputs > 3 ? onnx_operand(w, op, 3) : -1;
    int a = toeplitz_matrix(w, onnx_operand(w, op, 1), shape->dims[0], reflect);
    int b = second < 0 ? a : toeplitz_matrix(w, second, shape->dims[1], reflect);
    int y = onnx_2(w->o, "MatMul", onnx_2(w->o, "MatMul", a, onnx_operand(w, op, 0)), b);

    return gate < 0 ? y : onnx_2(w->o, "Mul", y, onnx_element(w, gate, 0));
}

int onnx_multiply_table(struct onnx_writer *w, const struct op *op)
{
    int table = onnx_constant(w, op, 1, ONNX_IMAGES), place = onnx_operand(w, op, 2);
    int index = onnx_cast(w->o, onnx_element(w, place, 0), ONNX_INT64);
    int fraction = onnx_element(w, place, 1), low, high;

    index = onnx_reshape(w->o, index, 1, (const int64_t[]){-1});
    low = onnx_2(w->o, "Gather", table, index);
    high = onnx_2(w->o, "Gather", table, onnx_2(w->o, "Add", index, onnx_integer(w->o, 1)));
    low = onnx_2(w->o, "Mul", low, onnx_2(w->o, "Sub", onnx_number(w->o, 1), fraction));
    high = onnx_2(w->o, "Mul", high, fraction);
    return onnx_2(w->o, "Mul", onnx_operand(w, op, 0), onnx_2(w->o, "Add", low, high));
}

int onnx_multiply_rank(struct onnx_writer *w, const struct op *op)
{
    int rank = onnx_constant(w, op, 1, ONNX_IMAGES), level = onnx_operand(w, op, 2);
    int mask = onnx_2(w->o, "Sub", onnx_element(w, level, 0), rank);

    mask = onnx_2(w->o, "Add", mask, onnx_element(w, level, 1));
    mask = onnx_3(w->o, "Clip", mask, onnx_number(w->o, 0), onnx_number(w->o, 1));
    return onnx_2(w->o, "Mul", onnx_operand(w, op, 0), mask);
}

/* The coefficients of one channel get their places in a square by a matrix of ones and zeros. */
int onnx_modes(struct onnx_writer *w, const struct op *op)
{
    const struct shape *basis = onnx_shape(w, op->inputs[2]);
    int m = basis->dims[1], pairs = m * (m + 1) / 2, row = 0, places, k;
    const int dims[] = {pairs, m * m};
    float *square = calloc((size_t)(pairs * m * m), sizeof(*square));

    if (!square) {
        w->rc = error_set(w->err, -ENOMEM, "out of memory for a matrix");
        return -1;
    }
    for (int i = 0; i < m; i++) {
        for (int j = 0; i + j < m; j++)
            square[row++ * m * m + i * m + j] = 1;
    }
    places = onnx_floats(w->o, 2, dims, square);
    free(square);
    k = onnx_reshape(w->o, onnx_operand(w, op, 1), 3, (const int64_t[]){0, -1, pairs});
    k = onnx_reshape(w->o, onnx_2(w->o, "MatMul", k, places), 4, (const int64_t[]){0, 0, m, m});
    k = onnx_2(w->o, "MatMul", onnx_constant(w, op, 2, ONNX_AS_IS), k);
    k = onnx_2(w->o, "MatMul", k, onnx_constant(w, op, 2, ONNX_TRANSPOSED));
    return onnx_2(w->o, "Add", onnx_operand(w, op, 0), k);
}

int onnx_lookup(struct onnx_writer *w, const struct op *op)
{
    bool images = onnx_shape(w, op->inputs[0])->n_dims == 4;
    int table = onnx_constant(w, op, 0, images ? ONNX_IMAGES : ONNX_AS_IS);
    int index = op->n_inputs > 1 ? onnx_operand(w, op, 1) : -1;

    if (index < 0)
        index = onnx_integers(w->o, 1, (const int64_t[]){0});
    else
        index = onnx_cast(w->o, onnx_reshape(w->o, index, 1, (const int64_t[]){-1}), ONNX_INT64);
    return onnx_2(w->o, "Gather", table, index);
}
