#include "engine/base/error.h"
#include "engine/base/printable.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *err, int code, const char *fmt, ...)
{
    char text[sizeof(err->text)];
    va_list args;

    if (!err)
        return code;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    printable_copy(text, err->text, sizeof(err->text));
    return code;
}

void error_prefix(struct error *err, const char *fmt, ...)
{
    char prefix[sizeof(err->text)], prefixed[sizeof(err->text)];
    va_list args;
    size_t used;

    if (!err)
        return;
    va_start(args, fmt);
    vsnprintf(prefix, sizeof(prefix), fmt, args);
    va_end(args);
    used = printable_copy(prefix, prefixed, sizeof(prefixed));
    printable_copy(err->text, prefixed + used, sizeof(prefixed) - used);
    memcpy(err->text, prefixed, sizeof(err->text));
}
