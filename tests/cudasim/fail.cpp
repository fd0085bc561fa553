#include "tests/cudasim/fail.hpp"

#include "tests/cudasim/block.hpp"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

namespace cudasim
{

static uint32_t random_state = 1;

void random_seed(uint32_t seed)
{
    random_state = seed * 2654435761u | 1;
}

uint32_t random_next()
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

/* Ends without the handlers of exit(): this may be a kernel's stack, and they would find the device in
 * the middle of something. */
[[noreturn]] static void end(const site *where, const char *format, va_list args)
{
    char text[768], place[256];

    vsnprintf(text, sizeof(text), format, args);
    where_am_i(place, sizeof(place));
    fflush(stdout);
    if (where)
        fprintf(stderr, "cudasim: %s at %s:%d: %s [%s]\n", where->what, where->file, where->line,
                text, place);
    else
        fprintf(stderr, "cudasim: %s [%s]\n", text, place);
    fflush(stderr);
    if (getenv("CUDASIM_ABORT"))
        abort();
    _exit(EXIT_CODE);
}

void fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    end(nullptr, format, args);
}

void fail_at(const site *where, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    end(where, format, args);
}

} // namespace cudasim
