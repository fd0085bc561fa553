/* Admission: how much work the daemon takes on, and when those who are refused may come back.
 *
 * A model takes on as many images as it has slots, on all devices, and max_queue more. Those in the background leave half
 * of these places to the others; where nobody has one there is room for them. A request that does not fit
 * is refused whole, with 503 and a Retry-After from the measured speed of the engines.
 *
 * Thread: loop.
 */
#ifndef SERVER_ADMISSION_H
#define SERVER_ADMISSION_H

#include "api/limits.h"
#include "server/job.h"

struct admission;
struct engines;
struct error;
struct problem;
struct settings;

/* All arguments are borrowed. 0 or -ENOMEM. */
int admission_create(const struct settings *settings, struct engines *engines,
                     struct admission **out, struct error *err);
void admission_destroy(struct admission *a);

/* What this daemon allows per request. */
const struct samples_limits *admission_limits(const struct admission *a);

/* Whether a model takes on n more images. 0, or -EINVAL with a 503 in the problem. */
int admission_check(const struct admission *a, const struct engine_model *model, int n,
                    enum priority priority, struct problem *problem);

/* Counts a job that was let in, and out again once it holds no lane and no place in the queue. */
void admission_enter(struct admission *a, const struct job *job);
void admission_leave(struct admission *a, const struct job *job);

/* The evaluations that what was let in needs, where those that are done of jobs on their way still count. */
double admission_backlog(const struct admission *a);

/* The seconds until what was admitted is computed, 1 .. 60. Refused clients are told a moment around
 * it, each another one. */
int admission_retry_after_s(const struct admission *a);

/* The moment that one of them is told. */
int admission_retry_soon_s(const struct admission *a);

/* Such a moment around what is expected to take so long. */
int admission_retry_in_s(double seconds);

int admission_lanes(const struct admission *a); /* of each model, on each device */

#endif
