/* The fair queue: which job's image gets a free lane, and which job gives one up for another.
 *
 * Who waits comes first: lanes go to background jobs only where no interactive one wants them, and an
 * arrival takes its lane from a background job at once, whose image is parked. So one image beside a job
 * of any size waits for the tick in progress alone, be there a single lane.
 *
 * Interactive jobs share lanes evenly, whatever their numbers of images and evaluations. A free lane
 * goes to a job that has none, first come, first served; else to the one that has the fewest. Where
 * no lane is free, the job with the most parks images until no other that has images waiting is more
 * than one lane behind. So with fewer jobs than lanes an arrival waits for one tick at most, and
 * nobody's work is lost.
 *
 * Background jobs get free lanes in the same order, but never one from each other: as many of their
 * images are begun as can be parked, so that each can give its lane up at any time.
 *
 * A job is in the queue from queue_push() until its last image has left its lane or it is removed.
 *
 * Thread: one at a time. Never allocates: jobs are linked. Searches are bounded by the number of lanes,
 * not of jobs.
 */
#ifndef SERVER_QUEUE_QUEUE_H
#define SERVER_QUEUE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

/* Of jobs for the lanes of their model, and of models for the device. */
enum priority {
    PRIORITY_INTERACTIVE, /* somebody waits */
    PRIORITY_BACKGROUND,  /* gets what the others leave */
    PRIORITIES,
};

/* What the queue knows of a job. */
struct queue_job {
    /* By the caller, before it is pushed. */
    void *owner; /* whatever it is that has the images */
    int n;       /* images, >= 1 */
    enum priority priority;

    /* By the queue; all zero before. */
    int n_started;
    int n_lanes, n_parked; /* of the images started and not finished */
    struct queue_job *next, *previous;
};

struct queue_class {
    struct queue_job *waiting; /* ring of the jobs without a lane, in the order of their turns */
    struct queue_job *running; /* ring of the jobs with lanes */
    int n_lanes, n_parked;
};

/* All zero but parked_max: empty. */
struct queue {
    struct queue_class classes[PRIORITIES];
    size_t n_images; /* without a lane; parked ones are among them */
    int parked_max;  /* by the owner: how many images of each priority can be parked, 0: none */
};

/* Adds a job of which no image has started. It is borrowed until it leaves the queue. */
void queue_push(struct queue *q, struct queue_job *job);

/* The job that gets a free lane, NULL if no image waits that could begin or go on. Counts its n_lanes
 * up and, *parked, its n_parked down or else its n_started up: a parked image goes on before the next
 * one starts. */
struct queue_job *queue_take(struct queue *q, bool *parked);

/* To be asked while no lane is free: the job that has to park an image so that queue_take() can give
 * its lane to another, NULL if the lanes are shared as they should be. */
struct queue_job *queue_park(struct queue *q);

/* One of the job's images is finished and its lane free. */
void queue_finish(struct queue *q, struct queue_job *job);

/* Removes a job that is in the queue, with all its images. */
void queue_remove(struct queue *q, struct queue_job *job);

/* Whether an interactive job has a lane. */
bool queue_is_urgent(const struct queue *q);

#endif
