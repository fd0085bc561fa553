/* Long work and whoever waits for it: it is asked to stop, and tells how far it is.
 *
 * Functions that take a watch return -ECANCELED soon after *stop became true; NULL: nobody waits.
 */
#ifndef ENGINE_BASE_WATCH_H
#define ENGINE_BASE_WATCH_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

struct watch {
    const volatile sig_atomic_t *stop; /* NULL: is never asked to */
    /* Called now and then with what is being done, e.g. "reading pictures", and how much of it is; by
     * one thread at a time. NULL: nobody wants to know. */
    void (*progress)(void *arg, const char *what, int done, int of);
    void *arg;
};

static inline bool watch_stop(const struct watch *w)
{
    return w && w->stop && *w->stop;
}

static inline void watch_progress(const struct watch *w, const char *what, int done, int of)
{
    if (w && w->progress)
        w->progress(w->arg, what, done, of);
}

#endif
