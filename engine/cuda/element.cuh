/* Elements of the three floating types, alone and several at a time, as float32 in registers. */
#ifndef ENGINE_CUDA_ELEMENT_CUH
#define ENGINE_CUDA_ELEMENT_CUH

#include "engine/cuda/sdk.h"
#include "engine/tensor.h"

#include <stddef.h>
#include <stdint.h>

static __device__ __forceinline__ float element_float(float x)
{
    return x;
}

static __device__ __forceinline__ float element_float(__half x)
{
    return __half2float(x);
}

static __device__ __forceinline__ float element_float(__nv_bfloat16 x)
{
    return __bfloat162float(x);
}

static __device__ __forceinline__ void element_set(float &y, float x)
{
    y = x;
}

static __device__ __forceinline__ void element_set(__half &y, float x)
{
    y = __float2half_rn(x);
}

static __device__ __forceinline__ void element_set(__nv_bfloat16 &y, float x)
{
    y = __float2bfloat16_rn(x);
}

/* As many as one instruction moves: 16 bytes. */
template <class T> struct pack_of {
    enum { COUNT = 16 / sizeof(T) };
};

template <class T, int N> struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) pack {
    T at[N];
};

/* N neighbours from x on, aligned to their size or to 16 bytes. */
template <int N, class T>
static __device__ __forceinline__ void pack_load(const T *x, float (&out)[N])
{
    const pack<T, N> p = *reinterpret_cast<const pack<T, N> *>(x);

#pragma unroll
    for (int i = 0; i < N; i++)
        out[i] = element_float(p.at[i]);
}

template <int N, class T>
static __device__ __forceinline__ void pack_store(T *y, const float (&x)[N])
{
    pack<T, N> p;

#pragma unroll
    for (int i = 0; i < N; i++)
        element_set(p.at[i], x[i]);
    *reinterpret_cast<pack<T, N> *>(y) = p;
}

/* The same where the type is known at run time only: for operations that are bound by memory. */
template <int N>
static __device__ __forceinline__ void typed_load(const void *x, enum dtype type, size_t i,
                                                  float (&out)[N])
{
    if (type == DTYPE_F16)
        pack_load<N>(static_cast<const __half *>(x) + i, out);
    else if (type == DTYPE_BF16)
        pack_load<N>(static_cast<const __nv_bfloat16 *>(x) + i, out);
    else
        pack_load<N>(static_cast<const float *>(x) + i, out);
}

template <int N>
static __device__ __forceinline__ void typed_store(void *y, enum dtype type, size_t i,
                                                   const float (&x)[N])
{
    if (type == DTYPE_F16)
        pack_store<N>(static_cast<__half *>(y) + i, x);
    else if (type == DTYPE_BF16)
        pack_store<N>(static_cast<__nv_bfloat16 *>(y) + i, x);
    else
        pack_store<N>(static_cast<float *>(y) + i, x);
}

/* x / (1 + exp(-x)), as exact as the type deserves. */
template <class T> static __device__ __forceinline__ float silu_of(float x)
{
    return __fdividef(x, 1 + __expf(-x));
}

template <> __device__ __forceinline__ float silu_of<float>(float x)
{
    return x / (1 + expf(-x));
}

/* Its derivative: s + x s (1 - s) with s = 1 / (1 + exp(-x)). */
template <class T> static __device__ __forceinline__ float silu_derivative(float x)
{
    const float s = __fdividef(1, 1 + __expf(-x));

    return s * fmaf(x, 1 - s, 1);
}

template <> __device__ __forceinline__ float silu_derivative<float>(float x)
{
    const float s = 1 / (1 + expf(-x));

    return s * fmaf(x, 1 - s, 1);
}

/* Runs f(T()) with the C++ type of a floating dtype. */
template <class F> static cudaError_t with_type(enum dtype type, F f)
{
    if (type == DTYPE_F16)
        return f(__half());
    if (type == DTYPE_BF16)
        return f(__nv_bfloat16());
    return f(float());
}

static inline unsigned blocks_of(size_t count, size_t per_block)
{
    return (unsigned)((count + per_block - 1) / per_block);
}

#endif
