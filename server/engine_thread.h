/* An engine's thread: owns a device and a generator for each model, and turns jobs into pixels.
 *
 * It opens the device while the loop already answers probes, then computes: every round takes in what
 * was submitted, drops what was cancelled, shares the lanes as each model's fair queue says, gives
 * every model with work one tick, but where somebody waits only those that draw for such, and hands
 * back jobs that are done. Jobs are linked, so that neither side allocates; how many there are is
 * bounded by the loop's admission. server/engines.h has one for each device.
 *
 * Thread: the functions below belong to the loop. wake() is called on the engine's thread.
 */
#ifndef SERVER_ENGINE_THREAD_H
#define SERVER_ENGINE_THREAD_H

#include "config/settings.h"
#include "engine/base/error.h"
#include "server/histogram.h"
#include "server/job.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine_model;
struct engine_thread;
struct shelf_model;

enum engine_state {
    ENGINE_LOADING,
    ENGINE_READY,  /* the device is open */
    ENGINE_FAILED, /* it could not be opened, or keeps failing: nothing comes any more */
};

struct engine_stats {
    enum engine_state state;
    struct error error; /* why it failed */
    bool stalled;       /* a tick takes longer than stall_timeout_ms */
    int slots, busy;    /* lanes of all models */
    size_t waiting;     /* images without a lane */
    /* Since the start: evaluations of the network, images that were done, and others that had numbers
     * that are not finite. */
    uint64_t evaluations, images, images_not_finite;
    uint64_t evaluations_open[PRIORITIES];     /* of those, of jobs that have not come back */
    double evaluations_per_s;                  /* while busy, smoothed; 0 until measured */
    struct histogram tick_seconds, batch_size; /* of ticks since the start; images in them */
};

struct engine_device {
    char name[SETTINGS_NAME_BYTES + 1];
    char label[SETTINGS_NAME_BYTES + 8]; /* what it is called among all that there are */
    int threads;                         /* 0: as many as this process may use */
    char trace[SETTINGS_PATH_BYTES + 8]; /* a file; "": none */
};

/* Starts the thread and returns at once. settings is borrowed, device copied. wake(arg) tells that the
 * state changed, jobs are done or their progress has changed; it must be callable from any thread. 0,
 * -ENOMEM or -EAGAIN. */
int engine_thread_start(const struct settings *settings, const struct engine_device *device,
                        void (*wake)(void *arg), void *arg, struct engine_thread **out,
                        struct error *err);

/* What it is told to do to its models ends as soon as it can, as failed; it may take long to. */
void engine_thread_hurry(struct engine_thread *e);

/* Ends after the tick in progress, joins and frees. All jobs must have been taken back. NULL is
 * fine. */
void engine_thread_stop(struct engine_thread *e);

void engine_thread_stats(struct engine_thread *e, struct engine_stats *out);

/* Once it is ready: a line about the device, and its determinism id (engine/identity.h). */
const char *engine_thread_device(const struct engine_thread *e);
const char *engine_thread_identity(const struct engine_thread *e);

/* Something for the engine to do to its models between two ticks. */
struct engine_change {
    struct engine_model *model; /* of which a copy is to be made; NULL: one is to be dropped */
    struct shelf_model *copy;   /* made, or to be dropped: no job may want it any more */
    int status;                 /* 0 or a negative errno code: no copy was made */
    struct error error;
};

/* One at a time; only while ready or failed. It belongs to the engine until it comes back: at once where it
 * was told to hurry; it then makes no copy, and what is to be dropped goes when it is stopped. */
void engine_thread_change(struct engine_thread *e, struct engine_change *change);
struct engine_change *engine_thread_take_changed(struct engine_thread *e); /* NULL: not yet */

/* Hands a job over. Only while ready or failed; in the latter case it comes back at once. */
void engine_thread_submit(struct engine_thread *e, struct job *job);

/* A whole job comes back within one tick, its lanes free; with status -ECANCELED unless it was
 * complete before. */
void engine_thread_cancel(struct job *job);

/* The same, with status 0 and n_finished less than n: what its images have become is in its
 * progress. */
void engine_thread_settle(struct job *job);

/* The next job that is done, NULL if there is none. */
struct job *engine_thread_take_done(struct engine_thread *e);

#endif
