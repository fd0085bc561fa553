/* Drawing: the images of a request from admission to encoded bytes, whatever dialect asks for them.
 *
 *     admitted -> waiting -> computed -> encoding -> done
 *
 * Once admitted (admission.h) a drawing ends in one of: its images, an error of the device (500), the
 * deadline (504), drawing_cancel(), the daemon's end (503). Whichever comes first, its lanes are free
 * within one tick, unless another waits for the same: orders that mean the same are drawn once, and
 * whoever comes later joins. Its client is told once, and released when nobody uses it any more: the pool
 * may still encode what nobody waits for.
 *
 * Thread: loop, but for encode().
 */
#ifndef SERVER_DRAWING_H
#define SERVER_DRAWING_H

#include "model/digest.h"
#include "model/sampling.h"
#include "server/histogram.h"
#include "server/job.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct admission;
struct drawing;
struct drawings;
struct engines;
struct json_t;
struct key;
struct models;
struct problem;
struct response_restoration;
struct samples_response;

/* Whoever wants the images; owner is the argument of each. */
struct drawing_client {
    /* On the pool: makes what is sent, and keeps it. 0, or -errno, which is a 500. */
    int (*encode)(void *owner, const struct samples_response *images, struct error *err);
    /* Every now and then, as its place changes or evaluations are done; NULL: nobody looks. Both are what was
     * looked at, which the engine has left behind by now: who looks again would be told twice. */
    void (*progress)(void *owner, int evaluations, int place);
    /* At most once, and not after drawing_cancel(): encode() has succeeded, problem NULL; or why there
     * are no images. */
    void (*done)(void *owner, const struct problem *problem);
    /* Last, always: the owner may be freed. */
    void (*release)(void *owner);
};

struct drawing_order {
    const char *request_id; /* copied */
    /* Where it is sent again: orders of the same digest, images and priority have one drawing as long as it
     * is on its way, each with a deadline of its own; "": it has none with others. Nor has what a deadline
     * may end early, best_ms. */
    char same[DIGEST_TEXT];
    struct key *payer;          /* for whom the images count (server/keys.h); NULL: nobody */
    struct engine_model *model; /* held meanwhile */
    struct sampling_choice sampling;
    uint64_t seed; /* of the first image: drawing_order_seeds() ... */
    uint64_t seed_b;
    int mix;      /* ... says these, too */
    int label;    /* 0: none */
    int guidance; /* thousandths; 0: none */
    int n;
    enum priority priority;
    int timeout_ms;
    const char *timeout_name; /* of the field that says so; static, NULL: "timeout_ms" */
    int stop_after; /* evaluations after which its one image ends, as with best_ms; 0: it does not */
    struct restoration *restoration;             /* NULL: none; taken once it has begun */
    const struct response_restoration *restored; /* of it, copied */
    int best_ms; /* after which it ends with the best images so far; 0: it does not */
    const struct drawing_client *client; /* static */
    void *owner;
};

/* Between admission and answer, in ms. */
struct drawing_times {
    double queue, engine, encode;
};

/* Evaluations of one of its images: two for each of the sampler's where it is guided. */
int drawing_order_evaluations(const struct drawing_order *order);

/* Sets the seeds of an order: the first and, with so many millionths of it, a second one. Where there is
 * nothing of one of them, or they are the same, the order has a single seed, so that its image is that of
 * this seed also by name. */
void drawing_order_seeds(struct drawing_order *order, uint64_t seed, uint64_t seed_b, int mix);

/* All arguments are borrowed. 0 or -ENOMEM. */
int drawings_create(uv_loop_t *loop, struct admission *admission, struct engines *engines,
                    struct models *models, struct drawings **out, struct error *err);

/* Nothing may be in progress. NULL is fine. */
void drawings_destroy(struct drawings *all);

/* Begins; only while the engines are ready. The drawing is valid until done() or drawing_cancel(). 0, or
 * -EINVAL with the problem: 503, no room, no memory, or others are first and it would come too late (what it
 * cannot be in time for alone is 504), 429, the payer has drawn too much; the client is then not called. What
 * joins another needs none of that. */
int drawings_begin(struct drawings *all, const struct drawing_order *order, struct drawing **out,
                   struct problem *problem);

/* What the images of an order will be: all but their pixels, which are NULL. Strings are those of the
 * model. */
void drawings_describe(const struct drawings *all, const struct drawing_order *order,
                       struct samples_response *out);

/* Whether it was begun for others: it cost its payer nothing. */
bool drawing_is_joined(const struct drawing *d);

/* Its client waits no more. */
void drawing_cancel(struct drawing *d);

/* Of a drawing with a progress(), until it is done. */
struct progress *drawing_progress(const struct drawing *d);

/* The ms that the rest will take at the pace so far, from what progress() knows; -1: nothing is done yet. */
double drawing_left_ms(const struct drawing *d);

/* Which of those of its model it is that wait for their first lane, 1: the next; 0: it has begun. Those in
 * the background come behind all others. */
int drawing_place(const struct drawing *d);

/* Within done(). */
void drawing_times(const struct drawing *d, struct drawing_times *out);

/* Takes back the jobs that the engines have done. */
void drawings_collect(struct drawings *all);

/* Ends all with 503. */
void drawings_cancel_all(struct drawings *all);

/* Of all that came to an end since the start, in seconds: the wait for the first lane, from there to
 * the last image, from there to encoded bytes. */
struct drawings_stats {
    struct histogram queue, engine, encode;
    uint64_t joined; /* by others */
};

const struct drawings_stats *drawings_stats(const struct drawings *all);

int drawings_in_progress(const struct drawings *all); /* jobs and encodings included */

/* New array of what is in progress, for the view of the queue; NULL without memory. */
struct json_t *drawings_to_json(const struct drawings *all);

/* A seed for a request that names none: below 2^53, a number in every client's JSON. */
uint64_t drawing_random_seed(void);

#endif
