/* Waiting for a number that other threads count up: for as long as a part takes by looking at it,
 * then asleep.
 */
#ifndef ENGINE_HOST_WAIT_H
#define ENGINE_HOST_WAIT_H

#include <pthread.h>
#include <stdatomic.h>

struct waiters {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    atomic_int n_sleeping;
};

void waiters_init(struct waiters *w);
void waiters_fini(struct waiters *w);

/* Returns when *number >= wanted. */
void waiters_wait(struct waiters *w, atomic_int *number, int wanted);

/* To be called after a number was changed that somebody may wait for. */
void waiters_wake(struct waiters *w);

#endif
