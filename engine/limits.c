#include "engine/limits.h"

/* float32: the largest over four seeds were 6.6e-13 and 2.2e-6, in convolutions of 384 channels.
 * bfloat16 outputs are rounded once from float32 arithmetic: by up to 2^-8 of the value, so up to
 * 2^-16 in the mean square if unlucky in a small tensor (2.75e-6 over evenly spread logarithms). float16 has three bits more. */
struct limit limit_of_dtype(enum dtype dtype)
{
    static const struct limit limits[] = {
        [DTYPE_F32] = {1e-12, 3e-6},
        [DTYPE_BF16] = {0x1p-16, 0x1p-8},
        [DTYPE_F16] = {0x1p-22, 0x1p-11},
    };

    return limits[dtype];
}
