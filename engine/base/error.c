#include "engine/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *err, int code, const char *fmt, ...)
{
    va_list args;

    if (!err)
        return code;
    va_start(args, fmt);
    vsnprintf(err->text, sizeof(err->text), fmt, args);
    va_end(args);
    return code;
}

void error_prefix(struct error *err, const char *fmt, ...)
{
    char prefixed[sizeof(err->text)];
    va_list args;
    size_t used;

    if (!err)
        return;
    va_start(args, fmt);
    vsnprintf(prefixed, sizeof(prefixed), fmt, args);
    va_end(args);
    used = strlen(prefixed);
    snprintf(prefixed + used, sizeof(prefixed) - used, "%s", err->text);
    memcpy(err->text, prefixed, sizeof(err->text));
}
