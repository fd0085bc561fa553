/* A chunk of a run: images that go through a cut at once, as a graph that is made before the first
 * run. In a graph all addresses are fixed, so there is one for each place in the boxes where a chunk
 * of its cut may begin.
 */
#ifndef ENGINE_CUDA_CHUNK_H
#define ENGINE_CUDA_CHUNK_H

#include "engine/cuda/cuda_kernels.h"
#include "engine/plan_steps.h"

enum { CHUNK_ALIGNMENT = 256 }; /* of all that a kernel reads or writes; vectors need 16 */

/* Where values lie; all of it on the device. */
struct chunk_memory {
    const struct plan *plan;
    char *inbox, *outbox, *arena;
    /* A chunk may begin in the boxes where vectors cannot be read. It has its rows here: value after
     * value, offsets [n_values]. */
    char *staging;
    const size_t *staging_offsets;
    void *const *states; /* [n_values] of the program */
    /* [n_values] or NULL. Where a value has memory of its own, it is not in the arena: so the simulated
     * device sees who reads or writes past an end. */
    void *const *apart;
};

struct chunk {
    const struct cut *cut;
    int first; /* image */
    bool staged;
    cudaGraphExec_t graph;
};

/* A chunk of the plan's, to be captured. */
struct chunk chunk_at(const struct plan *plan, const struct cut *cut, int first);

/* Enqueues the steps of a chunk. marks: n_steps + 1 events, recorded before each step and after the
 * last; NULL: none. 0 or -EIO. */
int chunk_enqueue(const struct chunk *chunk, const struct chunk_memory *memory, cudaStream_t stream,
                  const cudaEvent_t *marks, struct error *err);

/* Enqueues the steps, but what they would write into state goes to `instead`, as large as the largest
 * state. For a kernel's first run, which loads it and may not be captured. 0 or -EIO. */
int chunk_rehearse(const struct chunk *chunk, const struct chunk_memory *memory, void *instead,
                   cudaStream_t stream, struct error *err);

/* Makes the graph of a chunk that has been rehearsed. 0, -ENOMEM or -EIO. */
int chunk_capture(struct chunk *chunk, const struct chunk_memory *memory, cudaStream_t stream,
                  struct error *err);
void chunk_fini(struct chunk *chunk);

#endif
