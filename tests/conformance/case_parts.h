/* What the tables of cases are made of, and where they are: a file for each family of operations. */
#ifndef TESTS_CONFORMANCE_CASE_PARTS_H
#define TESTS_CONFORMANCE_CASE_PARTS_H

#include "tests/conformance/cases.h"

/* The cases of one operation. make: the rest of what is zero but for its kind. */
struct case_family {
    int count; /* 0: the operation is of another family */
    void (*make)(enum op_kind kind, int index, enum dtype compute, struct op_case *c);
};

extern const struct case_family product_cases[OP_KINDS], resample_cases[OP_KINDS],
    pointwise_cases[OP_KINDS], row_cases[OP_KINDS];

/* What the data inputs of a row hold; parameters are always random. */
enum content {
    RANDOM,
    ZERO,
    CONSTANT,
    LARGE,  /* 1e15; 1e3 where compute values are float16 */
    SMALL,  /* 1e-30 */
    OFFSET, /* 10 +- 0.01: cancels in E[x^2] - E[x]^2 */
    STRONG, /* 4: softmax close to one-hot */
};

enum { EXACT_X = 1, EXACT_Y = 2, EXACT_M = 4 }; /* float32 where the others are COMPUTE */

extern const struct fill unit_fill;

struct fill fill_of(enum content content);
struct fill fill_weight(int fan_in); /* so that sums of so many products are about 1 */

struct tensor_desc desc_batched(enum dtype dtype, int n, int n_dims, int d0, int d1, int d2);
struct tensor_desc desc_images(enum dtype dtype, int n, int h, int w, int c);
struct tensor_desc desc_vectors(enum dtype dtype, int n, int c);
struct tensor_desc desc_parameter(int n_dims, int d0, int d1, int d2, int d3);
struct tensor_desc desc_sum(struct tensor_desc of_parameter); /* its gradient, over all images */

void case_input(struct op_case *c, struct tensor_desc desc, struct fill fill);
void case_optional_input(struct op_case *c, bool present, struct tensor_desc desc,
                         struct fill fill);
void case_output(struct op_case *c, struct tensor_desc desc);

#endif
