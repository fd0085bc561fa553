/* Ranks: processes that train one network together. What they add up is the same on all of them
 * afterwards, and is added in the order of the ranks.
 *
 * Thread: one at a time.
 */
#ifndef ENGINE_COMMUNICATOR_COMMUNICATOR_H
#define ENGINE_COMMUNICATOR_COMMUNICATOR_H

#include <stddef.h>

struct communicator;
struct error;

struct communicator_ops {
    const char *name;
    /* Sums n floats in host memory over all ranks, in place. 0 or -EIO. */
    int (*sum)(struct communicator *c, float *values, size_t n, struct error *err);
    void (*close)(struct communicator *c);
};

/* What all kinds have; each embeds it first. */
struct communicator {
    const struct communicator_ops *ops;
    int rank, n_ranks;
};

/* A rank alone. 0 or -ENOMEM. */
int communicator_open_single(struct communicator **out, struct error *err);
void communicator_close(struct communicator *c); /* NULL is fine */

int communicator_sum(struct communicator *c, float *values, size_t n, struct error *err);

#endif
