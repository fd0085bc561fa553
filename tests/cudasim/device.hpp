/* What the words of a kernel (kernel.hpp, wmma.hpp, pipeline.hpp) call on the simulated device. */
#ifndef TESTS_CUDASIM_DEVICE_HPP
#define TESTS_CUDASIM_DEVICE_HPP

#include "tests/cudasim/block.hpp"

#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

/* The running thread's. */
extern cudasim::coordinates *cudasim_coordinates;

void cudasim_sync_block(const cudasim::site *where);
unsigned cudasim_lane();

/* Every lane of mask brings a word and gets all 32; those outside of mask are undefined. Orders memory
 * between them if fence. Borrowed until the lane's collective after the next. */
const uint64_t *cudasim_collect(unsigned mask, uint64_t word, bool fence,
                                const cudasim::site *where);

/* The array of the block that key stands for: the same one for all threads. */
void *cudasim_shared(const void *key, size_t bytes, size_t alignment, const cudasim::site *where);
void *cudasim_shared_dynamic();

/* d = a b + c, 16x16x16, element cudasim_element(lane, i) of each lies in lane's i-th. */
void cudasim_multiply(float d[8], const float a[8], const float b[8], const float c[8],
                      const cudasim::site *where);
/* All lanes give the same matrix, aligned to 32 bytes, rows a multiple of 16 bytes. */
void cudasim_matrix(const void *matrix, unsigned row, size_t element_bytes,
                    const cudasim::site *where);

/* Asynchronous copies of the running thread: checks one and remembers it. */
struct cudasim_copy {
    void *dst;
    const void *src;
    unsigned bytes, zeros; /* the last `zeros` of bytes are written as 0 */
};
void cudasim_copy_start(const cudasim_copy *copy, const cudasim::site *where);
void cudasim_copy_commit();
/* The next copy that is done once all but the last n_left groups are: false if there is none. */
bool cudasim_copy_next(unsigned n_left, cudasim_copy *out);
bool cudasim_copies_late(); /* whether copies happen when they are waited for, else when started */

/* Checks a launch and enqueues it: body(arg) is one thread; destroy(arg) at the end. pointers are those
 * among the kernel's arguments, for the check that they lead to the device's memory. */
struct cudasim_launch {
    const char *name;
    const void *function;
    dim3 grid, block;
    size_t shared_bytes;
    cudaStream_t stream;
    void (*body)(void *arg);
    void (*destroy)(void *arg);
    void *arg;
    const void *const *pointers;
    int n_pointers;
};
cudaError_t cudasim_enqueue(const cudasim_launch *launch);

#endif
