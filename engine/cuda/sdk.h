/* What a kernel file includes. One source, two compilers:
 *     nvcc   CUDA C++
 *     g++    the simulated device: the build includes tests/cudasim/kernel.hpp before, which
 *            defines all that follows, and SIMULATED
 *
 * Beside CUDA's own words (threadIdx, __shfl_xor_sync, __pipeline_memcpy_async, nvcuda::wmma, ...) a
 * kernel uses these, since a host compiler knows no declaration or launch of CUDA's:
 *     SDK_SHARED(float, sums, [64]);               an array in shared memory
 *     SDK_SHARED_ALIGNED(32, float, tile, [256]);  likewise, at 32 bytes
 *     SDK_SHARED_DYNAMIC(float, rows);             float *rows: what the launch asks for, at 128 bytes
 *     SDK_SYNC_BLOCK();                            __syncthreads()
 *     SDK_BOUNDS(256)                              before the name of each kernel: its threads
 *     SDK_BOUNDS_BLOCKS(256, 4)                    likewise, with the blocks that share a multiprocessor: so
 *                                                  many registers it may have
 *     SDK_OPT_IN(kernel, bytes)                    lets it have more than 48 KiB of shared memory; always the
 *                                                  same number: what was captured may need the largest
 *     SDK_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)
 * The last two are a cudaError_t. A template with several arguments stands in parentheses there.
 *
 * Rules that the simulated device enforces: blocks are whole warps; every stream is named; no atomics on
 * floats (sums have a fixed order); what __pipeline_memcpy_async() writes is read by nobody before its
 * thread's __pipeline_wait_prior() and a barrier.
 */
#ifndef ENGINE_CUDA_SDK_H
#define ENGINE_CUDA_SDK_H

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime_api.h>

#ifdef __CUDACC__
#include <cuda_pipeline.h>
#include <cuda_runtime.h>
#include <mma.h>

#define SDK_SHARED(type, name, dimensions) __shared__ type name dimensions
#define SDK_SHARED_ALIGNED(alignment, type, name, dimensions) \
    __shared__ __align__(alignment)                           \
    type name dimensions
#define SDK_SHARED_DYNAMIC(type, name)                            \
    extern __shared__ __align__(128) unsigned char sdk_dynamic[]; \
    type *name = reinterpret_cast<type *>(sdk_dynamic)
#define SDK_SYNC_BLOCK()                 __syncthreads()
#define SDK_BOUNDS(count)                __launch_bounds__(count)
#define SDK_BOUNDS_BLOCKS(count, blocks) __launch_bounds__(count, blocks)
#define SDK_OPT_IN(kernel, bytes) \
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)(bytes))
#define SDK_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
    (kernel<<<(grid), (block), (shared_bytes), (stream)>>>(__VA_ARGS__), cudaGetLastError())
#endif

#endif
