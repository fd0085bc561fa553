/* What the engine's thread is made of: for engine_thread.c and engine_work.c alone.
 *
 * Thread: the engine's, but for what says otherwise.
 */
#ifndef SERVER_ENGINE_THREAD_PARTS_H
#define SERVER_ENGINE_THREAD_PARTS_H

#include "server/engine_shelf.h"
#include "server/engine_thread.h"
#include "server/mailbox.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct generator_image;
struct job;

/* Rounds that fail one after the other before the device is given up. */
enum { ENGINE_FAILURES_MAX = 3 };

struct engine_thread {
    const struct settings *settings;
    struct engine_device options;
    void (*wake)(void *arg);
    void *wake_arg;
    pthread_t thread;

    /* Of the engine's thread alone; the shelf is readable by all once ready. */
    struct engine_shelf shelf;
    struct generator_image *images; /* [slots] */
    struct job *active;             /* all jobs with images waiting or in lanes */
    int n_failures;

    atomic_uint_least64_t tick_started_ns; /* 0: no tick runs */
    atomic_bool hurried;                   /* by the loop: nothing is to be waited for */

    struct engine_stats stats; /* as they are published */
    struct mailbox mailbox;    /* where the threads meet */
};

/* engine_work.c */

/* Gives up what a job still has in lanes and in its queue. */
void engine_abandon_job(struct engine_thread *e, struct job *job, int status);

/* Hands back the jobs that nobody wants any more. */
void engine_drop_cancelled(struct engine_thread *e);

/* One tick of every model that has work; of those with work in the background alone only where nobody
 * waits for another. */
void engine_tick_models(struct engine_thread *e);

#endif
