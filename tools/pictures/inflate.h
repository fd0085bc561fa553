/* What deflate has made smaller: members of ZIP archives, and files of gzip. Thread: any. */
#ifndef TOOLS_PICTURES_INFLATE_H
#define TOOLS_PICTURES_INFLATE_H

#include <stddef.h>
#include <stdint.h>

struct error;

/* A member of an archive, whose sizes and CRC-32 are known. 0, or -EINVAL (damaged), -ENOMEM. */
int inflate_member(const uint8_t *bytes, size_t n, uint32_t crc, uint8_t *out, size_t size,
                   struct error *err);
/* The same of one that is stored as it is. */
int inflate_stored(const uint8_t *bytes, size_t n, uint32_t crc, struct error *err);

/* What a member begins with, from its first bytes alone; returns how many bytes there are, up to room. */
size_t inflate_head(const uint8_t *bytes, size_t n, uint8_t *out, size_t room);

/* A file of gzip: *out, malloc'ed, of *size <= size_max bytes. 0, -EINVAL (damaged), -EFBIG, -ENOMEM. */
int inflate_gzip(const uint8_t *bytes, size_t n, size_t size_max, uint8_t **out, size_t *size,
                 struct error *err);

#endif
