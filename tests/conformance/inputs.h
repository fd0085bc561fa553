/* What a case runs on, and what must come out. */
#ifndef TESTS_CONFORMANCE_INPUTS_H
#define TESTS_CONFORMANCE_INPUTS_H

#include "tests/conformance/cases.h"
#include "tests/conformance/tensor.h"

#include <stdint.h>

struct error;

/* Fills the inputs of a forward case from seed. Values are rounded to the dtype that holds them;
 * in a bfloat16 case also the weights, which devices multiply as bfloat16. */
void inputs_draw(const struct op_case *c, int index, uint64_t seed, struct tensor_set *set);

/* The inputs of any case. Those of a gradient belong together as in real life: the reference runs
 * the forward operation, cotangents are random. 0, or what the reference device returned. */
int inputs_make(struct device *reference, enum op_kind kind, int index, const struct op_case *c,
                uint64_t seed, struct tensor_set *set, struct error *err);

/* Runs spec on the reference device, every bfloat16 tensor as float32. */
int inputs_reference(struct device *reference, const struct kernel_spec *spec,
                     const struct tensor_set *set, struct tensor_set *expected, struct error *err);

/* Standard normals for a cotangent of output i. */
void inputs_draw_cotangent(const struct tensor_desc *desc, int output, int index, uint64_t seed,
                           struct tensor *out);

#endif
