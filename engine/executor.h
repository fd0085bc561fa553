/* An executor runs a plan on its device, again and again, and owns the memory that this takes:
 *
 *   inbox    the plan's inputs, filled in place by the caller: two of them take turns, so that the
 *            next can be filled while a run computes
 *   outbox   the plan's outputs
 *   arenas   temporary values
 *
 * State belongs to a struct state, which several executors may share; weights to a struct parameters.
 * Running allocates nothing. Each device has its own kind: engine/host/ for those that are this
 * processor.
 *
 * Thread: one at a time, and the executors of a device run one after the other: from start to wait
 * nothing else that computes is asked of it.
 */
#ifndef ENGINE_EXECUTOR_H
#define ENGINE_EXECUTOR_H

#include "engine/device.h"

struct communicator;
struct executor;
struct plan;
struct state;
struct trace;

/* An output to be brought back: of images [first, first + n). */
struct fetch {
    int value, first, n;
};

enum { FETCH_ALL = -1 }; /* in the place of a number of them: every output of every image */

struct executor_ops {
    /* state: NULL where the plan has none. 0, -ENOMEM, -EIO. */
    int (*create)(const struct plan *plan, struct state *state, struct executor **out,
                  struct error *err);
    void (*destroy)(struct executor *e);
    /* A place in the inbox that is to be filled, or in the other one. */
    void *(*row)(struct executor *e, size_t offset, bool other);
    const void *(*result)(struct executor *e, size_t offset);
    int (*start)(struct executor *e, int n, int n_fetches, const struct fetch *fetches,
                 struct error *err);
    int (*wait)(struct executor *e, struct error *err);
    int (*profile)(struct executor *e, double *seconds, struct error *err);
    int (*reduce)(struct executor *e, int value, struct communicator *c, struct error *err);
    int (*trace)(struct executor *e, struct trace *trace, struct error *err);
    size_t (*memory_bytes)(const struct executor *e);
};

/* What all executors have; each kind embeds it first. */
struct executor {
    const struct executor_ops *ops;
    const struct plan *plan; /* borrowed */
    struct state *state;     /* borrowed; NULL: none */
    bool running;            /* between start and wait */
};

/* plan and state are borrowed and must outlive the executor. The state must have the plan's values
 * (state_declare()). 0, -EINVAL (a value of the state is missing), -ENOMEM, -EIO. */
int executor_create(const struct plan *plan, struct state *state, struct executor **out,
                    struct error *err);
void executor_destroy(struct executor *e); /* waits for a run in progress */

/* Image i of an input in the inbox that the next executor_start() takes: float32, or uint32 for keys
 * and slots (16 bits where an input is of the type that the plan computes in, and that has 16); image 0 of an
 * unbatched one. Every row of a run must be filled anew before it starts. */
void *executor_row(struct executor *e, int value, int i);

/* Bytes of a row: of one image, or of the whole where it is unbatched. */
size_t executor_row_size(const struct executor *e, int value);

/* Runs images [0, n) and returns, maybe before they are done. Of the outputs, fetches say what will
 * be read. 0, -EINVAL (n is not within 0 .. batch_max), -ECANCELED (device_stop_by()), -EIO. */
int executor_start(struct executor *e, int n, int n_fetches, const struct fetch *fetches,
                   struct error *err);
/* Waits until the run is done; without one there is nothing to wait for. 0, -ECANCELED or -EIO. */
int executor_wait(struct executor *e, struct error *err);

/* Image i of a fetched output, as it lies there (float32, bfloat16, float16, uint8); image 0 of a sum. Until
 * the next executor_start(). */
const void *executor_result(struct executor *e, int value, int i);

/* For callers with time: copies images [first, first + n) of an input into both inboxes, from
 * float32, or uint32 for keys and slots; they stay there. Not during a run. 0 or -EINVAL. */
int executor_write(struct executor *e, int value, int first, int n, const void *src,
                   struct error *err);
/* executor_start() with all outputs, and executor_wait(). */
int executor_run(struct executor *e, int n, struct error *err);
/* Images [first, first + n) of an output as float32, after executor_run(). 0 or -EINVAL. */
int executor_read(struct executor *e, int value, int first, int n, float *dst, struct error *err);

/* Sums an unbatched state of the plan over all ranks, where it lies. Not during a run. 0 or -EIO. */
int executor_reduce(struct executor *e, int value, struct communicator *c, struct error *err);

/* Runs the largest cut once on the rows of the inbox that is to be filled, state included, step by step
 * and with nothing beside, and takes the time of each, in seconds. Not during a run. 0 or -EIO. */
int executor_profile(struct executor *e, double *seconds, struct error *err);

/* From the next run on, adds what is run when to a trace: tracks of the device's, and spans named for
 * the operations. NULL: nothing any more. The trace is borrowed, and must outlive the executor or be
 * taken away. Executors of one device that share a trace share tracks, and run one after the other.
 * 0 or -ENOMEM. */
int executor_trace(struct executor *e, struct trace *trace, struct error *err);

size_t executor_memory_bytes(const struct executor *e); /* inboxes, outbox and arenas */
size_t executor_row_bytes(const struct executor *e);    /* of an inbox, per image */

#endif
