/* The translations of single operations, for onnx_program.c: corruptions and resampling.
 */
#ifndef TOOLS_CONVERT_ONNX_OPERATORS_H
#define TOOLS_CONVERT_ONNX_OPERATORS_H

#include "tools/convert/onnx_constants.h"

struct error;
struct onnx;
struct onnx_key;
struct op;
struct program;
struct shape;

/* What a translation knows and says. */
struct onnx_writer {
    struct onnx *o;
    const struct program *program;
    struct onnx_constants *constants;
    const struct onnx_key *key;
    int *values; /* number in the graph by value of the program */
    int rc;      /* the first error, told in: */
    struct error *err;
};

/* Appends what computes the first output of an operation, and returns its number in the graph. */
typedef int (*onnx_operator)(struct onnx_writer *w, const struct op *op);

const struct shape *onnx_shape(const struct onnx_writer *w, int value);
/* An input that is computed or given; -1 where it is left out. */
int onnx_operand(const struct onnx_writer *w, const struct op *op, int input);
/* An input that is a parameter or a table, the same. */
int onnx_constant(struct onnx_writer *w, const struct op *op, int input, enum onnx_layout layout);
/* Element `place` of every image's vector, to be broadcast over images. */
int onnx_element(struct onnx_writer *w, int vector, int place);

int onnx_upfirdn(struct onnx_writer *w, const struct op *op);
int onnx_multiply(struct onnx_writer *w, const struct op *op);
int onnx_separable(struct onnx_writer *w, const struct op *op);
int onnx_toeplitz(struct onnx_writer *w, const struct op *op);
int onnx_multiply_table(struct onnx_writer *w, const struct op *op);
int onnx_multiply_rank(struct onnx_writer *w, const struct op *op);
int onnx_modes(struct onnx_writer *w, const struct op *op);
int onnx_lookup(struct onnx_writer *w, const struct op *op);

#endif
