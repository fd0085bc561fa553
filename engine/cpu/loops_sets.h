/* The compilations of loops_*.c: one table per instruction set, as meson.build names the sets. */
#ifndef ENGINE_CPU_LOOPS_SETS_H
#define ENGINE_CPU_LOOPS_SETS_H

#include "engine/cpu/loops.h"

#define LOOPS_SET(set)                                         \
    extern const struct pointwise_loops pointwise_loops_##set; \
    extern const struct norm_loops norm_loops_##set;           \
    extern const struct pooling_loops pooling_loops_##set;     \
    extern const struct product_loops product_loops_##set;     \
    extern const struct row_loops row_loops_##set

LOOPS_SET(generic);
#ifdef __x86_64__
LOOPS_SET(avx2);
LOOPS_SET(avx512);
LOOPS_SET(avx512_bf16);
#endif

#endif
