#include "server/queue.h"

#include "server/job.h"

static void ring_append(struct job **ring, struct job *job)
{
    struct job *first = *ring;

    if (first) {
        job->queue_next = first;
        job->queue_previous = first->queue_previous;
        job->queue_previous->queue_next = job;
        first->queue_previous = job;
    } else {
        job->queue_next = job;
        job->queue_previous = job;
        *ring = job;
    }
}

static void ring_remove(struct job **ring, struct job *job)
{
    if (*ring == job)
        *ring = job->queue_next == job ? NULL : job->queue_next;
    job->queue_previous->queue_next = job->queue_next;
    job->queue_next->queue_previous = job->queue_previous;
    job->queue_next = NULL;
    job->queue_previous = NULL;
}

/* The ring that a job in the queue is in. */
static struct job **ring_of(struct queue *q, const struct job *job)
{
    return job->n_lanes > 0 ? &q->running : &q->waiting;
}

static int images_waiting(const struct job *job)
{
    return job->n - job->n_started + job->n_parked;
}

void queue_push(struct queue *q, struct job *job)
{
    ring_append(&q->waiting, job);
    q->n_images += (size_t)images_waiting(job);
}

void queue_remove(struct queue *q, struct job *job)
{
    ring_remove(ring_of(q, job), job);
    q->n_images -= (size_t)images_waiting(job);
    q->n_parked -= job->n_parked;
}

/* Of the jobs with lanes and images that wait the one with the fewest lanes, NULL if there is none. */
static struct job *poorest(const struct queue *q)
{
    struct job *job = q->running, *found = NULL;

    if (!job)
        return NULL;
    do {
        if (images_waiting(job) > 0 && (!found || job->n_lanes < found->n_lanes))
            found = job;
        job = job->queue_next;
    } while (job != q->running);
    return found;
}

static struct job *richest(const struct queue *q)
{
    struct job *job = q->running, *found = job;

    if (!job)
        return NULL;
    do {
        if (job->n_lanes > found->n_lanes)
            found = job;
        job = job->queue_next;
    } while (job != q->running);
    return found;
}

struct job *queue_take(struct queue *q, bool *parked)
{
    struct job *job = q->waiting ? q->waiting : poorest(q);

    if (!job)
        return NULL;
    ring_remove(ring_of(q, job), job);
    job->n_lanes++;
    ring_append(&q->running, job); /* behind its equals */
    q->n_images--;
    *parked = job->n_parked > 0;
    if (*parked) {
        job->n_parked--;
        q->n_parked--;
    } else {
        job->n_started++;
    }
    return job;
}

struct job *queue_park(struct queue *q)
{
    const struct job *poor = q->waiting ? q->waiting : poorest(q);
    struct job *rich = richest(q);

    if (!poor || !rich || rich->n_lanes < poor->n_lanes + 2 || q->n_parked == q->parked_max)
        return NULL;
    rich->n_lanes--;
    rich->n_parked++;
    q->n_parked++;
    q->n_images++;
    return rich;
}

void queue_finish(struct queue *q, struct job *job)
{
    if (job->n_lanes > 1) {
        job->n_lanes--;
        return;
    }
    ring_remove(&q->running, job);
    job->n_lanes = 0;
    if (images_waiting(job) > 0)
        ring_append(&q->waiting, job);
}
