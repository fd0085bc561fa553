/* Bodies of multipart/form-data (RFC 7578), read where they lie: the fields of a form and its files.
 *
 * Strict: every part has a name, and a boundary ends every part. What is before the first boundary and
 * behind the last is passed over, as the standard has it. Thread: any.
 */
#ifndef API_MULTIPART_H
#define API_MULTIPART_H

#include <stddef.h>

enum { MULTIPART_BOUNDARY_MAX = 70, MULTIPART_NAME_BYTES = 72 };

struct multipart {
    const char *at, *end; /* what is not read yet */
    char boundary[MULTIPART_BOUNDARY_MAX + 5];
};

struct multipart_part {
    char name[MULTIPART_NAME_BYTES];
    const char *bytes; /* of the body */
    size_t size;
};

/* content_type: the header. 0, or -EINVAL: it is not multipart/form-data or has no good boundary. */
int multipart_begin(const char *content_type, const char *body, size_t size, struct multipart *out);

/* 1, 0 at the end, or -EINVAL: the body is not as it should be. */
int multipart_next(struct multipart *m, struct multipart_part *out);

#endif
