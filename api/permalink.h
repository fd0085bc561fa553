/* Permalinks: an image as an address, and its entity tag.
 *
 *     /v1/models/faces/samples/7.png
 *     /v1/models/faces@3f2a9c0d17be/samples/7.png?sampler=sde-2m&nfe=20&determinism=0123456789abcdef
 *
 * The second is pinned: it names all that its bytes depend on, so that they may be kept for ever. Of two
 * seeds, mixed, "&seed_b=9&mix=0.3" names the second and how much there is of it; "&label=3&guidance=2.5" a
 * label, and how far towards it where that is not 1. The
 * digits behind @ are the first 12 or more of the checkpoint's SHA-256; determinism is the
 * determinism id. The tag is a hash of all that the PNG depends on: it is known before anything is
 * computed.
 *
 * Thread: any.
 */
#ifndef API_PERMALINK_H
#define API_PERMALINK_H

#include "api/limits.h"

#include <stddef.h>
#include <stdint.h>

struct samples_response;

enum {
    PERMALINK_DIGEST_MIN = 12, /* digits of a checkpoint's digest in an address */
    PERMALINK_DIGEST_BYTES = 65,
    PERMALINK_BYTES = 352, /* of an address that permalink_write() makes */
    PERMALINK_KEY_BYTES = 16,
    PERMALINK_ETAG_BYTES = 2 * PERMALINK_KEY_BYTES + 3,
};

struct permalink {
    char model[LIMITS_NAME_BYTES + 1];
    char checkpoint[PERMALINK_DIGEST_BYTES]; /* its first digits, lower case; "": not named */
    uint64_t seed;
};

/* The path of an address, escaped as clients like. 0, or -EINVAL: it is none. */
int permalink_parse(const char *path, struct permalink *out);

/* "faces" or "faces@3f2a9c0d17be": a model as addresses and requests name it. 0 or -EINVAL. */
int permalink_parse_model(const char *text, struct permalink *out);

/* The pinned address of image i. */
void permalink_write(const struct samples_response *r, int i, char out[PERMALINK_BYTES]);

/* What names the bytes of image i's PNG, and the same as an entity tag with its quotes. */
void permalink_key(const struct samples_response *r, int i, uint8_t key[PERMALINK_KEY_BYTES]);
/* What names the bytes of the whole answer as JSON (api/response.h). */
void permalink_answer_key(const struct samples_response *r, uint8_t key[PERMALINK_KEY_BYTES]);
void permalink_etag(const uint8_t key[PERMALINK_KEY_BYTES], char out[PERMALINK_ETAG_BYTES]);

/* Whether an If-None-Match holds for the tag, by the weak comparison (RFC 9110, section 13.1.2).
 * header NULL: it does not. */
int permalink_matches(const char *header, const char *etag);

#endif
