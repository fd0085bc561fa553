#include "engine/base/pool.h"
#include "engine/base/cgroup.h"
#include "engine/base/error.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

struct worker {
    struct pool *pool;
    int index;
    pthread_t thread;
};

struct pool {
    pthread_mutex_t mutex;
    pthread_cond_t work; /* a new batch, or stop */
    pthread_cond_t done; /* the last task of a batch returned */
    void (*task)(void *arg, int i, int worker);
    void *arg;
    int n_tasks;
    int next;    /* first task nobody took */
    int running; /* tasks taken and not returned */
    int begun;   /* between pool_begin() and pool_end() */
    int stop;
    int n_threads;
    int n_started;
    struct worker *workers; /* n_threads - 1 */
};

/* Runs tasks until none is left. Called and returns with the mutex held. */
static void work(struct pool *pool, int worker)
{
    while (pool->next < pool->n_tasks) {
        int i = pool->next++;

        pool->running++;
        pthread_mutex_unlock(&pool->mutex);
        pool->task(pool->arg, i, worker);
        pthread_mutex_lock(&pool->mutex);
        pool->running--;
    }
    if (pool->running == 0)
        pthread_cond_signal(&pool->done);
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    struct pool *pool = worker->pool;

    pthread_mutex_lock(&pool->mutex);
    while (!pool->stop) {
        if (pool->next < pool->n_tasks)
            work(pool, worker->index);
        else
            pthread_cond_wait(&pool->work, &pool->mutex);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

int pool_create(int n_threads, struct pool **out, struct error *err)
{
    struct pool *pool;
    int rc;

    if (n_threads < 1)
        return error_set(err, -EINVAL, "a pool needs at least one thread, not %d", n_threads);
    pool = calloc(1, sizeof(*pool));
    if (!pool)
        return error_set(err, -ENOMEM, "out of memory for a pool of threads");
    pool->n_threads = n_threads;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);
    pool->workers = calloc((size_t)n_threads, sizeof(*pool->workers));
    if (!pool->workers) {
        rc = error_set(err, -ENOMEM, "out of memory for a pool of %d threads", n_threads);
        goto fail;
    }
    for (int i = 0; i < n_threads - 1; i++) {
        struct worker *worker = &pool->workers[i];

        worker->pool = pool;
        worker->index = i + 1;
        rc = -pthread_create(&worker->thread, NULL, worker_main, worker);
        if (rc < 0) {
            error_set(err, rc, "could not start thread %d of %d: %s", i + 2, n_threads,
                      strerror(-rc));
            goto fail;
        }
        pool->n_started++;
    }
    *out = pool;
    return 0;

fail:
    pool_destroy(pool);
    return rc;
}

void pool_destroy(struct pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->mutex);
    pool->stop = 1;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
    for (int i = 0; i < pool->n_started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->mutex);
    free(pool->workers);
    free(pool);
}

int pool_threads(const struct pool *pool)
{
    return pool->n_threads;
}

int pool_available_threads(void)
{
    cpu_set_t set;
    int n = 1, quota = cgroup_processors("");

    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        n = CPU_COUNT(&set);
    if (quota > 0 && n > quota)
        n = quota;
    return n < 1 ? 1 : n;
}

void pool_begin(struct pool *pool, int n_tasks, void (*task)(void *arg, int i, int worker),
                void *arg)
{
    pthread_mutex_lock(&pool->mutex);
    assert(!pool->begun);
    pool->begun = 1;
    pool->task = task;
    pool->arg = arg;
    pool->n_tasks = n_tasks;
    pool->next = 0;
    if (n_tasks > 1)
        pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
}

void pool_end(struct pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    work(pool, 0);
    while (pool->running > 0)
        pthread_cond_wait(&pool->done, &pool->mutex);
    pool->n_tasks = 0;
    pool->next = 0;
    pool->begun = 0;
    pthread_mutex_unlock(&pool->mutex);
}

void pool_run(struct pool *pool, int n_tasks, void (*task)(void *arg, int i, int worker), void *arg)
{
    pool_begin(pool, n_tasks, task, arg);
    pool_end(pool);
}
