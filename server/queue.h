/* The fair queue: which job's image is computed next.
 *
 * Jobs take turns, one image each, so that a request for many images delays a request for one by
 * one image and not by all of them. Jobs leave the queue when their last image has been taken.
 *
 * Thread: one at a time. Never allocates: jobs are linked through their queue_next and queue_previous.
 */
#ifndef SERVER_QUEUE_H
#define SERVER_QUEUE_H

#include <stddef.h>

struct job;

struct queue {
    struct job *turn; /* a ring; NULL: empty */
    size_t n_images;  /* waiting */
};

/* Adds a job whose images n_started .. n-1 wait; its first turn comes after all others'. */
void queue_push(struct queue *q, struct job *job);

/* The job whose image n_started is next, NULL if empty. Its n_started is counted up. */
struct job *queue_take(struct queue *q);

/* Removes a job that is in the queue, that is one with n_started < n. */
void queue_remove(struct queue *q, struct job *job);

#endif
