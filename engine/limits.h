/* How far an output of an operation may be from what the reference computes of the same inputs. Tests
 * hold every device to it (tests/conformance/compare.c has the exceptions), and whoever looks for a fault
 * begins there.
 */
#ifndef ENGINE_LIMITS_H
#define ENGINE_LIMITS_H

#include "engine/tensor.h"

struct limit {
    double nmse;  /* sum (got - want)^2 / sum want^2 */
    double worst; /* largest |got - want| over the largest |want| */
};

/* By the type of the output: DTYPE_F32, DTYPE_BF16 or DTYPE_F16. */
struct limit limit_of_dtype(enum dtype dtype);

#endif
