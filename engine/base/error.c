#include "engine/base/error.h"
#include "engine/base/printable.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Of a text before it is shortened: room for a path or two of the longest kind. */
enum { LONG = 9000, HEAD = 96 };

static bool inside_character(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80;
}

/* Stores a printable text. Of one that is too long the middle goes: what was attempted stands at its
 * beginning, why it failed at its end. */
static void store(struct error *err, const char *text)
{
    static const char gap[] = "...";
    size_t length = strlen(text), head = HEAD, tail;

    if (length < sizeof(err->text)) {
        memcpy(err->text, text, length + 1);
        return;
    }
    while (head > 0 && inside_character(text[head]))
        head--;
    tail = length - (sizeof(err->text) - head - sizeof(gap));
    while (tail < length && inside_character(text[tail]))
        tail++;
    snprintf(err->text, sizeof(err->text), "%.*s%s%s", (int)head, text, gap, text + tail);
}

int error_set(struct error *err, int code, const char *fmt, ...)
{
    char text[LONG], shown[LONG];
    va_list args;

    if (!err)
        return code;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    printable_copy(text, shown, sizeof(shown));
    store(err, shown);
    return code;
}

void error_prefix(struct error *err, const char *fmt, ...)
{
    char prefix[LONG], shown[LONG + sizeof(err->text)];
    va_list args;
    size_t used;

    if (!err)
        return;
    va_start(args, fmt);
    vsnprintf(prefix, sizeof(prefix), fmt, args);
    va_end(args);
    used = printable_copy(prefix, shown, sizeof(prefix));
    memcpy(shown + used, err->text, strlen(err->text) + 1);
    store(err, shown);
}
