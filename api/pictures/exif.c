/* Source: TIFF 6.0, section 2; Exif 2.32, 4.6.4 (Orientation); XMP specification, part 2, 3.2 (tiff). */
#include "api/pictures/exif.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { TAG_ORIENTATION = 0x112, TYPE_SHORT = 3, HEADER_BYTES = 8, ENTRY_BYTES = 12 };

/* A JPEG has no longer ones. */
enum { HEX_BYTES_MAX = 1 << 16 };

static uint32_t number(const uint8_t *bytes, int n, bool big)
{
    uint32_t value = 0;

    for (int i = 0; i < n; i++)
        value |= (uint32_t)bytes[i] << 8 * (big ? n - 1 - i : i);
    return value;
}

int exif_orientation(const uint8_t *exif, size_t n)
{
    size_t at, n_entries;
    bool big;

    if (n < HEADER_BYTES || (memcmp(exif, "II*\0", 4) != 0 && memcmp(exif, "MM\0*", 4) != 0))
        return 0;
    big = exif[0] == 'M';
    at = number(exif + 4, 4, big);
    if (at > n - 2)
        return 0;
    n_entries = number(exif + at, 2, big);
    for (at += 2; n_entries > 0 && at + ENTRY_BYTES <= n; at += ENTRY_BYTES, n_entries--) {
        const uint8_t *entry = exif + at;
        uint32_t value = number(entry + 8, 2, big);

        if (number(entry, 2, big) != TAG_ORIENTATION)
            continue;
        if (number(entry + 2, 2, big) != TYPE_SHORT || number(entry + 4, 4, big) != 1)
            return 0;
        return value >= 1 && value <= 8 ? (int)value : 0;
    }
    return 0;
}

int exif_orientation_of_xmp(const char *xmp, size_t n)
{
    static const char name[] = "tiff:Orientation";
    const char *end = xmp + n, *at;

    for (at = xmp; (at = memmem(at, (size_t)(end - at), name, sizeof(name) - 1));) {
        at += sizeof(name) - 1;
        while (at < end && strchr(" \t\r\n=\"'>", *at) && *at)
            at++;
        if (end - at >= 2 && at[0] >= '1' && at[0] <= '8' && (at[1] < '0' || at[1] > '9'))
            return at[0] - '0';
    }
    return 0;
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *found = strchr(digits, tolower((unsigned char)c));

    return c && found ? (int)(found - digits) : -1;
}

int exif_orientation_of_hex(const char *text, size_t n)
{
    static const char name[] = "Exif\0"; /* as before the data of a JPEG, with two NULs */
    uint8_t exif[HEX_BYTES_MAX] = {0};
    size_t used = 0, begin = 0;
    int n_lines = 0, high = -1, digit;

    /* An empty line, the name, the number. */
    for (size_t i = 0; i < n && n_lines < 3; i++) {
        n_lines += text[i] == '\n';
        begin = i + 1;
    }
    for (size_t i = begin; i < n && used < sizeof(exif); i++) {
        digit = hex_digit(text[i]);
        if (digit < 0)
            continue;
        if (high < 0) {
            high = digit;
        } else {
            exif[used++] = (uint8_t)(high << 4 | digit);
            high = -1;
        }
    }
    begin = used > sizeof(name) && memcmp(exif, name, sizeof(name)) == 0 ? sizeof(name) : 0;
    return exif_orientation(exif + begin, used - begin);
}

uint8_t *exif_turn(int orientation, uint8_t *rgb, int *w, int *h)
{
    /* Of the picture as it is shown, what the columns and the rows of the file run along. */
    static const struct {
        bool transposed, from_right, from_bottom;
    } turns[] = {
        {false, false, false}, {false, true, false}, {false, true, true}, {false, false, true},
        {true, false, false},  {true, true, false},  {true, true, true},  {true, false, true},
    };
    bool transposed = turns[orientation - 1].transposed;
    int new_w = transposed ? *h : *w, new_h = transposed ? *w : *h;
    uint8_t *turned;

    if (orientation == 1)
        return rgb;
    turned = malloc((size_t)*w * (size_t)*h * 3);
    if (!turned)
        return NULL;
    for (int y = 0; y < *h; y++) {
        for (int x = 0; x < *w; x++) {
            int to_x = transposed ? y : x, to_y = transposed ? x : y;

            if (turns[orientation - 1].from_right)
                to_x = new_w - 1 - to_x;
            if (turns[orientation - 1].from_bottom)
                to_y = new_h - 1 - to_y;
            memcpy(turned + ((size_t)to_y * (size_t)new_w + (size_t)to_x) * 3,
                   rgb + ((size_t)y * (size_t)*w + (size_t)x) * 3, 3);
        }
    }
    free(rgb);
    *w = new_w;
    *h = new_h;
    return turned;
}
