/* Where the loop and the engine's thread meet: jobs that were submitted, jobs that are done, changes of
 * the models, what the engine tells of itself, and the wish that it end. Jobs are linked, so that nothing
 * is allocated; how many there are is bounded by the loop's admission.
 *
 * Thread: any.
 */
#ifndef SERVER_MAILBOX_H
#define SERVER_MAILBOX_H

#include "server/engine_thread.h"

#include <pthread.h>
#include <stdbool.h>

struct engine_change;
struct job;

struct mailbox {
    pthread_mutex_t mutex;
    pthread_cond_t news; /* for the engine */
    bool stop;
    struct job *submitted, **submitted_end;
    struct job *done, **done_end;
    struct engine_change *wanted, *changed; /* one at a time; NULL: none */
    struct engine_stats stats;
};

void mailbox_init(struct mailbox *m);
void mailbox_fini(struct mailbox *m);

/* The loop's side. The next job that is done: NULL if there is none. */
void mailbox_submit(struct mailbox *m, struct job *job);
struct job *mailbox_take_done(struct mailbox *m);
void mailbox_stats(struct mailbox *m, struct engine_stats *out);
void mailbox_stop(struct mailbox *m);

/* None may be under way. False: the engine was told to end and may have; the change can be taken back at
 * once, with -ECANCELED where a copy was to be made. */
bool mailbox_want(struct mailbox *m, struct engine_change *change);
struct engine_change *mailbox_take_changed(struct mailbox *m); /* NULL: not yet */

/* The engine's side. Takes all that was submitted, in its order, linked through their next, and the
 * change that is wanted; waits for either where told to. False: the engine is to end. */
bool mailbox_take_submitted(struct mailbox *m, bool wait, struct job **out,
                            struct engine_change **change);
void mailbox_changed(struct mailbox *m, struct engine_change *change,
                     const struct engine_stats *stats);
/* Whoever takes the job also sees the statistics. */
void mailbox_finish(struct mailbox *m, struct job *job, const struct engine_stats *stats);
void mailbox_publish(struct mailbox *m, const struct engine_stats *stats);

#endif
