#include "engine/cuda/nccl.h"
#include "engine/base/error.h"
#include "engine/communicator/communicator.h"
#include "engine/cuda/nccl_call.h"

#include <errno.h>
#include <stdlib.h>

struct nccl {
    const struct nccl_functions *functions;
    ncclComm_t ranks;
};

static int nccl_check(const struct nccl *n, ncclResult_t result, const char *what,
                      struct error *err)
{
    if (result == ncclSuccess)
        return 0;
    return error_set(err, -EIO, "could not %s: %s", what, n->functions->get_error_string(result));
}

/* What rank 0 has drawn to find each other by becomes known to all. */
static int share_id(const struct nccl *n, struct communicator *c, ncclUniqueId *id,
                    struct error *err)
{
    int rc = 0;

    if (c->rank == 0)
        rc = nccl_check(n, n->functions->get_unique_id(id), "begin with NCCL", err);
    rc = communicator_agree(c, rc, err);
    return rc < 0 ? rc : communicator_broadcast(c, id, sizeof(*id), err);
}

int nccl_create(struct communicator *c, struct nccl **out, struct error *err)
{
    struct nccl *n = calloc(1, sizeof(*n));
    ncclUniqueId id;
    int rc = n ? nccl_load(&n->functions, err) : error_set(err, -ENOMEM, "out of memory for NCCL");

    rc = communicator_agree(c, rc, err);
    if (rc == 0)
        rc = share_id(n, c, &id, err);
    if (rc == 0) {
        rc = nccl_check(n, n->functions->comm_init_rank(&n->ranks, c->n_ranks, id, c->rank),
                        "connect the GPUs of all ranks", err);
        rc = communicator_agree(c, rc, err);
    }
    if (rc < 0) {
        nccl_destroy(n);
        return rc;
    }
    *out = n;
    return 0;
}

void nccl_destroy(struct nccl *n)
{
    if (n && n->ranks)
        n->functions->comm_destroy(n->ranks);
    free(n);
}

int nccl_sum(struct nccl *n, float *values, size_t count, cudaStream_t stream, struct error *err)
{
    return nccl_check(n,
                      n->functions->all_reduce(values, values, count, ncclFloat32, ncclSum,
                                               n->ranks, stream),
                      "sum over the GPUs of all ranks", err);
}
