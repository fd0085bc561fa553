/* GET and HEAD /v1/models/{model}/samples/{seed}.png: an image by its address (api/permalink.h).
 *
 * The entity tag is known before anything is computed: a client that has the image gets 304, and HEAD
 * computes nothing. Images come from the cache where it has them, and requests that want the same one
 * at the same time wait for one drawing, which is cancelled when the last of them has gone.
 *
 * Thread: loop.
 */
#ifndef SERVER_PERMALINKS_H
#define SERVER_PERMALINKS_H

#include <stdint.h>

struct daemon;
struct error;
struct exchange;
struct permalinks;

struct permalinks_stats {
    uint64_t hits, misses, merged; /* GET: from the cache, drawn, waited for another's drawing */
};

/* d: borrowed, for its drawings, cache and engine, once they are there. 0 or -ENOMEM. */
int permalinks_create(struct daemon *d, struct permalinks **out, struct error *err);
void permalinks_destroy(struct permalinks *p); /* no drawing may be in progress; NULL is fine */

void permalinks_handle(struct daemon *d, struct exchange *x);

void permalinks_stats(const struct permalinks *p, struct permalinks_stats *out);

#endif
