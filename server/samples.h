/* POST /v1/samples: the native dialect, JSON with PNGs, one bare PNG, or events (server/events.h).
 *
 * A client that goes cancels its drawing, unless it said on_disconnect: finish.
 *
 * Thread: loop.
 */
#ifndef SERVER_SAMPLES_H
#define SERVER_SAMPLES_H

#include "server/drawing.h"

struct daemon;
struct exchange;
struct selection;

/* Refuses by the head alone what cannot become a sample: 415, 406. */
void samples_begin(struct daemon *d, struct exchange *x);

/* Serves a request; only while the engine is ready. */
void samples_handle(struct daemon *d, struct exchange *x);

/* What a request orders; client and owner are to be filled in. */
struct drawing_order samples_order(const struct selection *chosen, const struct exchange *x);

#endif
