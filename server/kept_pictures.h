/* Images on their way into the cache: PNGs that a client may ask for again, or for the first time, by
 * their address. Those that ended before their time, and restorations, have none.
 *
 * Thread: as each says.
 */
#ifndef SERVER_KEPT_PICTURES_H
#define SERVER_KEPT_PICTURES_H

struct kept_pictures;
struct picture_cache;
struct samples_response;

/* Encodes what has an address; NULL: nothing has, or there is no memory. Thread: any, for the pool. */
struct kept_pictures *kept_pictures_make(const struct samples_response *images);

/* Hands all over to the cache, and frees them; NULL is fine. Thread: loop. */
void kept_pictures_put(struct kept_pictures *k, struct picture_cache *cache);

void kept_pictures_destroy(struct kept_pictures *k); /* NULL is fine */

#endif
