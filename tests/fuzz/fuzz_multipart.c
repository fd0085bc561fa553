/* Any bytes as an upload: a line that is its Content-Type, and the body behind it. Every part lies in the
 * body, behind the one before.
 */
#include "tests/fuzz/target.h"

#include "api/multipart.h"

#include <stdlib.h>
#include <string.h>

static void check_parts(struct multipart *m, const char *body, size_t size)
{
    const char *from = body, *end = body + size;
    struct multipart_part part;

    while (multipart_next(m, &part) > 0) {
        if (!memchr(part.name, '\0', sizeof(part.name)) || !*part.name || part.bytes < from ||
            part.bytes > end || part.size > (size_t)(end - part.bytes))
            abort();
        from = part.bytes + part.size;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, '\n', size);
    size_t line = end ? (size_t)(end - data) : 0, body_size = size - line - (end != NULL);
    char *type = strndup((const char *)data, line), *body = malloc(body_size + 1);
    struct multipart m;

    if (type && body) {
        memcpy(body, data + size - body_size, body_size);
        if (multipart_begin(type, body, body_size, &m) == 0)
            check_parts(&m, body, body_size);
    }
    free(type);
    free(body);
    return 0;
}
