/* How far two tensors are from each other. */
#ifndef TOOLS_INSPECT_DIFFERENCE_H
#define TOOLS_INSPECT_DIFFERENCE_H

#include <stdbool.h>
#include <stddef.h>

struct difference {
    double nmse;  /* sum (b - a)^2 / sum a^2; infinite where a is 0 throughout or one is NaN */
    double worst; /* largest |b - a| over the largest |a|, likewise */
    size_t index; /* where */
    float a, b;   /* there */
};

struct difference difference_of(size_t count, const float *a, const float *b);

/* Whether a result differs by more than it may: by more than tolerance, and by more than `growth` times
 * what came in, nmse_in. */
bool difference_exceeds(const struct difference *d, double nmse_in, double growth,
                        double tolerance);

#endif
