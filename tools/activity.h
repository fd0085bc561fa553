/* What a program is doing while it does not yet have anything to show: a line on the terminal, or,
 * where standard error is none, now and then one in the log. And the signals that stop it.
 */
#ifndef TOOLS_ACTIVITY_H
#define TOOLS_ACTIVITY_H

#include "engine/base/watch.h"

#include <stdbool.h>

struct activity {
    struct watch watch; /* for whatever takes long */
    bool terminal;
    double log_seconds; /* from one line of the log to the next; 0: none */
    double told;        /* monotonic seconds of the last line */
};

/* Begins to watch, also for the signals of stop.h. log_seconds: where there is no terminal. a is
 * borrowed for as long as its watch is used. */
void activity_begin(struct activity *a, double log_seconds);

#endif
