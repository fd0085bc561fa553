#include "engine/cpu/loops.h"

/* Each compilation of loops_*.c, as meson.build names them. */
#define LOOPS_TABLE(set)                                       \
    extern const struct pointwise_loops pointwise_loops_##set; \
    extern const struct norm_loops norm_loops_##set;           \
    extern const struct product_loops product_loops_##set;     \
    extern const struct row_loops row_loops_##set;             \
    static const struct cpu_loops loops_##set = {              \
        .name = #set,                                          \
        .pointwise = &pointwise_loops_##set,                   \
        .norm = &norm_loops_##set,                             \
        .product = &product_loops_##set,                       \
        .row = &row_loops_##set,                               \
    }

LOOPS_TABLE(generic);
#ifdef __x86_64__
LOOPS_TABLE(avx2);
LOOPS_TABLE(avx512);
LOOPS_TABLE(avx512_bf16);
#endif

const struct cpu_loops *loops_best(void)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        return __builtin_cpu_supports("avx512bf16") ? &loops_avx512_bf16 : &loops_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &loops_avx2;
#endif
    return &loops_generic;
}
