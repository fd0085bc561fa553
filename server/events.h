/* POST /v1/samples with Accept: text/event-stream: the answer as events while it is drawn.
 *
 *     accepted   what will be drawn: {"model", .., "seed", "n", "steps"}
 *     queued     {"queue_position": 3}, where others of its model wait for their first lane before it;
 *                1: it is the next
 *     progress   {"step": 12, "steps": 80, "eta_ms": 340}; a step is an evaluation for one image
 *     preview    where "preview_every" is asked for: {"image": 0, "seed": 7, "nfe_done": 5,
 *                "png": the predicted clean image, "x": the image on its way}, both base64
 *     completed  the answer as JSON; or
 *     failed     a problem document
 *
 * The last of these ends the stream. Events that a slow client has not taken are not followed by more
 * of queued, progress and preview: what it gets next is the newest.
 *
 * Thread: loop.
 */
#ifndef SERVER_EVENTS_H
#define SERVER_EVENTS_H

#include <stdbool.h>

struct daemon;
struct exchange;
struct problem;
struct selection;

/* Whether the client wants events rather than anything else, by its Accept header or NULL. */
bool events_are_wanted(const char *accept);

/* 0: it answers; or -EINVAL with the problem filled in. */
int events_start(struct daemon *d, struct exchange *x, const struct selection *chosen,
                 struct problem *problem);

#endif
