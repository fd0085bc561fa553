/* A client's socket: the deadline it is under, and the watch for its end.
 *
 * libmicrohttpd takes a suspended connection out of its epoll set, so that nobody would notice its
 * end; it does not notice an end that comes together with the last bytes; and its own timeout is one
 * of inactivity, which a drip of bytes resets. Both are ours here.
 *
 * The struct is open to the two that share it, the listener and the exchanges.
 *
 * Thread: loop.
 */
#ifndef SERVER_CONNECTION_H
#define SERVER_CONNECTION_H

#include <stdbool.h>
#include <uv.h>

struct client;

struct connection {
    int socket;              /* borrowed */
    struct client *client;   /* of the listener: whose it is */
    struct connection *next; /* of the listener: a list */

    /* Of connection.c. */
    uv_timer_t deadline;
    uv_poll_t watch; /* stopped at the client's end, which comes once */
    int handles;     /* of the two above, not yet closed */
    bool ended;      /* the library is about to read what came with the end: it is woken once
                                for both, and again by us should it have stopped before the end */
    void (*gone)(void *arg); /* NULL: the library reads, and is told of the end */
    void *gone_arg;
};

/* NULL: out of memory, or a descriptor that cannot be watched. */
struct connection *connection_create(uv_loop_t *loop, int socket, struct client *client);

/* To be called before the socket is closed: a poll handle must not outlive its descriptor. The
 * memory goes once the loop has run the close callbacks. NULL is fine. */
void connection_close(struct connection *c);

/* Shuts the socket down ms from now, unless another deadline is set before; replaces the last. */
void connection_set_deadline(struct connection *c, int ms);
void connection_clear_deadline(struct connection *c);

/* For a connection that the library does not read: calls gone(arg) once, later, when the client closes
 * its sending side or the whole connection or has done so. */
void connection_watch(struct connection *c, void (*gone)(void *arg), void *arg);
void connection_unwatch(struct connection *c);

#endif
