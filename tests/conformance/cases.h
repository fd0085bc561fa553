/* The cases of the conformance test: for every operation a table of shapes (odd, of size one,
 * and those of real NCSN++ networks) and of what the inputs hold.
 */
#ifndef TESTS_CONFORMANCE_CASES_H
#define TESTS_CONFORMANCE_CASES_H

#include "engine/device.h"

/* An input holds offset + scale * (standard normal), or exp(scale * normal) if positive, or whole
 * numbers from 0 to below - 1 where below is not 0; of pairs only the first is whole, and the second
 * in [0, 1). */
struct fill {
    float scale, offset;
    bool positive;
    int below;
    bool pairs;
};

struct op_case {
    struct kernel_spec spec;
    struct fill fill[OP_INPUTS_MAX];
    /* The size of terms that cancel to nearly nothing in the outputs, as the smallest scale that
     * errors are measured against; 0: the outputs tell. */
    float floor;
    double flops;   /* of the products, 0 where memory counts */
    char text[128]; /* the shapes, for people */
};

int cases_count(enum op_kind kind);

/* Case index of kind with values of the type COMPUTE in the given dtype. */
void case_make(enum op_kind kind, int index, enum dtype compute, struct op_case *out);

/* Gives every batched tensor of spec n images. */
void case_set_images(struct kernel_spec *spec, int n);

/* How the inputs of a gradient come from its forward operation: case i of one belongs to case i
 * of the other. */
enum gradient_source {
    FORWARD_INPUT = 0,                                   /* + i: input i of the forward operation */
    FORWARD_OUTPUT = OP_INPUTS_MAX,                      /* + i */
    FORWARD_COTANGENT = FORWARD_OUTPUT + OP_OUTPUTS_MAX, /* + i: of output i */
};

struct gradient_pair {
    enum op_kind forward, gradient;
    int from[OP_INPUTS_MAX]; /* per input of the gradient: gradient_source + index */
    int n_from;
    int wrt[OP_OUTPUTS_MAX]; /* per output of the gradient: which forward input */
    int n_wrt;
    float step; /* of finite differences; the operations that are linear in x take large ones */
};

/* NULL if kind is not the gradient of anything. */
const struct gradient_pair *gradient_pair_of(enum op_kind kind);

#endif
