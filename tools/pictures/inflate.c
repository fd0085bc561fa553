#include "tools/pictures/inflate.h"
#include "engine/base/error.h"

#include <zlib.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

/* What zlib is told of the form: no header, gzip's. */
enum { RAW = -15, GZIP = 15 + 16 };

int inflate_stored(const uint8_t *bytes, size_t n, uint32_t crc, struct error *err)
{
    return crc32_z(crc32_z(0, NULL, 0), bytes, n) == crc
               ? 0
               : error_set(err, -EINVAL, "it is damaged: its CRC-32 is not what the archive says");
}

int inflate_member(const uint8_t *bytes, size_t n, uint32_t crc, uint8_t *out, size_t size,
                   struct error *err)
{
    z_stream z = {.next_in = (Bytef *)bytes, .next_out = out};
    int rc;

    if (n > UINT_MAX || size > UINT_MAX)
        return error_set(err, -EINVAL, "it has more than 4 GiB");
    z.avail_in = (uInt)n;
    z.avail_out = (uInt)size;
    if (inflateInit2(&z, RAW) != Z_OK)
        return error_set(err, -ENOMEM, "out of memory to inflate");
    rc = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    if (rc != Z_STREAM_END || z.avail_out > 0)
        return error_set(err, -EINVAL, "it is damaged: it cannot be inflated to what it was");
    return inflate_stored(out, size, crc, err);
}

size_t inflate_head(const uint8_t *bytes, size_t n, uint8_t *out, size_t room)
{
    z_stream z = {.next_in = (Bytef *)bytes, .avail_in = (uInt)n, .next_out = out};

    z.avail_out = (uInt)room;
    if (inflateInit2(&z, RAW) != Z_OK)
        return 0;
    (void)inflate(&z, Z_SYNC_FLUSH); /* what there is, is enough */
    inflateEnd(&z);
    return room - z.avail_out;
}

/* More room for what is inflated, up to size_max. */
static int grow(uint8_t **out, size_t *room, size_t size_max, struct error *err)
{
    size_t more = *room ? *room > size_max / 2 ? size_max : 2 * *room : 1 << 20;
    uint8_t *larger;

    if (*room == size_max)
        return error_set(err, -EFBIG, "it has more than %zu bytes", size_max);
    larger = realloc(*out, more < size_max ? more : size_max);
    if (!larger)
        return error_set(err, -ENOMEM, "out of memory to inflate");
    *out = larger;
    *room = more < size_max ? more : size_max;
    return 0;
}

int inflate_gzip(const uint8_t *bytes, size_t n, size_t size_max, uint8_t **out, size_t *size,
                 struct error *err)
{
    z_stream z = {.next_in = (Bytef *)bytes};
    uint8_t *made = NULL;
    size_t room = 0, used = 0;
    int status = Z_OK, rc = 0;

    if (n > UINT_MAX || size_max > UINT_MAX)
        return error_set(err, -EFBIG, "it has more than 4 GiB");
    z.avail_in = (uInt)n;
    if (inflateInit2(&z, GZIP) != Z_OK)
        return error_set(err, -ENOMEM, "out of memory to inflate");
    while (rc == 0 && status != Z_STREAM_END) {
        if (used == room)
            rc = grow(&made, &room, size_max, err);
        if (rc < 0)
            break;
        z.next_out = made + used;
        z.avail_out = (uInt)(room - used);
        status = inflate(&z, Z_NO_FLUSH);
        used = room - z.avail_out;
        if (status != Z_OK && status != Z_STREAM_END)
            rc = error_set(err, -EINVAL, "it is damaged: it cannot be inflated");
    }
    inflateEnd(&z);
    if (rc < 0) {
        free(made);
        return rc;
    }
    *out = made;
    *size = used;
    return 0;
}
