#include "engine/host/wait.h"

/* Looks at a number before a thread goes to sleep: some tens of microseconds, longer than a part
 * takes, and nothing against the time slice that is lost if another process has the processor. */
enum { SPINS = 2000 };

void waiters_init(struct waiters *w)
{
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->changed, NULL);
    atomic_init(&w->n_sleeping, 0);
}

void waiters_fini(struct waiters *w)
{
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->mutex);
}

void waiters_wait(struct waiters *w, atomic_int *number, int wanted)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(number, memory_order_acquire) >= wanted)
            return;
#ifdef __x86_64__
        __builtin_ia32_pause();
#endif
    }
    pthread_mutex_lock(&w->mutex);
    atomic_fetch_add(&w->n_sleeping, 1);
    while (atomic_load(number) < wanted)
        pthread_cond_wait(&w->changed, &w->mutex);
    atomic_fetch_sub(&w->n_sleeping, 1);
    pthread_mutex_unlock(&w->mutex);
}

void waiters_wake(struct waiters *w)
{
    if (!atomic_load(&w->n_sleeping))
        return;
    pthread_mutex_lock(&w->mutex);
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}
