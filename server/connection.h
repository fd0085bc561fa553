/* A client's socket: the deadline it is under, and the watch for its end while nobody reads it.
 *
 * libmicrohttpd takes a suspended connection out of its epoll set, so that nobody would notice its
 * end, and its own timeout is one of inactivity, which a drip of bytes resets. Both are ours here.
 *
 * Thread: loop.
 */
#ifndef SERVER_CONNECTION_H
#define SERVER_CONNECTION_H

#include <uv.h>

struct connection;
struct exchange;

/* The socket is borrowed. NULL: out of memory, or a descriptor that cannot be watched. */
struct connection *connection_create(uv_loop_t *loop, int socket);

/* To be called before the socket is closed: a poll handle must not outlive its descriptor. The
 * memory goes once the loop has run the close callbacks. NULL is fine. */
void connection_close(struct connection *c);

/* Shuts the socket down ms from now, unless another deadline is set before; replaces the last. */
void connection_set_deadline(struct connection *c, int ms);
void connection_clear_deadline(struct connection *c);

/* Calls gone(arg) once when the client closes its sending side or the whole connection. */
void connection_watch(struct connection *c, void (*gone)(void *arg), void *arg);
void connection_unwatch(struct connection *c);

/* The request in progress; NULL: none. Kept for exchange.c. */
struct exchange *connection_exchange(const struct connection *c);
void connection_set_exchange(struct connection *c, struct exchange *x);

#endif
