/* The GPUs of several ranks, which sum where the numbers lie, by NCCL; the ranks find each other through a
 * communicator of the host. In which order it adds depends on how the GPUs are connected and on the
 * version of NCCL; it is the same from step to step, and its result is the same on all ranks.
 */
#ifndef ENGINE_CUDA_NCCL_H
#define ENGINE_CUDA_NCCL_H

#include <cuda_runtime_api.h>
#include <stddef.h>

struct communicator;
struct error;
struct nccl;

/* By all ranks of c together, each with its GPU set (cuda_enter()); all get the same code. c is not kept. 0, -ENOTSUP
 * (a rank has no NCCL), -ENOMEM or -EIO (e.g. two ranks have the same GPU). */
int nccl_create(struct communicator *c, struct nccl **out, struct error *err);
void nccl_destroy(struct nccl *n); /* NULL is fine */

/* Enqueues: sums n floats of the GPU's memory over all ranks, in place. 0 or -EIO. */
int nccl_sum(struct nccl *n, float *values, size_t count, cudaStream_t stream, struct error *err);

#endif
