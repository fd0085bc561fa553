/* A listening socket and the clients that it lets in, on libmicrohttpd driven by the libuv loop.
 *
 * Beyond its limits of connections a newcomer is answered at once and closed: 503 where the listener
 * is full, 429 where the client has its share. Without descriptors nobody is accepted for a moment.
 *
 * Thread: loop.
 */
#ifndef SERVER_LISTENER_H
#define SERVER_LISTENER_H

#include "server/exchange.h"
#include "server/listening.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct error;
struct listener;
struct request_counts;

struct listener_options {
    struct listening listening; /* taken, also on failure */
    struct tls *tls;            /* server/tls.h; NULL: none */
    bool waits;                 /* accepts nobody before listener_begin() */
    int connections_max;
    int connections_per_client_max; /* 0: no limit, as where clients have no address */
    struct exchange_options exchange;
};

struct listener_stats {
    int n_connections;                         /* open */
    uint64_t n_refused_full, n_refused_client; /* since the start */
    const struct request_counts *requests;     /* owned by the listener */
};

/* Starts to accept, unless it waits. Strings of options are borrowed. 0, -ENOMEM or -EIO. */
int listener_create(uv_loop_t *loop, const struct listener_options *options, struct listener **out,
                    struct error *err);

/* Of one that waits: accepts from now on. Not after listener_quiesce(). */
void listener_begin(struct listener *l);

/* Accepts nobody any more on a socket that was handed over: who comes waits for the next one. On others nothing
 * changes. */
void listener_leave(struct listener *l);

/* Accepts nobody any more, but on a socket of its own those who are waiting; open connections go on. */
void listener_quiesce(struct listener *l);

/* Requests whose head is there and which are not yet answered in full. */
int listener_exchanges(const struct listener *l);

void listener_stats(const struct listener *l, struct listener_stats *out);

/* Closes all connections. Every exchange must have been answered. NULL is fine. The memory goes
 * once the loop has run the close callbacks. */
void listener_destroy(struct listener *l);

const char *listener_library_version(void);

#endif
