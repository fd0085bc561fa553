#include "api/pictures/png_note.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* A chunk: length, name, data, checksum. */
enum { SIGNATURE_BYTES = 8, HEAD_BYTES = 8, CHECKSUM_BYTES = 4 };

static uint32_t read_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool chunk_is(const uint8_t *chunk, const char *name)
{
    return memcmp(chunk + 4, name, 4) == 0;
}

int png_note_read(const uint8_t *bytes, size_t size, const char *key, char *out, size_t out_size)
{
    static const uint8_t signature[SIGNATURE_BYTES] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    size_t at = SIGNATURE_BYTES, n, key_size = strlen(key) + 1;
    const uint8_t *data;

    if (size < SIGNATURE_BYTES || memcmp(bytes, signature, SIGNATURE_BYTES) != 0)
        return -EINVAL;
    for (;; at += HEAD_BYTES + n + CHECKSUM_BYTES) {
        if (size - at < HEAD_BYTES + CHECKSUM_BYTES)
            return -EINVAL;
        n = read_u32(bytes + at);
        if (n > size - at - HEAD_BYTES - CHECKSUM_BYTES)
            return -EINVAL;
        if (chunk_is(bytes + at, "IEND"))
            return -ENOENT;
        data = bytes + at + HEAD_BYTES;
        if (!chunk_is(bytes + at, "tEXt") || n < key_size || memcmp(data, key, key_size) != 0)
            continue;
        n -= key_size;
        if (n >= out_size || memchr(data + key_size, '\0', n))
            return -ENOENT;
        memcpy(out, data + key_size, n);
        out[n] = '\0';
        return 0;
    }
}
