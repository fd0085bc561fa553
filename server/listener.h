/* A listening socket and the clients that it lets in, on libmicrohttpd driven by the libuv loop.
 *
 * Thread: loop.
 */
#ifndef SERVER_LISTENER_H
#define SERVER_LISTENER_H

#include "config/address.h"
#include "server/exchange.h"

#include <uv.h>

struct error;
struct listener;

struct listener_options {
    int socket; /* from listener_bind(); taken, also on failure */
    int connections_max;
    int connections_per_ip_max; /* 0: no limit */
    struct exchange_options exchange;
};

/* Binds and listens. bound: the address, with the port chosen by the system where it was 0.
 * 0, -EINVAL or -errno. */
int listener_bind(const char *address, int *out, char bound[ADDRESS_TEXT_BYTES], struct error *err);

/* Starts to accept. Strings of options are borrowed. 0, -ENOMEM or -EIO. */
int listener_create(uv_loop_t *loop, const struct listener_options *options, struct listener **out,
                    struct error *err);

/* Accepts what is waiting and then no more; open connections go on. */
void listener_quiesce(struct listener *l);

int listener_exchanges(const struct listener *l); /* requests not yet answered in full */

/* Closes all connections. Every exchange must have been answered. NULL is fine. The memory goes
 * once the loop has run the close callbacks. */
void listener_destroy(struct listener *l);

const char *listener_library_version(void);

#endif
