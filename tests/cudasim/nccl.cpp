/* The double of NCCL, against the prototypes of its own header: ranks are processes of this machine that
 * meet in a file of shared memory. A sum is work of the stream, like the real one, and all ranks must
 * come to it with the same count, or the process ends; so it does where one does not come at all. Each
 * piece is added from another rank on, as in a ring: who relies on an order sees it.
 */
#include "tests/cudasim/runtime.hpp"

#include <nccl.h> /* C++ of CUDA's own */

extern "C" {
#include "engine/cuda/nccl_call.h"
}

#include <atomic>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

namespace
{

enum { RANKS_MAX = 16, PATIENCE_S = 100 };
const size_t PIECE = 16384;

/* What ranks have in common. */
struct meeting {
    std::atomic<unsigned> arrived; /* since the beginning, at all barriers */
    std::atomic<unsigned> joined;  /* a bit of each rank */
    size_t counts[RANKS_MAX];      /* of the sum that each has come to */
    float pieces[RANKS_MAX][PIECE];
};

struct request {
    struct ncclComm *ranks;
    float *values;
    size_t count;
};

} // namespace

struct ncclComm {
    meeting *shared;
    int rank, n_ranks;
    unsigned barriers; /* that this rank has passed */
};

namespace
{

/* Until all have come. */
void meet(struct ncclComm *ranks, const char *where)
{
    unsigned wanted = ++ranks->barriers * (unsigned)ranks->n_ranks;
    const struct timespec nap = {0, 20000};
    time_t start = time(nullptr);

    ranks->shared->arrived++;
    while ((int)(ranks->shared->arrived.load() - wanted) < 0) {
        if (time(nullptr) - start > PATIENCE_S)
            cudasim::fail("%s: rank %d waits for others that do not come", where, ranks->rank);
        nanosleep(&nap, nullptr);
    }
}

/* As the stream: the device's memory is open. */
void sum(void *arg)
{
    struct request *r = static_cast<struct request *>(arg);
    struct ncclComm *ranks = r->ranks;
    meeting *shared = ranks->shared;
    int n = ranks->n_ranks;

    shared->counts[ranks->rank] = r->count;
    meet(ranks, "ncclAllReduce");
    for (int i = 0; i < n; i++)
        if (shared->counts[i] != r->count)
            cudasim::fail("ncclAllReduce of %zu numbers, and of %zu on rank %d", r->count,
                          shared->counts[i], i);
    for (size_t first = 0, piece = 0; first < r->count; first += PIECE, piece++) {
        size_t size = r->count - first < PIECE ? r->count - first : PIECE;

        memcpy(shared->pieces[ranks->rank], r->values + first, size * sizeof(float));
        meet(ranks, "ncclAllReduce");
        memcpy(r->values + first, shared->pieces[piece % (size_t)n], size * sizeof(float));
        for (size_t i = 1; i < (size_t)n; i++)
            for (size_t j = 0; j < size; j++)
                r->values[first + j] += shared->pieces[(piece + i) % (size_t)n][j];
        meet(ranks, "ncclAllReduce");
    }
}

/* The double's own. */
const char *error_string(ncclResult_t result)
{
    return result == ncclInvalidUsage ? "invalid usage" : "system error";
}

ncclResult_t get_unique_id(ncclUniqueId *id)
{
    static int number;
    int fd;

    memset(id, 0, sizeof(*id));
    snprintf(id->internal, sizeof(id->internal), "/cudasim-nccl-%d-%d", (int)getpid(), number++);
    fd = shm_open(id->internal, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0)
        return ncclSystemError;
    if (ftruncate(fd, sizeof(meeting)) < 0) {
        close(fd);
        return ncclSystemError;
    }
    close(fd);
    return ncclSuccess;
}

ncclResult_t comm_init_rank(ncclComm_t *out, int n_ranks, ncclUniqueId id, int rank)
{
    void *memory = MAP_FAILED;
    int fd;

    if (n_ranks < 1 || n_ranks > RANKS_MAX || rank < 0 || rank >= n_ranks)
        return ncclInvalidUsage;
    fd = shm_open(id.internal, O_RDWR, 0);
    if (fd >= 0) {
        memory = mmap(nullptr, sizeof(meeting), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
    }
    if (memory == MAP_FAILED)
        return ncclSystemError;
    *out = new ncclComm{static_cast<meeting *>(memory), rank, n_ranks, 0};
    if ((*out)->shared->joined.fetch_or(1u << rank) & (1u << rank))
        cudasim::fail("ncclCommInitRank: there is a rank %d already", rank);
    meet(*out, "ncclCommInitRank");
    if (rank == 0)
        shm_unlink(id.internal);
    return ncclSuccess;
}

ncclResult_t comm_destroy(ncclComm_t ranks)
{
    munmap(ranks->shared, sizeof(meeting));
    delete ranks;
    return ncclSuccess;
}

ncclResult_t all_reduce(const void *from, void *to, size_t count, ncclDataType_t type,
                        ncclRedOp_t op, ncclComm_t ranks, cudaStream_t stream)
{
    cudasim::call c("ncclAllReduce");

    c.refuse_in_capture();
    if (from != to || type != ncclFloat32 || op != ncclSum)
        cudasim::fail("ncclAllReduce of something that the double does not know");
    if (!cudasim::memory_contains(to, count * sizeof(float)))
        cudasim::fail("ncclAllReduce of %zu numbers that are not in one allocation", count);
    if (cudasim::stream_push(stream, "ncclAllReduce", sum,
                             new request{ranks, static_cast<float *>(to), count},
                             cudasim::destroy_as<request>) != cudaSuccess)
        return ncclUnhandledCudaError;
    return ncclSuccess;
}

} // namespace

extern "C" int nccl_load(const struct nccl_functions **out, struct error *)
{
    static const struct nccl_functions functions = {get_unique_id, comm_init_rank, comm_destroy,
                                                    all_reduce, error_string};

    *out = &functions;
    return 0;
}
