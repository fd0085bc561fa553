/* A program: operations over values in single-assignment form, built once by calls.
 *
 * Values are indices >= 0, valid within their program. A builder call appends one operation, checked
 * against the table of engine/op.c, which tells shape and type of its outputs too, and returns the
 * first output; the others follow it. After a mistake or lack of memory every further
 * call returns -1 and does nothing; program_check() tells the first error, so that a network can
 * be written down without a test after every line.
 *
 * Passing -1 where a value is optional leaves it out. What each operation computes: engine/op.h.
 * Thread: one at a time; a finished program may be read by many.
 */
#ifndef ENGINE_PROGRAM_H
#define ENGINE_PROGRAM_H

#include "engine/op.h"

#include <stddef.h>

struct error;
struct program;

enum value_role {
    VALUE_INPUT,     /* written before each run */
    VALUE_PARAMETER, /* a weight: lives in a struct parameters, found by name */
    VALUE_TABLE,     /* a constant: likewise, but never learned and never packed */
    VALUE_STATE,     /* lives in a struct state from run to run, found by name */
    VALUE_COMPUTED,  /* made by an operation */
};

struct value {
    struct shape shape;
    enum value_type type;
    enum value_role role;
    const char *name; /* NULL where computed. Owned by the program. */
};

struct op {
    enum op_kind kind;
    int n_inputs, n_outputs;
    int inputs[OP_INPUTS_MAX];   /* values; -1: optional and absent */
    int outputs[OP_OUTPUTS_MAX]; /* values */
    struct op_attributes attributes;
};

int program_create(struct program **out, struct error *err); /* 0 or -ENOMEM */
void program_destroy(struct program *p);

/* 0, or the first error of a builder call: -EINVAL (shape, type, name) or -ENOMEM. */
int program_check(const struct program *p, struct error *err);

int program_n_values(const struct program *p);
int program_n_ops(const struct program *p);
const struct value *program_value(const struct program *p, int value); /* until the next call */
const struct op *program_op(const struct program *p, int op);          /* until the next call */

/* Batched input images [n,h,w,c], vectors [n,c], matrices [n,h,w]; constants are unbatched. */
int program_input(struct program *p, const char *name, struct shape shape, enum value_type type);
/* Exact and unbatched; names are unique in a program. */
int program_parameter(struct program *p, const char *name, struct shape shape);
/* A table of the same name and shape is the same table. */
int program_table(struct program *p, const char *name, struct shape shape);
/* Exact: batched, a tensor for each slot of the state, or unbatched, one for all. */
int program_state(struct program *p, const char *name, struct shape shape);

int program_convolution(struct program *p, int x, int weight, int bias, int stride, int pad,
                        enum value_type type);
/* pad: above, below, left, right */
int program_convolution_general(struct program *p, int x, int weight, int bias, int stride,
                                const int pad[4], int groups, enum value_type type);
int program_linear(struct program *p, int x, int weight, int bias, bool in_first);
int program_group_norm(struct program *p, int x, int gamma, int beta, int shift, int groups,
                       float eps, bool silu);
int program_silu(struct program *p, int x);
int program_relu(struct program *p, int x);
int program_relu6(struct program *p, int x);
int program_max_pool(struct program *p, int x, int side, int stride);
int program_mean_pool(struct program *p, int x);
int program_average_pool(struct program *p, int x);
int program_upfirdn(struct program *p, int x, const float kernel[16], int up, int down,
                    const int pad[4]);
int program_concat(struct program *p, int a, int b);
int program_slice(struct program *p, int x, int first, int count);
int program_attention(struct program *p, int q, int k, int v, float scale);
int program_fourier(struct program *p, int time_cond, int weight);
int program_positional(struct program *p, int time_cond, int dim);
int program_add(struct program *p, int a, int b, float scale);
int program_affine(struct program *p, int x, float scale, float shift, enum value_type type);
int program_mix(struct program *p, int coefficients, int first, int n, const int *x,
                enum value_type type);
int program_multiply(struct program *p, int x, int m);
int program_separable(struct program *p, int x, int a, int b, bool transposed);
int program_toeplitz(struct program *p, int x, int a, int b, int gate, bool reflect);
int program_multiply_table(struct program *p, int x, int table, int place);
int program_multiply_rank(struct program *p, int x, int rank, int level);
int program_modes(struct program *p, int x, int coefficients, int basis);
int program_lookup(struct program *p, int table, int index);
int program_pixels(struct program *p, int x);
/* weights, other: -1, or a second key and how much of each. */
int program_normal(struct program *p, int key, int weights, int other, struct shape shape,
                   uint32_t stream);
int program_dropout_mask(struct program *p, int key, struct shape shape, uint32_t stream,
                         float rate);
int program_half_square(struct program *p, int x, int weight);

/* State. slot: an input of VALUE_KEY [n,1]. Operations read and write state in the order of the
 * program; a run must not name a slot twice. */
int program_load(struct program *p, int state, int slot);
void program_store(struct program *p, int state, int slot, int x);
/* The sum over the images of a run of a parameter's gradient, [count], to be read as an output.
 * Plans append it to their unbatched outputs. */
int program_sum(struct program *p, int gradient);
/* Adds it to an unbatched state [count], from element `first` on. */
void program_sum_into(struct program *p, int state, int first, int gradient);

/* The optimiser's operations on unbatched states [count]; numbers: an unbatched input. */
int program_norm(struct program *p, int x);
void program_adam(struct program *p, const int states[4], int norm, int numbers);
void program_average(struct program *p, int average, int weights, int norm, int numbers, int first);
/* The sum over the images of a run but for its outputs. n_outputs: 0, or 4 for a group_norm_grad
 * with a shift. For engine/gradient.c; networks use the calls above. */
int program_append(struct program *p, const struct op *op);
/* The same where shape (NULL: it is not) or type of the first output is left open: op_infer(). */
int program_append_as(struct program *p, const struct op *op, const struct shape *shape,
                      enum value_type type);

/* Appends an operation whose outputs are states of p, which it writes. */
void program_append_into(struct program *p, const struct op *op);

/* The tensors of an operation, in a run of n images with compute values of the given dtype. */
void program_describe(const struct program *p, const struct op *op, int n, enum dtype compute,
                      struct kernel_spec *out);

/* For engine/passes.c, which rewrites a finished program. A copy has the numbers of the original.
 * 0, -ENOMEM, or the error that p is in. */
int program_copy(const struct program *p, struct program **out, struct error *err);
/* A value that no operation makes yet; -1 when out of memory. */
int program_computed(struct program *p, struct shape shape, enum value_type type);
/* Puts another operation, made of values of p, in the place of one; an error like those of the
 * builder calls if it does not fit them. */
void program_replace(struct program *p, int op, const struct op *with);
/* Leaves nothing in the place of an operation: one without inputs and outputs. */
void program_remove(struct program *p, int op);

#endif
