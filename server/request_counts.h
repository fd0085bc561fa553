/* How many requests were answered, by route, method and status: for the metrics.
 *
 * Thread: loop.
 */
#ifndef SERVER_REQUEST_COUNTS_H
#define SERVER_REQUEST_COUNTS_H

#include <stdint.h>

/* More than there are of routes, methods and statuses that go together. */
enum { REQUEST_COUNTS_MAX = 256 };

struct request_count {
    const char *route; /* static */
    char method[16];
    int status;
    uint64_t n;
};

/* All zero: nothing was counted. */
struct request_counts {
    int n; /* rows in use */
    struct request_count rows[REQUEST_COUNTS_MAX];
};

/* Counts one; what finds no room in the table is left out. */
void request_counts_add(struct request_counts *c, const char *route, const char *method,
                        int status);

#endif
