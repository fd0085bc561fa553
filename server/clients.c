#include "server/clients.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 1024 };

struct client {
    struct client *next; /* in its bucket */
    uint64_t address;    /* of one family; the other's has other bits, or is as good as the same */
    int n_connections;
};

struct clients {
    struct client *buckets[BUCKETS];
};

struct clients *clients_create(void)
{
    return calloc(1, sizeof(struct clients));
}

void clients_destroy(struct clients *c)
{
    free(c);
}

static uint64_t key_of(const struct sockaddr *address)
{
    struct sockaddr_in6 v6;
    struct sockaddr_in v4;
    uint64_t key = 0;

    if (address->sa_family == AF_INET) {
        memcpy(&v4, address, sizeof(v4));
        return v4.sin_addr.s_addr;
    }
    if (address->sa_family == AF_INET6) {
        memcpy(&v6, address, sizeof(v6));
        memcpy(&key, &v6.sin6_addr, sizeof(key));
    }
    return key;
}

static struct client **bucket_of(struct clients *c, uint64_t key)
{
    return &c->buckets[(key * UINT64_C(0x9e3779b97f4a7c15)) >> 54];
}

int clients_enter(struct clients *c, const struct sockaddr *address, int max, struct client **out)
{
    uint64_t key = key_of(address);
    struct client **bucket = bucket_of(c, key);
    struct client *client = *bucket;

    while (client && client->address != key)
        client = client->next;
    if (client && max > 0 && client->n_connections >= max)
        return -EBUSY;
    if (!client) {
        client = calloc(1, sizeof(*client));
        if (!client)
            return -ENOMEM;
        client->address = key;
        client->next = *bucket;
        *bucket = client;
    }
    client->n_connections++;
    *out = client;
    return 0;
}

void clients_leave(struct clients *c, struct client *client)
{
    struct client **link = bucket_of(c, client->address);

    if (--client->n_connections > 0)
        return;
    while (*link != client)
        link = &(*link)->next;
    *link = client->next;
    free(client);
}
