/* A job: the images of one request, as an engine's thread sees them. It knows nothing of HTTP.
 *
 * The loop fills in the first part and hands the job over with engines_submit(); from then on it
 * belongs to the engines until engines_take_done() returns it. The only thing the loop may do
 * meanwhile is to cancel it. Where there are several devices the job may be drawn in parts, jobs of
 * their own with images of the whole, each by one engine's thread.
 */
#ifndef SERVER_JOB_H
#define SERVER_JOB_H

#include "engine/base/error.h"
#include "model/sampler.h"
#include "server/queue/queue.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct engine_model;
struct progress;
struct restoration;
struct shelf_model;

struct job {
    /* By the loop, before it is submitted. */
    struct engine_model *model;
    enum sampler sampler;
    int nfe;
    int evaluations; /* of one image */
    int label;       /* 0: none */
    int guidance;    /* thousandths; 0: none */
    uint64_t seed;   /* of the first image; image i has seed + i */
    uint64_t seed_b; /* a second one, also + i ... */
    int mix;         /* ... of which there are so many millionths; 0: none */
    int n;
    enum priority priority;
    uint8_t *pixels; /* [n, side, side, channels], written by the engine's thread; owned */
    int stop_after; /* evaluations after which its one image ends before its time; 0: it does not */
    struct restoration *restoration; /* NULL: none; owned */
    struct progress *progress;       /* told of every evaluation; NULL: nobody looks */
    struct job *parts; /* [engines] room for parts, or NULL: it is drawn by one engine; owned */
    void *owner;

    /* By server/engines.c, when it is submitted. */
    uint64_t id;            /* unique among all jobs of the daemon */
    struct job *whole;      /* whose part it is; itself where it is none */
    int first;              /* of its images among those of the whole */
    int engine;             /* that has it */
    struct shelf_model *on; /* its model there */
    int n_parts;            /* of a whole: that are not yet done */
    unsigned engines;       /* of a whole: bits of those that have or had it */
    int n_blamed;           /* times that a device failed while it drew this */

    /* Of the whole alone. By the loop, at any time. */
    atomic_bool cancelled;
    atomic_bool enough; /* it comes back with status 0 and what is done by then */
    /* By the engines' threads, at any time: its first image has got a lane. */
    atomic_bool begun;
    atomic_int n_evaluated; /* evaluations of all its images */

    /* By the engine's thread; readable by the loop once the job is done. */
    struct queue_job queued;          /* its place in the queue of its model */
    int n_finished;                   /* images */
    int n_evaluations;                /* that are done */
    uint64_t started_ns, finished_ns; /* uv_hrtime() at the first and after the last image */
    int status;                       /* 0, -ECANCELED or the device's error */
    struct error error;

    struct job *next; /* submitted, active or done */
};

#endif
