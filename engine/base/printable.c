#include "engine/base/printable.h"

#include <stdio.h>
#include <string.h>

/* The bytes of the UTF-8 character at p and its number; 0 if there is none. */
static size_t decode(const unsigned char *p, unsigned *code)
{
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc0 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

    if (n == 1)
        *code = p[0];
    if (n <= 1)
        return n;
    *code = p[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) { /* a NUL is no continuation: this ends before the text does */
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (p[i] & 0x3fu);
    }
    if (*code < least[n] || *code > 0x10ffff || (*code >= 0xd800 && *code <= 0xdfff))
        return 0;
    return n;
}

static bool is_unprintable(unsigned code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x61c || code == 0x200e ||
           code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x2069);
}

/* The bytes of the character at p if it can be printed, else 0. */
static size_t printable_bytes(const unsigned char *p)
{
    unsigned code = 0;
    size_t n = decode(p, &code);

    return n > 0 && !is_unprintable(code) ? n : 0;
}

bool printable_is(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t n;

    for (; *p; p += n) {
        n = printable_bytes(p);
        if (n == 0)
            return false;
    }
    return true;
}

size_t printable_copy(const char *text, char *out, size_t size)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t used = 0;

    while (*p) {
        size_t n = printable_bytes(p);
        char escaped[5];

        snprintf(escaped, sizeof(escaped), "\\x%02x", *p);
        if (used + (n ? n : strlen(escaped)) >= size)
            break;
        memcpy(out + used, n ? (const char *)p : escaped, n ? n : strlen(escaped));
        used += n ? n : strlen(escaped);
        p += n ? n : 1;
    }
    out[used] = '\0';
    return used;
}
