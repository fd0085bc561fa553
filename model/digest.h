/* SHA-256: names a checkpoint by its bytes and tells whether a file is as it was written.
 * Thread: one at a time per object.
 */
#ifndef MODEL_DIGEST_H
#define MODEL_DIGEST_H

#include <stddef.h>

enum { DIGEST_TEXT = 65 }; /* 64 hex digits and a NUL */

struct digest; /* a sum that is not finished */

/* NULL without memory. */
struct digest *digest_begin(void);
void digest_add(struct digest *d, const void *bytes, size_t size);
/* Frees d; NULL gives an empty text. */
void digest_end(struct digest *d, char out[DIGEST_TEXT]);

/* Of these bytes alone. */
void digest_of(const void *bytes, size_t size, char out[DIGEST_TEXT]);

#endif
