#include "engine/cuda/sdk.h"

#include "tests/cudasim/faulty_launch.h"

static constexpr unsigned ALL = 0xffffffffu;

static __global__ void SDK_BOUNDS(256) fill(float *p, int n, float value)
{
    const int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);

    if (i < n)
        p[i] = value;
}

static __global__ void SDK_BOUNDS(256) copy(float *p, const float *q, int n)
{
    const int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);

    if (i < n)
        p[i] = q[i];
}

static __global__ void SDK_BOUNDS(256) divergent(float *p)
{
    if (threadIdx.x < 100)
        SDK_SYNC_BLOCK();
    p[threadIdx.x] = 1;
}

static __global__ void SDK_BOUNDS(256) two_barriers(float *p)
{
    if (threadIdx.x < 128)
        SDK_SYNC_BLOCK();
    else
        SDK_SYNC_BLOCK();
    p[threadIdx.x] = 1;
}

static __global__ void SDK_BOUNDS(256) two_collectives(float *p)
{
    float x = p[threadIdx.x];

    if (threadIdx.x % 2)
        x += __shfl_xor_sync(ALL, x, 2);
    else
        x += __shfl_xor_sync(ALL, x, 4);
    p[threadIdx.x] = x;
}

static __global__ void SDK_BOUNDS(256) shuffle_exited(float *p)
{
    if (threadIdx.x >= 20)
        return;
    p[threadIdx.x] = __shfl_xor_sync(ALL, p[threadIdx.x], 1);
}

static __global__ void SDK_BOUNDS(256) shuffle_outside(float *p)
{
    float x = p[threadIdx.x];

    if (threadIdx.x % 32 < 16)
        x = __shfl_xor_sync(0x0000ffffu, x, 16);
    p[threadIdx.x] = x;
}

static __global__ void SDK_BOUNDS(256) shared_past_end(float *p)
{
    SDK_SHARED(float, row, [32]);
    volatile float *end = row;

    row[threadIdx.x % 32] = 1;
    SDK_SYNC_BLOCK();
    p[threadIdx.x] = end[threadIdx.x % 32 + 1];
}

static __global__ void SDK_BOUNDS(256) shared_unwritten(float *p)
{
    SDK_SHARED(float, row, [64]);

    row[threadIdx.x % 32] = 1;
    SDK_SYNC_BLOCK();
    p[threadIdx.x] = row[32 + threadIdx.x % 32];
}

static __global__ void SDK_BOUNDS(256) shared_race(float *p, int n)
{
    SDK_SHARED(float, row, [256]);
    float sum = 0;

    for (int i = 0; i < n; i++) {
        row[threadIdx.x] = (float)i / 6;
        SDK_SYNC_BLOCK();
        sum += row[(threadIdx.x + 1) % 256];
    }
    p[threadIdx.x] = sum;
}

static __global__ void SDK_BOUNDS(256) lock_step(float *p)
{
    SDK_SHARED(float, row, [256]);

    row[threadIdx.x] = 1;
    p[threadIdx.x] = row[threadIdx.x ^ 1];
}

static __global__ void SDK_BOUNDS(256) not_atomic(float *p, const float *q)
{
    p[0] += q[threadIdx.x];
}

static __global__ void SDK_BOUNDS(32) misaligned(float *p)
{
    const float4 four = *reinterpret_cast<const float4 *>(p + 1 + threadIdx.x * 4);

    p[threadIdx.x] = four.x;
}

/* The first block reads what the second writes. */
static __global__ void SDK_BOUNDS(32) blocks_race(float *p, float *q)
{
    if (blockIdx.x == 1)
        q[threadIdx.x] = 1;
    else
        p[threadIdx.x] = q[threadIdx.x];
}

static __global__ void SDK_BOUNDS(256) copy_unwaited(float *p, const float *q)
{
    SDK_SHARED_ALIGNED(16, float, row, [256]);

    __pipeline_memcpy_async(&row[threadIdx.x], &q[threadIdx.x], 4);
    __pipeline_commit();
    p[threadIdx.x] = row[threadIdx.x];
    __pipeline_wait_prior(0);
}

static __global__ void SDK_BOUNDS(256) copy_no_barrier(float *p, const float *q)
{
    SDK_SHARED_ALIGNED(16, float, row, [256]);

    __pipeline_memcpy_async(&row[threadIdx.x], &q[threadIdx.x], 4);
    __pipeline_commit();
    __pipeline_wait_prior(0);
    p[threadIdx.x] = row[255 - threadIdx.x];
}

static __global__ void SDK_BOUNDS(256) copy_wrong_group(float *p, const float *q)
{
    SDK_SHARED_ALIGNED(16, float, row, [256]);

    __pipeline_memcpy_async(&row[threadIdx.x], &q[threadIdx.x], 4);
    __pipeline_commit();
    __pipeline_wait_prior(1);
    p[threadIdx.x] = row[threadIdx.x];
    __pipeline_wait_prior(0);
}

static __global__ void SDK_BOUNDS(256) copy_abandoned(float *p, const float *q)
{
    SDK_SHARED_ALIGNED(16, float, row, [256]);

    __pipeline_memcpy_async(&row[threadIdx.x], &q[threadIdx.x], 4);
    __pipeline_commit();
    p[threadIdx.x] = 1;
}

static __global__ void SDK_BOUNDS(32) copy_misaligned(float *p, const float *q)
{
    SDK_SHARED_ALIGNED(16, float, row, [256]);

    __pipeline_memcpy_async(&row[threadIdx.x * 4], &q[threadIdx.x * 4 + 1], 16);
    __pipeline_commit();
    __pipeline_wait_prior(0);
    p[threadIdx.x] = row[threadIdx.x * 4];
}

static __global__ void SDK_BOUNDS(256) copy_to_global(float *p, const float *q)
{
    __pipeline_memcpy_async(&p[threadIdx.x], &q[threadIdx.x], 4);
    __pipeline_commit();
    __pipeline_wait_prior(0);
}

static __global__ void SDK_BOUNDS(32) matrix(float *p, int offset, int step)
{
    using namespace nvcuda;
    SDK_SHARED_ALIGNED(32, __half, tile, [1024]);
    SDK_SHARED_ALIGNED(32, float, result, [256]);
    wmma::fragment<wmma::matrix_a, 16, 16, 16, __half, wmma::row_major> a;
    wmma::fragment<wmma::matrix_b, 16, 16, 16, __half, wmma::row_major> b;
    wmma::fragment<wmma::accumulator, 16, 16, 16, float> sums;

    for (int i = (int)threadIdx.x; i < 1024; i += 32)
        tile[i] = __float2half_rn(0.25f);
    __syncwarp();
    wmma::load_matrix_sync(a, &tile[0] + offset + step * (int)(threadIdx.x % 2), 16);
    wmma::load_matrix_sync(b, &tile[0], 16);
    wmma::fill_fragment(sums, 0.0f);
    wmma::mma_sync(sums, a, b, sums);
    wmma::store_matrix_sync(&result[0], sums, 16, wmma::mem_row_major);
    __syncwarp();
    p[threadIdx.x] = result[threadIdx.x];
}

/* nvcc would refuse it. */
static __global__ void SDK_BOUNDS(256) shared_too_large(float *p)
{
    SDK_SHARED(float, rows, [16384]);

    rows[threadIdx.x] = 1;
    p[threadIdx.x] = rows[threadIdx.x];
}

extern "C" cudaError_t fill_launch(float *p, int n, float value, int n_blocks, int n_threads,
                                   size_t shared_bytes, cudaStream_t stream)
{
    return SDK_LAUNCH(fill, (unsigned)n_blocks, (unsigned)n_threads, shared_bytes, stream, p, n,
                      value);
}

extern "C" cudaError_t copy_launch(float *p, const float *q, int n, cudaStream_t stream)
{
    return SDK_LAUNCH(copy, (unsigned)(n + 255) / 256, 256, 0, stream, p, q, n);
}

static cudaError_t launch_copies(enum faulty kernel, float *p, float *q, cudaStream_t stream)
{
    switch (kernel) {
    case FAULTY_BLOCKS_RACE:
        return SDK_LAUNCH(blocks_race, 2, 32, 0, stream, p, q);
    case FAULTY_COPY_UNWAITED:
        return SDK_LAUNCH(copy_unwaited, 1, 256, 0, stream, p, q);
    case FAULTY_COPY_NO_BARRIER:
        return SDK_LAUNCH(copy_no_barrier, 1, 256, 0, stream, p, q);
    case FAULTY_COPY_WRONG_GROUP:
        return SDK_LAUNCH(copy_wrong_group, 1, 256, 0, stream, p, q);
    case FAULTY_COPY_ABANDONED:
        return SDK_LAUNCH(copy_abandoned, 1, 256, 0, stream, p, q);
    case FAULTY_COPY_MISALIGNED:
        return SDK_LAUNCH(copy_misaligned, 1, 32, 0, stream, p, q);
    case FAULTY_COPY_TO_GLOBAL:
        return SDK_LAUNCH(copy_to_global, 1, 256, 0, stream, p, q);
    case FAULTY_MATRIX_MISALIGNED:
        return SDK_LAUNCH(matrix, 1, 32, 0, stream, p, 8, 0);
    case FAULTY_MATRIX_DIVERGENT:
        return SDK_LAUNCH(matrix, 1, 32, 0, stream, p, 0, 256);
    case FAULTY_SHARED_TOO_LARGE:
        return SDK_LAUNCH(shared_too_large, 1, 256, 0, stream, p);
    default:
        return cudaErrorInvalidValue;
    }
}

extern "C" cudaError_t faulty_launch(enum faulty kernel, float *p, float *q, int n,
                                     cudaStream_t stream)
{
    switch (kernel) {
    case FAULTY_DIVERGENT:
        return SDK_LAUNCH(divergent, 1, 256, 0, stream, p);
    case FAULTY_TWO_BARRIERS:
        return SDK_LAUNCH(two_barriers, 1, 256, 0, stream, p);
    case FAULTY_TWO_COLLECTIVES:
        return SDK_LAUNCH(two_collectives, 1, 256, 0, stream, p);
    case FAULTY_SHUFFLE_EXITED:
        return SDK_LAUNCH(shuffle_exited, 1, 256, 0, stream, p);
    case FAULTY_SHUFFLE_OUTSIDE:
        return SDK_LAUNCH(shuffle_outside, 1, 256, 0, stream, p);
    case FAULTY_SHARED_PAST_END:
        return SDK_LAUNCH(shared_past_end, 1, 256, 0, stream, p);
    case FAULTY_SHARED_UNWRITTEN:
        return SDK_LAUNCH(shared_unwritten, 1, 256, 0, stream, p);
    case FAULTY_SHARED_RACE:
        return SDK_LAUNCH(shared_race, 1, 256, 0, stream, p, n);
    case FAULTY_LOCK_STEP:
        return SDK_LAUNCH(lock_step, 1, 256, 0, stream, p);
    case FAULTY_NOT_ATOMIC:
        return SDK_LAUNCH(not_atomic, 1, 256, 0, stream, p, q);
    case FAULTY_MISALIGNED:
        return SDK_LAUNCH(misaligned, 1, 32, 0, stream, p);
    default:
        return launch_copies(kernel, p, q, stream);
    }
}
