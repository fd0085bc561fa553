/* A picture to be restored, as it comes: the body of POST /v1/restorations, JSON with files in base64 or a
 * form with files.
 *
 *     image        a PNG or JPEG; base64 may begin as a data URL does
 *     mask         likewise
 *     degradation  "blur", "noise" or "mask"; not checked here
 *     std          > 0; absent: to be estimated
 *     strength, consistency  [0, 1]; absent: to be chosen
 *
 * and the fields of REQUEST_RESTORATION (api/request.h), which are passed on as they are.
 * Thread: any (made for the pool: bodies are large).
 */
#ifndef API_UPLOAD_H
#define API_UPLOAD_H

#include "api/limits.h"

#include <stddef.h>
#include <stdint.h>

struct json_t;
struct problem;

struct upload_file {
    uint8_t *bytes; /* owned; NULL: it is absent */
    size_t size;
};

struct upload {
    struct upload_file image, mask;
    char degradation[LIMITS_NAME_BYTES + 1]; /* empty: absent */
    double std, strength, consistency;       /* negative: absent */
    struct json_t *others;                   /* an object; owned */
};

/* content_type: the header, NULL: none. 0, or -EINVAL with the problem filled in: 400, 415, 422 or 503;
 * with a 422 others may be there, so that more can be said. To be ended with upload_fini() in any
 * case. */
int upload_read(const char *content_type, const char *body, size_t size, struct upload *out,
                struct problem *problem);
void upload_fini(struct upload *u);

/* SHA-256 in hexadecimal: of a file, and of all that is asked for, however it is written. 0 or -ENOMEM. */
enum { UPLOAD_DIGEST_BYTES = 65 };
int upload_digest_all(const struct upload *u, char out[UPLOAD_DIGEST_BYTES]);
void upload_digest(const struct upload_file *file, char out[UPLOAD_DIGEST_BYTES]);

#endif
