#include "api/pictures/png_text.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* What is left of the data of a chunk. */
struct rest {
    const uint8_t *at;
    size_t n;
};

/* A string that ends with NUL, which is passed over; NULL: it does not end. */
static const char *take_string(struct rest *r)
{
    const uint8_t *start = r->at, *end = memchr(r->at, 0, r->n);

    if (!end)
        return NULL;
    r->n -= (size_t)(end - start) + 1;
    r->at = end + 1;
    return (const char *)start;
}

/* -1: there is none. */
static int take_byte(struct rest *r)
{
    if (r->n == 0)
        return -1;
    r->n--;
    return *r->at++;
}

static int copy(const struct rest *r, char *out, size_t max, size_t *n)
{
    if (r->n > max)
        return -EINVAL;
    memcpy(out, r->at, r->n);
    *n = r->n;
    return 0;
}

static int unpack(const struct rest *r, char *out, size_t max, size_t *n)
{
    z_stream z = {.next_in = (Bytef *)r->at,
                  .avail_in = (uInt)r->n,
                  .next_out = (Bytef *)out,
                  .avail_out = (uInt)max};
    int rc = inflateInit(&z);

    if (rc == Z_OK) {
        rc = inflate(&z, Z_FINISH);
        inflateEnd(&z);
    }
    *n = z.total_out;
    return rc == Z_STREAM_END ? 0 : rc == Z_MEM_ERROR ? -ENOMEM : -EINVAL;
}

int png_text_read(const char *name, const uint8_t *data, size_t size, const char *key, size_t max,
                  char **text, size_t *n)
{
    bool international = strcmp(name, "iTXt") == 0, packed = true;
    struct rest r = {data, size};
    const char *own = take_string(&r);
    char *out;
    int rc;

    if ((!international && strcmp(name, "zTXt") != 0) || !own || strcmp(own, key) != 0)
        return -ENOENT;
    if (international)
        packed = take_byte(&r) == 1;
    if (take_byte(&r) != 0) /* the only method there is */
        return -EINVAL;
    for (int i = 0; international && i < 2; i++) /* the language, and the key in it */
        if (!take_string(&r))
            return -EINVAL;
    out = malloc(max);
    if (!out)
        return -ENOMEM;
    rc = packed ? unpack(&r, out, max, n) : copy(&r, out, max, n);
    if (rc < 0)
        free(out);
    else
        *text = out;
    return rc;
}
