/* POST /v1/samples: from the body to the answer.
 *
 *     received -> admitted -> waiting -> computed -> encoding -> answered
 *
 * Once admitted (admission.h) a request ends in one of: the images, an error of the device (500),
 * the deadline (504), the client gone, the daemon's end (503). Whichever comes first, its lanes are
 * free within one tick.
 *
 * Thread: loop.
 */
#ifndef SERVER_SAMPLES_H
#define SERVER_SAMPLES_H

#include <uv.h>

struct admission;
struct engine_thread;
struct error;
struct exchange;
struct json_t;
struct samples;

/* All arguments are borrowed. 0 or -ENOMEM. */
int samples_create(uv_loop_t *loop, struct admission *admission, struct engine_thread *engine,
                   struct samples **out, struct error *err);

/* No request may be in progress. NULL is fine. */
void samples_destroy(struct samples *s);

/* Refuses by the head alone what cannot become a sample: 415, 406. */
void samples_begin(struct samples *s, struct exchange *x);

/* Serves a request; only while the engine is ready. */
void samples_handle(struct samples *s, struct exchange *x);

/* Takes back the jobs that the engine has done. */
void samples_collect(struct samples *s);

/* Answers all requests that wait with 503 and frees their lanes. */
void samples_cancel_all(struct samples *s);

int samples_in_progress(const struct samples *s); /* requests, their jobs and encodings included */

/* New array of the requests in progress, for the view of the queue; NULL without memory. */
struct json_t *samples_to_json(const struct samples *s);

#endif
