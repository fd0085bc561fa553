/* PNGs that were drawn, by what names their bytes (api/permalink.h): the one least recently asked for
 * goes where there is no room.
 *
 * Thread: loop.
 */
#ifndef SERVER_PICTURE_CACHE_H
#define SERVER_PICTURE_CACHE_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct picture_cache;
struct shared_bytes;

struct picture_cache_stats {
    size_t bytes, n_pictures; /* bytes: what they cost, not only what they hold */
    uint64_t evictions;
};

/* bytes_max 0: it keeps nothing. 0 or -ENOMEM. */
int picture_cache_create(size_t bytes_max, struct picture_cache **out, struct error *err);
void picture_cache_destroy(struct picture_cache *c); /* NULL is fine */

/* Borrowed until the next put; NULL: not there. */
struct shared_bytes *picture_cache_find(struct picture_cache *c, const uint8_t *key);

/* Holds the picture. What does not fit, alone or for lack of memory, is not kept. */
void picture_cache_put(struct picture_cache *c, const uint8_t *key, struct shared_bytes *picture);

void picture_cache_stats(const struct picture_cache *c, struct picture_cache_stats *out);

#endif
