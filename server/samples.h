/* POST /v1/samples: the native dialect, JSON with PNGs or one bare PNG.
 *
 * A client that goes cancels its drawing, unless it said on_disconnect: finish.
 *
 * Thread: loop.
 */
#ifndef SERVER_SAMPLES_H
#define SERVER_SAMPLES_H

struct daemon;
struct exchange;

/* Refuses by the head alone what cannot become a sample: 415, 406. */
void samples_begin(struct daemon *d, struct exchange *x);

/* Serves a request; only while the engine is ready. */
void samples_handle(struct daemon *d, struct exchange *x);

#endif
