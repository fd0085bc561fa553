/* The functions of NCCL that are used. The library is loaded when the first of several ranks sums, so that
 * whoever trains on one GPU, or only draws, does not need it.
 */
#ifndef ENGINE_CUDA_NCCL_CALL_H
#define ENGINE_CUDA_NCCL_CALL_H

#include <nccl.h>

struct error;

struct nccl_functions {
    __typeof__(&ncclGetUniqueId) get_unique_id;
    __typeof__(&ncclCommInitRank) comm_init_rank;
    __typeof__(&ncclCommDestroy) comm_destroy;
    __typeof__(&ncclAllReduce) all_reduce;
    __typeof__(&ncclGetErrorString) get_error_string;
};

/* Never unloaded. 0, or -ENOTSUP: there is no such library, or it lacks a function. The simulated device has
 * another definition of this (tests/cudasim/nccl.cpp). */
int nccl_load(const struct nccl_functions **out, struct error *err);

#endif
