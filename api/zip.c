#include "api/zip.h"

#include <stdio.h>
#include <string.h>

enum {
    HEAD_MAGIC = 0x04034b50,
    DIRECTORY_MAGIC = 0x02014b50,
    END_MAGIC = 0x06054b50,
    VERSION = 10,               /* of who can read it: nothing is compressed */
    MADE_BY = 3 << 8 | 20,      /* so that the file's rights are those of Unix */
    RIGHTS = 0100644,           /* a file that its owner may write */
    DATE = 0 << 9 | 1 << 5 | 1, /* 1980-01-01, the first: one without a time */
};

/* Four bits at a time, of the polynomial 0xedb88320. */
uint32_t zip_crc(const uint8_t *bytes, size_t size)
{
    static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
                                       0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
                                       0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                       0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < size; i++) {
        crc = table[(crc ^ bytes[i]) & 15] ^ crc >> 4;
        crc = table[(crc ^ bytes[i] >> 4) & 15] ^ crc >> 4;
    }
    return ~crc;
}

/* Little-endian; returns what follows. */
static uint8_t *put(uint8_t *out, int n_bytes, uint32_t value)
{
    for (int i = 0; i < n_bytes; i++)
        *out++ = (uint8_t)(value >> 8 * i);
    return out;
}

static uint8_t *put_name(uint8_t *out, int i)
{
    char name[ZIP_NAME_BYTES + 8];

    snprintf(name, sizeof(name), "%05u.png", (unsigned)i % 100000);
    memcpy(out, name, ZIP_NAME_BYTES);
    return out + ZIP_NAME_BYTES;
}

/* What a head and the directory have in common. */
static uint8_t *put_common(uint8_t *out, const struct zip_entry *e)
{
    out = put(out, 2, VERSION);
    out = put(out, 2, 0); /* flags */
    out = put(out, 2, 0); /* stored */
    out = put(out, 2, 0); /* the time of day */
    out = put(out, 2, DATE);
    out = put(out, 4, e->crc);
    out = put(out, 4, e->size);
    out = put(out, 4, e->size);
    out = put(out, 2, ZIP_NAME_BYTES);
    return put(out, 2, 0); /* nothing extra */
}

void zip_write_head(const struct zip_entry *e, int i, uint8_t out[ZIP_HEAD_BYTES])
{
    out = put(out, 4, HEAD_MAGIC);
    out = put_common(out, e);
    put_name(out, i);
}

void zip_write_directory(const struct zip_entry *e, int i, uint8_t out[ZIP_DIRECTORY_BYTES])
{
    out = put(out, 4, DIRECTORY_MAGIC);
    out = put(out, 2, MADE_BY);
    out = put_common(out, e);
    out = put(out, 2, 0); /* no comment */
    out = put(out, 2, 0); /* on the first disk */
    out = put(out, 2, 0); /* not text */
    out = put(out, 4, (uint32_t)RIGHTS << 16);
    out = put(out, 4, e->offset);
    put_name(out, i);
}

void zip_write_end(int n, uint32_t directory_offset, uint8_t out[ZIP_END_BYTES])
{
    out = put(out, 4, END_MAGIC);
    out = put(out, 4, 0); /* one disk */
    out = put(out, 2, (uint32_t)n);
    out = put(out, 2, (uint32_t)n);
    out = put(out, 4, (uint32_t)n * ZIP_DIRECTORY_BYTES);
    out = put(out, 4, directory_offset);
    put(out, 2, 0); /* no comment */
}
