#include "engine/cpu/loops.h"
#include "engine/cpu/loops_sets.h"
#include "engine/cpu/winograd_loops.h"

#define LOOPS_TABLE(set, ...)                                                                      \
    {                                                                                              \
        .name = #set, .pointwise = &pointwise_loops_##set, .norm = &norm_loops_##set,              \
        .pooling = &pooling_loops_##set, .product = &product_loops_##set, .row = &row_loops_##set, \
        __VA_ARGS__                                                                                \
    }

/* Best first. */
static const struct cpu_loops tables[] = {
#ifdef __x86_64__
    LOOPS_TABLE(avx512_bf16, .winograd = &winograd_loops_avx512_bf16,
                .winograd_gradient = &winograd_gradient_loops_avx512_bf16),
    LOOPS_TABLE(avx512, .winograd = NULL),
    LOOPS_TABLE(avx2, .winograd = NULL),
#endif
    LOOPS_TABLE(generic, .winograd = NULL),
};

enum { N_TABLES = sizeof(tables) / sizeof(tables[0]) };

/* How many tables, from the front, this processor cannot run: a set implies those after it. */
static int tables_beyond(void)
{
#ifdef __x86_64__
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    bool bf16 =
        avx512 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");

    return bf16 ? 0 : avx512 ? 1 : avx2 ? 2 : 3;
#else
    return 0;
#endif
}

const struct cpu_loops *loops_at(int i)
{
    i += tables_beyond();
    return i < N_TABLES ? &tables[i] : NULL;
}

const struct cpu_loops *loops_best(void)
{
    return loops_at(0);
}
