/* SiLU and its derivative in double, for the operations that contain it. */
#ifndef ENGINE_REFERENCE_SILU_H
#define ENGINE_REFERENCE_SILU_H

#include <math.h>

static inline double silu(double x)
{
    return x / (1 + exp(-x));
}

/* s + x s (1 - s) with s = 1 / (1 + exp(-x)) */
static inline double silu_derivative(double x)
{
    double s = 1 / (1 + exp(-x));

    return s * (1 + x * (1 - s));
}

#endif
