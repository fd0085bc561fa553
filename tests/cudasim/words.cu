#include "engine/cuda/sdk.h"

#include "tests/cudasim/words_launch.h"

static constexpr unsigned ALL = 0xffffffffu;

enum { DYNAMIC_BYTES = 65536 };

static __global__ void SDK_BOUNDS(WORDS_THREADS) shuffle(const float *in, float *out)
{
    out[threadIdx.x] = __shfl_sync(ALL, in[threadIdx.x], 7);
}

static __global__ void SDK_BOUNDS(WORDS_THREADS) shuffle_xor(const float *in, float *out)
{
    out[threadIdx.x] = __shfl_xor_sync(ALL, in[threadIdx.x], 5);
}

static __global__ void SDK_BOUNDS(WORDS_THREADS) shuffle_down(const float *in, float *out)
{
    out[threadIdx.x] = __shfl_down_sync(ALL, in[threadIdx.x], 3);
}

static __global__ void SDK_BOUNDS(WORDS_THREADS) shuffle_up(const float *in, float *out)
{
    out[threadIdx.x] = __shfl_up_sync(ALL, in[threadIdx.x], 2);
}

static __global__ void SDK_BOUNDS(WORDS_THREADS) shuffle_half(const float *in, float *out)
{
    const unsigned t = threadIdx.x;

    if (t % 32 < 16)
        out[t] = __shfl_xor_sync(0x0000ffffu, in[t], 1);
    else
        out[t] = __shfl_xor_sync(0xffff0000u, in[t], 1);
}

static __global__ void SDK_BOUNDS(WORDS_THREADS) ballot(const float *in, float *out)
{
    const unsigned votes = __ballot_sync(ALL, in[threadIdx.x] > 0);

    out[threadIdx.x] = (float)__popc(votes);
}

static __global__ void SDK_BOUNDS(WORDS_THREADS) shared(const float *in, float *out)
{
    SDK_SHARED(float, row, [WORDS_THREADS]);

    row[threadIdx.x] = in[threadIdx.x];
    SDK_SYNC_BLOCK();
    out[threadIdx.x] = row[WORDS_THREADS - 1 - threadIdx.x];
}

static __global__ void SDK_BOUNDS(WORDS_THREADS) shared_dynamic(const float *in, float *out)
{
    SDK_SHARED_DYNAMIC(float, rows);
    float *row = rows + DYNAMIC_BYTES / 4 - WORDS_THREADS;

    row[threadIdx.x] = in[threadIdx.x];
    SDK_SYNC_BLOCK();
    out[threadIdx.x] = row[WORDS_THREADS - 1 - threadIdx.x];
}

static __global__ void SDK_BOUNDS(WORDS_THREADS) sync_warp(const float *in, float *out)
{
    SDK_SHARED(float, row, [WORDS_THREADS]);

    row[threadIdx.x] = in[threadIdx.x];
    __syncwarp();
    out[threadIdx.x] = row[threadIdx.x ^ 1];
}

static __global__ void SDK_BOUNDS(WORDS_THREADS) atomic(int *out)
{
    SDK_SHARED(int, counts, [2]);

    if (threadIdx.x < 2)
        counts[threadIdx.x] = 0;
    SDK_SYNC_BLOCK();
    atomicAdd(&counts[0], 1);
    atomicMax(&counts[1], (int)threadIdx.x);
    SDK_SYNC_BLOCK();
    if (threadIdx.x < 2)
        out[threadIdx.x] = counts[threadIdx.x];
}

/* The compiler has bfloat16 on tensor cores only from 8.0 on. */
template <class T> struct factor {
    using type = T;
};
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
template <> struct factor<__nv_bfloat16> {
    using type = __half;
};
#endif

template <class T> static __global__ void SDK_BOUNDS(32) product(const float *in, float *out)
{
    using namespace nvcuda;
    using F = typename factor<T>::type;
    SDK_SHARED_ALIGNED(32, F, a, [256]);
    SDK_SHARED_ALIGNED(32, float, c, [256]);
    wmma::fragment<wmma::matrix_a, 16, 16, 16, F, wmma::row_major> left;
    wmma::fragment<wmma::matrix_b, 16, 16, 16, F, wmma::col_major> right;
    wmma::fragment<wmma::accumulator, 16, 16, 16, float> sums;

    for (int i = threadIdx.x; i < 256; i += 32)
        a[i] = (F)in[i];
    __syncwarp();
    wmma::load_matrix_sync(left, a, 16);
    wmma::load_matrix_sync(right, a, 16);
    wmma::fill_fragment(sums, 0.0f);
    wmma::mma_sync(sums, left, right, sums);
    wmma::store_matrix_sync(c, sums, 16, wmma::mem_row_major);
    __syncwarp();
    for (int i = threadIdx.x; i < 256; i += 32)
        out[i] = c[i];
}

static __global__ void SDK_BOUNDS(WORDS_THREADS) pipeline(const float *in, float *out)
{
    SDK_SHARED_ALIGNED(16, float, rows, [2][WORDS_THREADS]);
    const int t = threadIdx.x;
    float sum;

    if (t < WORDS_THREADS / 4)
        __pipeline_memcpy_async(&rows[0][4 * t], &in[4 * t], 16);
    __pipeline_commit();
    __pipeline_memcpy_async(&rows[1][t], &in[t], 4);
    __pipeline_commit();
    __pipeline_wait_prior(1);
    SDK_SYNC_BLOCK();
    sum = rows[0][t];
    __pipeline_wait_prior(0);
    SDK_SYNC_BLOCK();
    out[t] = sum + rows[1][WORDS_THREADS - 1 - t];
}

static __global__ void SDK_BOUNDS(WORDS_THREADS) pipeline_zeros(const float *in, float *out)
{
    SDK_SHARED_ALIGNED(16, float, row, [WORDS_THREADS]);
    const int t = threadIdx.x;

    if (t < WORDS_THREADS / 4)
        __pipeline_memcpy_async(&row[4 * t], &in[4 * t], 16, 4);
    __pipeline_commit();
    __pipeline_wait_prior(0);
    SDK_SYNC_BLOCK();
    out[t] = row[t];
}

/* 2 x 4 blocks of 8 x 4 threads. */
static __global__ void SDK_BOUNDS(32) places(float *out)
{
    const int thread = threadIdx.y * blockDim.x + threadIdx.x;
    const int block = blockIdx.y * gridDim.x + blockIdx.x;

    out[block * 32 + thread] = (float)(blockIdx.y * 1000 + blockIdx.x * 100 + thread);
}

static cudaError_t launch_more(enum word word, const float *in, float *out, cudaStream_t stream)
{
    switch (word) {
    case WORD_SHARED_DYNAMIC: {
        const cudaError_t error = SDK_OPT_IN(shared_dynamic, DYNAMIC_BYTES);

        if (error != cudaSuccess)
            return error;
        return SDK_LAUNCH(shared_dynamic, 1, WORDS_THREADS, DYNAMIC_BYTES, stream, in, out);
    }
    case WORD_SYNC_WARP:
        return SDK_LAUNCH(sync_warp, 1, WORDS_THREADS, 0, stream, in, out);
    case WORD_ATOMIC:
        return SDK_LAUNCH(atomic, 1, WORDS_THREADS, 0, stream, (int *)out);
    case WORD_PRODUCT_HALF:
        return SDK_LAUNCH(product<__half>, 1, 32, 0, stream, in, out);
    case WORD_PRODUCT_BFLOAT:
        return SDK_LAUNCH(product<__nv_bfloat16>, 1, 32, 0, stream, in, out);
    case WORD_PIPELINE:
        return SDK_LAUNCH(pipeline, 1, WORDS_THREADS, 0, stream, in, out);
    case WORD_PIPELINE_ZEROS:
        return SDK_LAUNCH(pipeline_zeros, 1, WORDS_THREADS, 0, stream, in, out);
    case WORD_PLACES:
        return SDK_LAUNCH(places, dim3(2, 4), dim3(8, 4), 0, stream, out);
    default:
        return cudaErrorInvalidValue;
    }
}

extern "C" cudaError_t words_launch(enum word word, const float *in, float *out,
                                    cudaStream_t stream)
{
    switch (word) {
    case WORD_SHUFFLE:
        return SDK_LAUNCH(shuffle, 1, WORDS_THREADS, 0, stream, in, out);
    case WORD_SHUFFLE_XOR:
        return SDK_LAUNCH(shuffle_xor, 1, WORDS_THREADS, 0, stream, in, out);
    case WORD_SHUFFLE_DOWN:
        return SDK_LAUNCH(shuffle_down, 1, WORDS_THREADS, 0, stream, in, out);
    case WORD_SHUFFLE_UP:
        return SDK_LAUNCH(shuffle_up, 1, WORDS_THREADS, 0, stream, in, out);
    case WORD_SHUFFLE_HALF:
        return SDK_LAUNCH(shuffle_half, 1, WORDS_THREADS, 0, stream, in, out);
    case WORD_BALLOT:
        return SDK_LAUNCH(ballot, 1, WORDS_THREADS, 0, stream, in, out);
    case WORD_SHARED:
        return SDK_LAUNCH(shared, 1, WORDS_THREADS, 0, stream, in, out);
    default:
        return launch_more(word, in, out, stream);
    }
}
