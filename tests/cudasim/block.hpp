/* The simulated multiprocessor: runs the blocks of a grid, each thread of a block on a fiber of its own.
 *
 * Threads run one at a time until they meet something that waits; the order of threads and of blocks is
 * chosen (forward, backward, random), since a GPU promises none. What a block may not rely on is made
 * visible: shared memory starts as NaN, threads that meet at different barriers are told apart, and
 * every block of a build for the thread sanitizer is unordered against its neighbours.
 */
#ifndef TESTS_CUDASIM_BLOCK_HPP
#define TESTS_CUDASIM_BLOCK_HPP

#include "tests/cudasim/fail.hpp"
#include "tests/cudasim/fiber.hpp"

#include <stddef.h>
#include <stdint.h>
#include <vector_types.h>

namespace cudasim
{

enum { WARP = 32, BLOCK_THREADS_MAX = 1024 };

enum order { ORDER_FORWARD, ORDER_REVERSE, ORDER_RANDOM };

/* A thread's coordinates, as kernels read them. */
struct coordinates {
    uint3 thread, block;
    dim3 block_size, grid_size;
};

enum thread_state { THREAD_READY, THREAD_AT_BARRIER, THREAD_AT_WARP, THREAD_DONE };

struct thread {
    coordinates at;
    fiber stack;
    int index; /* in its block */
    thread_state state;
    const site *waits_at;
    unsigned mask;        /* of the collective that it waits at */
    uint64_t deposit;     /* what it brought there */
    uint64_t result[32];  /* what it took from there, for masks that are not full */
    unsigned copies_open; /* asynchronous copies that it has not waited for */
};

/* The block that runs. */
struct block {
    thread *threads; /* n_threads of them */
    int n_threads;
    unsigned set; /* whose fibers these are */
    thread *running;
};

extern block current;

struct grid {
    const char *name;
    dim3 size, block_size;
    size_t shared_bytes;  /* dynamic */
    void (*body)(void *); /* what each thread does */
    void *arg;
};

void grid_run(const grid *g);
void grid_set_order(order o);

/* Waits: back to the scheduler, until it makes the thread ready again. */
void thread_wait(thread *t, thread_state state);
bool site_equal(const site *a, const site *b);

/* warp.cpp: forgets what the warps of the block before left. */
void warps_reset();

/* shared.cpp: the block's shared memory, anew and full of NaN. */
void shared_reset(size_t dynamic_bytes);
bool shared_contains(const void *p, size_t bytes);

/* For --verbose readers of a test's output. */
struct counts {
    unsigned long blocks, threads, switches;
};
extern counts counted;

} // namespace cudasim

#endif
