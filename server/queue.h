/* The fair queue: which job's image gets a free lane, and which job gives one up for another.
 *
 * Lanes are shared evenly among jobs, whatever their numbers of images and evaluations. A free lane
 * goes to a job that has none, first come, first served; else to the one that has the fewest. Where
 * no lane is free, the job with the most parks images until no other that has images waiting is more
 * than one lane behind. So with fewer jobs than lanes an arrival waits for one tick at most, and
 * nobody's work is lost.
 *
 * A job is in the queue from queue_push() until its last image has left its lane or it is removed.
 *
 * Thread: one at a time. Never allocates: jobs are linked through their queue_next and
 * queue_previous. Searches are bounded by the number of lanes, not of jobs.
 */
#ifndef SERVER_QUEUE_H
#define SERVER_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

struct job;

/* All zero but parked_max: empty. */
struct queue {
    struct job *waiting; /* ring of the jobs without a lane, in the order of their turns */
    struct job *running; /* ring of the jobs with lanes */
    size_t n_images;     /* without a lane; parked ones are among them */
    int n_parked;
    int parked_max; /* by the owner: how many images can be parked, 0: none */
};

/* Adds a job of which no image has started. */
void queue_push(struct queue *q, struct job *job);

/* The job that gets a free lane, NULL if no image waits. Counts its n_lanes up and, *parked, its
 * n_parked down or else its n_started up: a parked image goes on before the next one starts. */
struct job *queue_take(struct queue *q, bool *parked);

/* To be asked while no lane is free: the job that has to park an image so that queue_take() can give
 * its lane to another, NULL if the lanes are shared evenly. */
struct job *queue_park(struct queue *q);

/* One of the job's images is finished and its lane free. */
void queue_finish(struct queue *q, struct job *job);

/* Removes a job that is in the queue, with all its images. */
void queue_remove(struct queue *q, struct job *job);

#endif
