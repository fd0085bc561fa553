/* Kernels of CUDA as C++17 for a host compiler: what a .cu file's words mean on the simulated device.
 * The build includes it before the first line of such a file. */
#ifndef TESTS_CUDASIM_KERNEL_HPP
#define TESTS_CUDASIM_KERNEL_HPP

#include "tests/cudasim/device.hpp"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime_api.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <tuple>
#include <type_traits>
#include <vector_functions.h>

#define SIMULATED 1

#undef __global__
#undef __device__
#undef __host__
#undef __forceinline__
#undef __noinline__
#undef __align__
#undef __launch_bounds__
#undef __grid_constant__
#define __global__
#define __device__
#define __host__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__    __attribute__((noinline))
#define __align__(n)    alignas(n)

#define threadIdx (cudasim_coordinates->thread)
#define blockIdx  (cudasim_coordinates->block)
#define blockDim  (cudasim_coordinates->block_size)
#define gridDim   (cudasim_coordinates->grid_size)
#define warpSize  32

#define CUDASIM_SITE(what)                                            \
    ([]() -> const cudasim::site * {                                  \
        static const cudasim::site here = {__FILE__, __LINE__, what}; \
        return &here;                                                 \
    }())

#define SDK_BOUNDS(count)
#define SDK_BOUNDS_BLOCKS(count, blocks)
#define SDK_SHARED(type, name, dimensions) SDK_SHARED_ALIGNED(alignof(type), type, name, dimensions)
#define SDK_SHARED_ALIGNED(alignment, type, name, dimensions)             \
    using name##_type = type dimensions;                                  \
    static const cudasim::site name##_site = {__FILE__, __LINE__, #name}; \
    name##_type &name = *static_cast<name##_type *>(                      \
        cudasim_shared(&name##_site, sizeof(name##_type), (alignment), &name##_site))
#define SDK_SHARED_DYNAMIC(type, name) type *name = static_cast<type *>(cudasim_shared_dynamic())
#define SDK_SYNC_BLOCK()               cudasim_sync_block(CUDASIM_SITE("__syncthreads"))
#define SDK_OPT_IN(kernel, bytes)      cudasim_opt_in(kernel, bytes)
#define SDK_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
    cudasim_start(#kernel, kernel, (grid), (block), (shared_bytes), (stream), __VA_ARGS__)

/* Collectives. */

template <class T> static inline uint64_t cudasim_word(T value)
{
    static_assert(sizeof(T) <= 8, "a shuffle's type");
    uint64_t word = 0;

    memcpy(&word, &value, sizeof(value));
    return word;
}

template <class T>
static inline T cudasim_shuffle(unsigned mask, T value, unsigned from, const cudasim::site *where)
{
    const uint64_t *words = cudasim_collect(mask, cudasim_word(value), false, where);

    if (!(mask >> from & 1))
        cudasim::fail_at(where, "reads lane %u, which does not take part: undefined", from);
    memcpy(&value, &words[from], sizeof(value));
    return value;
}

static inline unsigned cudasim_vote(unsigned mask, bool holds, const cudasim::site *where)
{
    const uint64_t *words = cudasim_collect(mask, holds, false, where);
    unsigned votes = 0;

    for (unsigned lane = 0; lane < 32; lane++)
        if (mask >> lane & 1 && words[lane])
            votes |= 1u << lane;
    return votes;
}

/* A lane that would read past its warp keeps its own. */
static inline unsigned cudasim_lane_or_own(int lane)
{
    return lane < 0 || lane > 31 ? cudasim_lane() : (unsigned)lane;
}

#define __shfl_sync(mask, value, from) \
    cudasim_shuffle((mask), (value), (unsigned)(from)&31u, CUDASIM_SITE("__shfl_sync"))
#define __shfl_xor_sync(mask, value, bits)                                      \
    cudasim_shuffle((mask), (value), (cudasim_lane() ^ (unsigned)(bits)) & 31u, \
                    CUDASIM_SITE("__shfl_xor_sync"))
#define __shfl_down_sync(mask, value, count)                                                  \
    cudasim_shuffle((mask), (value), cudasim_lane_or_own((int)cudasim_lane() + (int)(count)), \
                    CUDASIM_SITE("__shfl_down_sync"))
#define __shfl_up_sync(mask, value, count)                                                    \
    cudasim_shuffle((mask), (value), cudasim_lane_or_own((int)cudasim_lane() - (int)(count)), \
                    CUDASIM_SITE("__shfl_up_sync"))
#define __syncwarp(...)            ((void)cudasim_collect(0xffffffffu, 0, true, CUDASIM_SITE("__syncwarp")))
#define __ballot_sync(mask, holds) cudasim_vote((mask), (holds), CUDASIM_SITE("__ballot_sync"))
#define __any_sync(mask, holds)    (cudasim_vote((mask), (holds), CUDASIM_SITE("__any_sync")) != 0)
#define __all_sync(mask, holds) \
    (cudasim_vote((mask), (holds), CUDASIM_SITE("__all_sync")) == (unsigned)(mask))

/* Atomics on integers only: a sum of floats would depend on the order. */

template <class T, class V> static inline T atomicAdd(T *p, V value)
{
    static_assert(std::is_integral_v<T>, "sums of floats have a fixed order");
    return __atomic_fetch_add(p, (T)value, __ATOMIC_RELAXED);
}

template <class T, class V> static inline T atomicOr(T *p, V value)
{
    static_assert(std::is_integral_v<T>);
    return __atomic_fetch_or(p, (T)value, __ATOMIC_RELAXED);
}

template <class T, class V> static inline T atomicMax(T *p, V value)
{
    static_assert(std::is_integral_v<T>);
    T before = __atomic_load_n(p, __ATOMIC_RELAXED);

    while (before < (T)value && !__atomic_compare_exchange_n(p, &before, (T)value, false,
                                                             __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    return before;
}

/* Arithmetic. What a GPU approximates is exact here: compare with tolerances. */

#define __expf(x)          expf(x)
#define __logf(x)          logf(x)
#define __sinf(x)          sinf(x)
#define __cosf(x)          cosf(x)
#define __fdividef(a, b)   ((a) / (b))
#define __saturatef(x)     fminf(fmaxf((x), 0.0f), 1.0f)
#define __frcp_rn(x)       (1.0f / (x))
#define __fsqrt_rn(x)      sqrtf(x)
#define __fadd_rn(a, b)    ((a) + (b))
#define __fsub_rn(a, b)    ((a) - (b))
#define __fmul_rn(a, b)    ((a) * (b))
#define __fdiv_rn(a, b)    ((a) / (b))
#define __fmaf_rn(a, b, c) fmaf((a), (b), (c))
#define rsqrtf(x)          (1.0f / sqrtf(x))

template <class To, class From> static inline To cudasim_bits(From from)
{
    static_assert(sizeof(To) == sizeof(From));
    To to;

    memcpy(&to, &from, sizeof(to));
    return to;
}

#define __float_as_uint(x) cudasim_bits<unsigned, float>(x)
#define __uint_as_float(x) cudasim_bits<float, unsigned>(x)
#define __float_as_int(x)  cudasim_bits<int, float>(x)
#define __int_as_float(x)  cudasim_bits<float, int>(x)

static inline unsigned __umulhi(unsigned a, unsigned b)
{
    return (unsigned)((uint64_t)a * b >> 32);
}

template <class T> static inline int __popc(T x)
{
    return __builtin_popcount((unsigned)x);
}

template <class T> static inline int __clz(T x)
{
    return x ? __builtin_clz((unsigned)x) : 32;
}

template <class T> static inline int __ffs(T x)
{
    return __builtin_ffs((int)x);
}

template <class A, class B> static constexpr std::common_type_t<A, B> min(A a, B b)
{
    return (std::common_type_t<A, B>)b < (std::common_type_t<A, B>)a ? b : a;
}

template <class A, class B> static constexpr std::common_type_t<A, B> max(A a, B b)
{
    return (std::common_type_t<A, B>)a < (std::common_type_t<A, B>)b ? b : a;
}

/* Loads and stores that a GPU caches in a way of their own. */

template <class T> static inline T __ldg(const T *p)
{
    return *p;
}

template <class T> static inline T __ldcs(const T *p)
{
    return *p;
}

template <class T> static inline T __ldcg(const T *p)
{
    return *p;
}

template <class T> static inline void __stcs(T *p, T value)
{
    *p = value;
}

template <class T> static inline void __stcg(T *p, T value)
{
    *p = value;
}

/* Launches. */

template <class... P> struct cudasim_closure {
    void (*kernel)(P...);
    std::tuple<P...> arguments;

    static void run(void *arg)
    {
        auto *closure = static_cast<cudasim_closure *>(arg);

        std::apply(closure->kernel, closure->arguments);
    }
    static void destroy(void *arg)
    {
        delete static_cast<cudasim_closure *>(arg);
    }
};

template <class T> static inline void cudasim_note(const T &value, const void **pointers, int *n)
{
    if constexpr (std::is_pointer_v<T>)
        pointers[(*n)++] = (const void *)value;
}

template <class... P, class... A>
static inline cudaError_t cudasim_start(const char *name, void (*kernel)(P...), dim3 grid,
                                        dim3 block, size_t shared_bytes, cudaStream_t stream,
                                        A... arguments)
{
    static_assert(sizeof...(P) == sizeof...(A), "the number of a kernel's arguments");
    using closure = cudasim_closure<P...>;
    auto *c = new closure{kernel, std::tuple<P...>(static_cast<P>(arguments)...)};
    const void *pointers[sizeof...(P) + 1];
    int n = 0;

    std::apply([&](const auto &...value) { (cudasim_note(value, pointers, &n), ...); },
               c->arguments);
    cudasim_launch launch = {name,
                             (const void *)kernel,
                             grid,
                             block,
                             shared_bytes,
                             stream,
                             closure::run,
                             closure::destroy,
                             c,
                             pointers,
                             n};
    return cudasim_enqueue(&launch);
}

template <class... P> static inline cudaError_t cudasim_opt_in(void (*kernel)(P...), size_t bytes)
{
    return cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                (int)bytes);
}

#include "tests/cudasim/pipeline.hpp"
#include "tests/cudasim/wmma.hpp"

#endif
