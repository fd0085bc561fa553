/* A pool of threads that runs one batch of numbered tasks at a time.
 *
 * Idle threads sleep on a condition variable: the machine is shared, so nobody spins. The
 * caller works too: a pool of n threads starts n - 1.
 */
#ifndef ENGINE_BASE_POOL_H
#define ENGINE_BASE_POOL_H

struct error;
struct pool;

/* n_threads >= 1. Returns 0, -EINVAL, -ENOMEM or -EAGAIN (no thread could be started). */
int pool_create(int n_threads, struct pool **out, struct error *err);

/* Joins the threads. NULL is fine. No pool_run() may be in progress. */
void pool_destroy(struct pool *pool);

int pool_threads(const struct pool *pool);

/* The processors this process may use: its affinity mask, cut by the quota of its control group and
 * of those above it (cgroup.h), at least 1. */
int pool_available_threads(void);

/* Calls task(arg, i, worker) once for every i in [0, n_tasks) and returns when all have
 * returned. Tasks are taken in order by whichever thread is free; worker in [0, n_threads) names
 * the thread and is stable within the call. Never allocates.
 * Thread: one caller at a time. */
void pool_run(struct pool *pool, int n_tasks, void (*task)(void *arg, int i, int worker),
              void *arg);

/* The two halves of pool_run(): the other threads begin, and the caller joins them later. Between
 * the two nothing else may be run. */
void pool_begin(struct pool *pool, int n_tasks, void (*task)(void *arg, int i, int worker),
                void *arg);
void pool_end(struct pool *pool);

#endif
