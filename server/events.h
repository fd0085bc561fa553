/* The answer as events while it is drawn: POST /v1/samples with Accept: text/event-stream, and in their
 * own dialect (api/image_events.h) POST /v1/images/generations with "stream": true.
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
#include <stdint.h>

struct daemon;
struct error;
struct exchange;
struct problem;
struct samples_request;
struct samples_response;
struct selection;

/* A dialect of events, whose texts are malloc'ed, NULL without memory. */
struct events_form {
    /* NULL: it is not told. Thread: loop. */
    char *(*accepted)(const struct samples_response *r);
    char *(*place)(int place);
    char *(*progress)(int step, int steps, double eta_ms);

    char *(*failed)(const struct problem *problem, const char *request_id);
    /* On the pool. number: how many previews of image i there were before. */
    void (*add_preview)(const struct samples_response *r, int i, int nfe_done, int number,
                        const uint8_t *x, const uint8_t *predicted, char **text);
    int (*completed)(const struct samples_response *r, char **out, struct error *err);
    /* How many previews of an image are due after so many of its nfe evaluations, if none was missed. */
    int (*n_previews)(const struct samples_request *wanted, int nfe, int done);
};

/* Whether the client wants events rather than anything else, by its Accept header or NULL. */
bool events_are_wanted(const char *accept);

/* form is static. 0: it answers; or -EINVAL with the problem filled in. */
int events_start(struct daemon *d, struct exchange *x, const struct selection *chosen,
                 const struct events_form *form, struct problem *problem);

#endif
