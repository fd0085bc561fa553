/* How far an output may be from what the reference computes. */
#ifndef TESTS_CONFORMANCE_COMPARE_H
#define TESTS_CONFORMANCE_COMPARE_H

#include "engine/limits.h"
#include "tests/conformance/tensor.h"

struct difference {
    double nmse;  /* sum (got - want)^2 / sum want^2 */
    double worst; /* largest |got - want| over the largest |want| */
    size_t worst_index;
    double got, want; /* there */
};

/* floor: the smallest scale to measure against, see struct op_case. Where the scale is 0, any
 * difference is infinite; so is one to or from NaN. */
struct difference compare(const struct tensor *got, const struct tensor *want, double floor);

/* engine/limits.h, and exceptions. */
struct limit limit_of(const struct kernel_spec *spec, int output);

bool within(const struct difference *difference, const struct limit *limit);

#endif
