#include "server/queue.h"

#include "server/job.h"

void queue_push(struct queue *q, struct job *job)
{
    if (q->turn) {
        job->queue_next = q->turn;
        job->queue_previous = q->turn->queue_previous;
        job->queue_previous->queue_next = job;
        job->queue_next->queue_previous = job;
    } else {
        job->queue_next = job;
        job->queue_previous = job;
        q->turn = job;
    }
    q->n_images += (size_t)(job->n - job->n_started);
}

void queue_remove(struct queue *q, struct job *job)
{
    if (q->turn == job)
        q->turn = job->queue_next == job ? NULL : job->queue_next;
    job->queue_previous->queue_next = job->queue_next;
    job->queue_next->queue_previous = job->queue_previous;
    job->queue_next = NULL;
    job->queue_previous = NULL;
    q->n_images -= (size_t)(job->n - job->n_started);
}

struct job *queue_take(struct queue *q)
{
    struct job *job = q->turn;

    if (!job)
        return NULL;
    q->turn = job->queue_next;
    if (job->n_started + 1 == job->n)
        queue_remove(q, job);
    else
        q->n_images--;
    job->n_started++;
    return job;
}
