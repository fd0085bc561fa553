/* How many connections each client has. A client is an IPv4 address, or the first half of an IPv6
 * address: whoever has one has the rest, too.
 *
 * Thread: loop.
 */
#ifndef SERVER_CLIENTS_H
#define SERVER_CLIENTS_H

#include <sys/socket.h>

struct client;
struct clients;

struct clients *clients_create(void);    /* NULL without memory */
void clients_destroy(struct clients *c); /* NULL is fine; all must have left */

/* Counts a connection of the address. max: of one client, 0: no limit. out: for clients_leave().
 * 0, -EBUSY (the client has as many) or -ENOMEM. */
int clients_enter(struct clients *c, const struct sockaddr *address, int max, struct client **out);
void clients_leave(struct clients *c, struct client *client);

#endif
