/* ZIP files whose entries are stored as they are, written front to back: heads and bytes of all entries,
 * their directory, the end. Entries are PNGs called by their index, 00000.png. The same images make the
 * same file. It must stay below 4 GiB.
 *
 * Source: PKWARE's APPNOTE.TXT 6.3, sections 4.3.7, 4.3.12 and 4.3.16.
 *
 * Thread: any.
 */
#ifndef API_ZIP_H
#define API_ZIP_H

#include <stddef.h>
#include <stdint.h>

enum {
    ZIP_ENTRIES_MAX = 65534,
    ZIP_NAME_BYTES = 9,
    ZIP_HEAD_BYTES = 30 + ZIP_NAME_BYTES,
    ZIP_DIRECTORY_BYTES = 46 + ZIP_NAME_BYTES, /* an entry's */
    ZIP_END_BYTES = 22,
};

struct zip_entry {
    uint32_t crc, size, offset; /* of its head in the file */
};

/* The checksum of an entry's bytes. */
uint32_t zip_crc(const uint8_t *bytes, size_t size);

/* What stands before the bytes of entry i. */
void zip_write_head(const struct zip_entry *e, int i, uint8_t out[ZIP_HEAD_BYTES]);

/* What the directory says of it. */
void zip_write_directory(const struct zip_entry *e, int i, uint8_t out[ZIP_DIRECTORY_BYTES]);

/* The last bytes of a file of n entries whose directory begins at an offset. */
void zip_write_end(int n, uint32_t directory_offset, uint8_t out[ZIP_END_BYTES]);

#endif
