/* Lookahead: when a job would get its first lane and when its last image would be done, if it came now.
 *
 * The queue is played (server/queue/player.h) to the end of that job, from one finished image to the next,
 * with all that is there. Of those that have begun it is known how many evaluations are done, not of which
 * images: they are taken to have shared the lanes evenly, each with all of its images alike. Who comes later
 * is not foreseen, and devices are taken as one with the lanes of all.
 *
 * Thread: any; nothing is shared.
 */
#ifndef SERVER_LOOKAHEAD_H
#define SERVER_LOOKAHEAD_H

#include "server/queue/queue.h"

struct pace;

struct lookahead_job {
    int n;           /* images */
    int evaluations; /* of one image */
    int done;        /* evaluations of all its images */
    enum priority priority;
};

struct lookahead {
    const struct pace *pace; /* of its model */
    int lanes, devices;      /* lanes of each */
    double between_s;        /* between two ticks, for other models */
};

/* jobs: [n >= 1] of one model in the order in which they came, the one that is asked for last.
 * first_s: until its first evaluation is done. Where it would take long to look to the end, both are the least
 * that is possible. 0 or -ENOMEM. */
int lookahead_run(const struct lookahead *l, const struct lookahead_job *jobs, int n,
                  double *first_s, double *done_s);

#endif
