/* POST /v1/samples: the native dialect, JSON with PNGs, one bare PNG, or events (server/events.h).
 *
 * A client that goes cancels its drawing, unless it said on_disconnect: finish. Then, and where it named an
 * Idempotency-Key, its answer and its images go into the cache: the same request with the same key is
 * answered from there, and means the same images where it names no seed. What is not there any more is
 * drawn again, with the same bytes; what is still being drawn is waited for (server/drawing.h).
 *
 * Thread: loop.
 */
#ifndef SERVER_SAMPLES_H
#define SERVER_SAMPLES_H

#include "model/digest.h"
#include "server/drawing.h"

#include <stdbool.h>

struct daemon;
struct exchange;
struct problem;
struct samples_request;
struct selection;

/* Refuses by the head alone what cannot become a sample: 415, 406. */
void samples_begin(struct daemon *d, struct exchange *x);

/* Serves a request; only while the engine is ready. */
void samples_handle(struct daemon *d, struct exchange *x);

/* Whether the client accepts one of the types that there are. 0, or -EINVAL with a 406. */
int samples_check_accept(const struct exchange *x, struct problem *problem);

/* How long a client waits before it has a job instead of its images (Prefer). */
struct samples_patience {
    int wait_s;             /* 0: it has one at once; -1: it waits as long as it takes */
    char body[DIGEST_TEXT]; /* of the request, by which a job knows it again */
};

/* The wait_s of a request with these headers. What asks for more than jobs have waits as long as it takes: for
 * deadlines, previews, an answer other than JSON; what is drawn as a job already has that at once. */
int samples_find_patience(const struct daemon *d, const struct exchange *x,
                          const struct samples_request *wanted, const char *body);

/* Draws what was chosen, and answers as the client wants it by its Accept header; a restoration with patience has
 * its source. 0, or -EINVAL with the problem filled in; a restoration is taken with 0 only. */
int samples_answer(struct daemon *d, struct exchange *x, const struct selection *chosen,
                   const struct samples_patience *patience, struct problem *problem);

/* A webhook goes with what is, or may become, a job, and where it is allowed. 0, or -EINVAL with a 422. */
int samples_check_webhook(const struct daemon *d, const struct exchange *x,
                          const struct samples_request *wanted, bool is_job,
                          struct problem *problem);

/* What a request orders; client and owner are to be filled in. */
struct drawing_order samples_order(const struct selection *chosen, const struct exchange *x);

#endif
