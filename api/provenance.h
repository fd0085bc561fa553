/* What a PNG says of how it was drawn: the text "softdiff:params" (api/response.h).
 *
 * Thread: any.
 */
#ifndef API_PROVENANCE_H
#define API_PROVENANCE_H

#include "api/limits.h"

#include <stddef.h>
#include <stdint.h>

struct problem;

struct provenance {
    char model[LIMITS_NAME_BYTES + 1];
    char checkpoint[LIMITS_NAME_BYTES + 1]; /* first digits of its SHA-256 */
    char sampler[LIMITS_NAME_BYTES + 1];
    char determinism[LIMITS_NAME_BYTES + 1]; /* "": it does not say */
    int nfe;
    int nfe_done; /* less than nfe where it was ended before its time */
    uint64_t seed;
    uint64_t seed_b;
    int mix;      /* millionths of seed_b; 0: of one seed */
    int label;    /* 0: none */
    int guidance; /* thousandths; 0: none */
};

/* Reads it from a whole file. 0, or -EINVAL with a 422: no PNG, no such text, or one that is not as
 * ours are. */
int provenance_read(const uint8_t *png, size_t size, struct provenance *out,
                    struct problem *problem);

#endif
