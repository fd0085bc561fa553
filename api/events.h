/* Events of a drawing as text/event-stream (server/events.h tells which there are).
 *
 * Source: WHATWG HTML, "Server-sent events". The id of an event is its step.
 *
 * Texts are malloc'ed, NULL without memory. Thread: any.
 */
#ifndef API_EVENTS_H
#define API_EVENTS_H

#include <stdint.h>

struct error;
struct problem;
struct samples_response;

/* The step that a client knows of, by the id of the last event that it had (the header Last-Event-ID, or NULL).
 * -1: none, as where the id is none of ours. */
int events_resume(const char *last_event_id);

/* json: one line. step < 0: it has no id, and clients keep that of the one before. */
char *events_of_text(const char *event, int step, const char *json);

char *events_of_acceptance(const struct samples_response *r);

/* place: 1 the next to begin. */
char *events_of_place(int place);

/* eta_ms < 0: not known. */
char *events_of_progress(int step, int steps, double eta_ms);

/* Appends the preview of image i to *text, which may be NULL; it is left as it is without memory.
 * step: its id. x, predicted: [side_px, side_px, channels] */
void events_add_preview(const struct samples_response *r, int i, int step, int nfe_done,
                        const uint8_t *x, const uint8_t *predicted, char **text);

/* The last event of a success: the answer as JSON. 0, -EINVAL or -ENOMEM. */
int events_of_images(const struct samples_response *r, char **out, struct error *err);

/* And of a failure. */
char *events_of_problem(const struct problem *problem, const char *request_id);

#endif
