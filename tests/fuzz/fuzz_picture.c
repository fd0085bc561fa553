/* Any bytes as a picture: RGB, or an error with a text. Then the same with the checksums of a PNG's
 * chunks made right, without which a change goes no deeper than they.
 */
#include "tests/fuzz/target.h"

#include "api/pictures/picture.h"
#include "engine/base/error.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* So that an input takes little time whatever size it says that it has. */
enum { PIXELS_MAX = 1 << 14 };

enum { SIGNATURE_BYTES = 8, CHUNK_BYTES = 12 };

static uint32_t read_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Bit by bit: the polynomial of PNG, section 5.5. */
static uint32_t checksum(const uint8_t *data, size_t size)
{
    uint32_t c = UINT32_MAX;

    for (size_t i = 0; i < size; i++) {
        c ^= data[i];
        for (int k = 0; k < 8; k++)
            c = c & 1 ? 0xedb88320u ^ c >> 1 : c >> 1;
    }
    return ~c;
}

/* The checksums of all chunks that are there as a whole; whether one was wrong. */
static bool mend(uint8_t *png, size_t size)
{
    bool mended = false;

    for (size_t at = SIGNATURE_BYTES; size >= CHUNK_BYTES && at <= size - CHUNK_BYTES;) {
        size_t n = read_u32(png + at);
        uint32_t c;

        if (n > size - CHUNK_BYTES - at)
            break;
        c = checksum(png + at + 4, n + 4);
        at += n + 8;
        mended |= read_u32(png + at) != c;
        for (int k = 0; k < 4; k++)
            png[at++] = (uint8_t)(c >> (24 - 8 * k));
    }
    return mended;
}

static void decode(const uint8_t *data, size_t size)
{
    struct error err = {""};
    volatile uint8_t last;
    uint8_t *rgb = NULL;
    int w, h, rc = picture_decode(data, size, PIXELS_MAX, &w, &h, &rgb, &err);

    if (rc < 0 && (rgb || !*err.text || !memchr(err.text, '\0', sizeof(err.text))))
        abort();
    if (rc == 0 && (w < 1 || h < 1 || w * h > PIXELS_MAX))
        abort();
    if (rc == 0) {
        last = rgb[w * h * 3 - 1];
        (void)last;
    }
    free(rgb);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1);

    if (!copy)
        abort();
    memcpy(copy, data, size);
    decode(data, size);
    if (picture_format_of(data, size) == PICTURE_PNG && mend(copy, size))
        decode(copy, size);
    free(copy);
    return 0;
}
