/* The key that a client shows: `Authorization: Bearer KEY` (RFC 6750, section 2.1). Thread: any. */
#ifndef API_BEARER_H
#define API_BEARER_H

#include <stdint.h>

enum { BEARER_DIGEST_BYTES = 32 };

/* The SHA-256 of the key in a field's value, NULL: there is no field. 0, or -ENOENT where it is none. */
int bearer_digest(const char *authorization, uint8_t out[BEARER_DIGEST_BYTES]);

#endif
