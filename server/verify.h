/* POST /v1/verify: whether a PNG is what its own text says, by drawing it again.
 *
 * Thread: loop.
 */
#ifndef SERVER_VERIFY_H
#define SERVER_VERIFY_H

struct daemon;
struct exchange;

/* Refuses by the head alone: 415, and 503 while too many files come in. */
void verify_begin(struct daemon *d, struct exchange *x);
void verify_handle(struct daemon *d, struct exchange *x);

#endif
