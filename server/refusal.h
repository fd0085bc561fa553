/* Answers for connections that are not served: a newcomer learns at once that there is no room,
 * instead of waiting for some, and who sends an address for which libmicrohttpd has no memory, that it is too long.
 *
 * The answer is sent before the request is read to its end. What the client sends is then read and dropped for
 * a moment: closing a socket with unread bytes resets the connection, and the answer may be lost.
 *
 * Thread: loop.
 */
#ifndef SERVER_REFUSAL_H
#define SERVER_REFUSAL_H

#include <uv.h>

struct problem;
struct refusal;

/* At a time, each with a descriptor; those beyond are closed without waiting. */
enum { REFUSALS_MAX = 16 };

struct refusals {
    uv_loop_t *loop;
    struct refusal *first;
    int n;
};

void refusals_init(struct refusals *r, uv_loop_t *loop);
void refusals_fini(struct refusals *r); /* closes all; the memory goes with the close callbacks */

/* Sends the problem and closes the socket, which is taken. session: of TLS, NULL: none. */
void refusals_answer(struct refusals *r, int socket, void *session, const struct problem *problem);

/* The same for a client that begins with TLS, which has no words for it: an alert, internal_error. */
void refusals_end_tls(struct refusals *r, int socket);

#endif
