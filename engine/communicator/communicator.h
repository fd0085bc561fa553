/* Ranks: processes that train one network together, one or several to a machine. Each calls the same
 * functions in the same order; what they exchange is the same on all of them afterwards. Sums are
 * taken in the order of the ranks, so that they have the same bytes whatever the network between
 * them does.
 *
 * A rank alone needs no library. Several are started by a launcher of MPI and meet in the module
 * softdiff-mpi.so (engine/module.h). Waiting for another rank takes next to no processor time.
 *
 * Thread: one, that which opened it.
 */
#ifndef ENGINE_COMMUNICATOR_COMMUNICATOR_H
#define ENGINE_COMMUNICATOR_COMMUNICATOR_H

#include <stdbool.h>
#include <stddef.h>

struct communicator;
struct error;

/* What a kind does; -EIO where a message could not be brought over, after which the others cannot be
 * reached any more. */
struct communicator_ops {
    const char *name;
    int (*sum)(struct communicator *c, float *values, size_t n, struct error *err);
    int (*gather)(struct communicator *c, void *parts, size_t bytes, struct error *err);
    int (*broadcast)(struct communicator *c, void *memory, size_t bytes, struct error *err);
    void (*close)(struct communicator *c);
};

/* What all kinds have; each embeds it first. */
struct communicator {
    const struct communicator_ops *ops;
    int rank, n_ranks;
    int place; /* among the ranks of this machine, from 0: the number of the GPU that is its own */
    bool broken; /* the others cannot be reached any more */
};

/* By what the launcher has put into the environment: with the ranks that it started, or alone. 0, -ENOTSUP
 * (ranks were started, but the module is missing or of another build), -ENOMEM or -EIO. */
int communicator_open(struct communicator **out, struct error *err);
/* A rank alone. 0 or -ENOMEM. */
int communicator_open_single(struct communicator **out, struct error *err);
/* Waits for the others to do the same; where they cannot be reached it ends all of them, and this process.
 * NULL is fine. */
void communicator_close(struct communicator *c);

/* Sums n floats in host memory over all ranks, in place. 0 or -EIO. */
int communicator_sum(struct communicator *c, float *values, size_t n, struct error *err);

/* parts: [n_ranks] of `bytes` each, of which this rank has filled its own; afterwards all are there.
 * 0 or -EIO. */
int communicator_gather(struct communicator *c, void *parts, size_t bytes, struct error *err);

/* What rank 0 has in memory the others have afterwards. 0 or -EIO. */
int communicator_broadcast(struct communicator *c, void *memory, size_t bytes, struct error *err);

/* Whether all ranks have come here well. rc: how this one did, with what went wrong in err. Returns 0 where all
 * have 0, else, on all of them, the code of the first that has not, with its text and its number, unless
 * all say the same, as after they have agreed once; or -EIO. */
int communicator_agree(struct communicator *c, int rc, struct error *err);

#endif
