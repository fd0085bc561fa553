/* How many requests were answered, by route, method and status, and how long they took, by route: for
 * the metrics.
 *
 * Thread: loop.
 */
#ifndef SERVER_REQUEST_COUNTS_H
#define SERVER_REQUEST_COUNTS_H

#include "server/histogram.h"

#include <stdint.h>

/* More than there are of routes, methods and statuses that go together, and of routes. */
enum { REQUEST_COUNTS_MAX = 512, REQUEST_ROUTES_MAX = 64 };

struct request_count {
    const char *route; /* static */
    char method[16];
    int status;
    uint64_t n;
};

struct request_durations {
    const char *route; /* static */
    struct histogram seconds;
};

/* All zero: nothing was counted. */
struct request_counts {
    int n; /* rows in use */
    struct request_count rows[REQUEST_COUNTS_MAX];
    int n_routes;
    struct request_durations routes[REQUEST_ROUTES_MAX];
};

/* Counts one; what finds no room in a table is left out. route and method are of ours: what clients
 * invent would fill the table. */
void request_counts_add(struct request_counts *c, const char *route, const char *method, int status,
                        double seconds);

#endif
