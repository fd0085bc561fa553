#include "tools/activity.h"
#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "tools/stop.h"

#include <stdio.h>
#include <unistd.h>

/* Seconds from one line on the terminal to the next. */
#define TERMINAL_SECONDS 0.1

static void tell(void *arg, const char *what, int done, int of)
{
    struct activity *a = arg;
    double now = clock_seconds();

    /* The cursor stays at the beginning: the next line, whoever prints it, takes this one's place. */
    if (a->terminal && done >= of) {
        fputs("\033[K", stderr);
    } else if (a->terminal && now - a->told >= TERMINAL_SECONDS) {
        fprintf(stderr, "%s %d/%d\033[K\r", what, done, of);
        a->told = now;
    } else if (!a->terminal && a->log_seconds > 0 && now - a->told >= a->log_seconds) {
        log_write(LOG_INFO, "event=progress what=%s done=%d of=%d", LOG_TEXT(what), done, of);
        a->told = now;
    }
}

void activity_begin(struct activity *a, double log_seconds)
{
    *a = (struct activity){
        .watch = {.stop = stop_on_signals(), .progress = tell, .arg = a},
        .terminal = isatty(STDERR_FILENO),
        .log_seconds = log_seconds,
        .told = clock_seconds(),
    };
}
