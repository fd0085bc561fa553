#include "engine/base/log.h"
#include "engine/base/log_writer.h"
#include "engine/base/printable.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static enum log_level minimum = LOG_INFO;

void log_set_level(enum log_level level)
{
    minimum = level;
}

void log_write(enum log_level level, const char *fmt, ...)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    char text[1024], line[1024];
    struct timespec now;
    struct tm utc;
    va_list args;
    size_t used;

    if (level < minimum)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    used = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &utc);
    used += (size_t)snprintf(line + used, sizeof(line) - used, ".%03ldZ level=%s ",
                             now.tv_nsec / 1000000, names[level]);
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    used += printable_copy(text, line + used, sizeof(line) - used - 1);
    line[used++] = '\n';
    /* A log that cannot be written has nowhere to complain to. */
    if (!log_writer_put(line, used) && write(STDERR_FILENO, line, used) < 0)
        return;
}

const char *log_text(const char *text, char out[LOG_TEXT_BYTES])
{
    size_t used = 1;

    out[0] = '"';
    for (; *text && used + 3 < LOG_TEXT_BYTES; text++) {
        if (*text == '"' || *text == '\\')
            out[used++] = '\\';
        out[used++] = *text;
    }
    out[used++] = '"';
    out[used] = '\0';
    return out;
}
