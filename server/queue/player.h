/* The player: plays the queue (server/queue/queue.h) with imaginary lanes, to see what would be drawn when.
 *
 * It shares the lanes before every evaluation as the engine does (server/engine_work.c): of a job the image
 * with the most evaluations left is parked, and the one with the fewest goes on. The lanes evaluate together,
 * and how long that takes is the caller's to know, who also says when a job comes:
 *
 *     while ((job = player_begin(p)) >= 0)
 *         ...                                an image of that job begins now
 *     time += ...                            of one evaluation of player_busy(p) images
 *     player_evaluate(p, 1);
 *     while ((job = player_end(p)) >= 0)
 *         ...                                an image of that job is finished now
 *
 * Thread: any; nothing is shared.
 */
#ifndef SERVER_QUEUE_PLAYER_H
#define SERVER_QUEUE_PLAYER_H

#include "server/queue/queue.h"

struct player;

struct player_job {
    int n;           /* images, >= 1 */
    int evaluations; /* of each, >= 1 */
    enum priority priority;
    int n_begun,
        done; /* so many images, the first to get lanes, have so many evaluations each, < evaluations */
};

/* For n_jobs >= 1 on lanes >= 1. NULL: no memory. */
struct player *player_create(int n_jobs, int lanes);
void player_destroy(struct player *p);

/* Job i, 0 .. n_jobs - 1, comes now, behind all that came before. Each once. */
void player_add(struct player *p, int i, const struct player_job *job);

/* Gives out lanes until an image begins: the job that it is of, -1 where the lanes are shared. */
int player_begin(struct player *p);

/* Once they are: how many images evaluate together, 0: there are none. */
int player_busy(const struct player *p);

/* Evaluations until the next image is finished, where any is busy. */
int player_until_end(struct player *p);

/* n <= player_until_end() evaluations; what is finished must be taken with player_end(). */
void player_evaluate(struct player *p, int n);

/* The job of the next image that is finished, -1: no more are. */
int player_end(struct player *p);

/* How many images it has looked at since it was made: a measure of the time that it took. */
long long player_looks(const struct player *p);

#endif
