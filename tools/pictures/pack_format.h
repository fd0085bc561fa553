/* The numbers of a packed data set's form (pack.h), for those who write and read it. */
#ifndef TOOLS_PICTURES_PACK_FORMAT_H
#define TOOLS_PICTURES_PACK_FORMAT_H

#include "model/digest.h"

#include <stdint.h>

enum {
    PACK_HEAD_BYTES = 64,
    PACK_MAGIC_BYTES = 16,
    PACK_END_BYTES = 8 + 8 + 4 + 4 + (DIGEST_TEXT - 1) + PACK_MAGIC_BYTES,
    PACK_DIGEST_AT = 24, /* in the end */
    PACK_SIDE_MAX = 16384,
    PACK_DOCUMENT_MAX = 1 << 20,
};

#define PACK_HEAD_MAGIC "softdiff pixels\n"
#define PACK_END_MAGIC  "end of pixels.\n\n"

static inline uint64_t pack_take(const uint8_t *p, int n_bytes)
{
    uint64_t value = 0;

    for (int i = 0; i < n_bytes; i++)
        value |= (uint64_t)p[i] << 8 * i;
    return value;
}

static inline void pack_put(uint8_t *p, int n_bytes, uint64_t value)
{
    for (int i = 0; i < n_bytes; i++)
        p[i] = (uint8_t)(value >> 8 * i);
}

static inline void pack_put_head(uint8_t head[PACK_HEAD_BYTES], int side)
{
    for (int i = 0; i < PACK_HEAD_BYTES; i++)
        head[i] = i < PACK_MAGIC_BYTES ? (uint8_t)PACK_HEAD_MAGIC[i] : 0;
    pack_put(head + PACK_MAGIC_BYTES, 4, (uint64_t)side);
    pack_put(head + PACK_MAGIC_BYTES + 4, 4, 3);
}

#endif
