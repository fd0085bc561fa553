/* POST /v1/restorations: pictures that are blurred, noisy or masked, restored by a model.
 *
 *     body -> pool: what is in it -> model -> pool: decoded, resized, looked at -> drawing
 *
 * What is left then is a selection with a restoration, which goes the way of POST /v1/samples, or with
 * Prefer: respond-async that of POST /v1/jobs.
 *
 * Thread: loop.
 */
#ifndef SERVER_RESTORATIONS_H
#define SERVER_RESTORATIONS_H

struct daemon;
struct exchange;

/* Refuses by the head alone: 415, 406, and 503 while too many files come in. */
void restorations_begin(struct daemon *d, struct exchange *x);
void restorations_handle(struct daemon *d, struct exchange *x);

#endif
