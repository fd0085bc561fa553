/* Bytes that several hold: an answer on its way to several clients, and in the cache meanwhile.
 *
 * Thread: made anywhere, counted on the loop.
 */
#ifndef SERVER_SHARED_BYTES_H
#define SERVER_SHARED_BYTES_H

#include <stddef.h>
#include <stdint.h>

struct shared_bytes {
    int n_holders;
    size_t size;
    uint8_t *data; /* owned */
};

/* Takes data, malloc'ed; the caller is the first holder. NULL without memory: data is then freed. */
struct shared_bytes *shared_bytes_create(uint8_t *data, size_t size);

struct shared_bytes *shared_bytes_hold(struct shared_bytes *b); /* returns b */
void shared_bytes_release(void *b);                             /* NULL is fine */

#endif
