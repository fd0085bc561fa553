#include "server/admission.h"

#include "api/problem.h"
#include "config/settings.h"
#include "engine/base/error.h"
#include "server/engine_model.h"
#include "server/engines.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>

enum { RETRY_AFTER_MAX_S = 60 };

static const double RETRY_JITTER = 0.2;

struct admission {
    const struct settings *settings;
    struct engines *engines;
    struct samples_limits limits;
    double n_evaluations; /* that all that is admitted still needs, at most */
};

int admission_create(const struct settings *settings, struct engines *engines,
                     struct admission **out, struct error *err)
{
    int room = settings->n_devices * settings->slots + settings->max_queue;
    struct admission *a = calloc(1, sizeof(*a));

    if (!a)
        return error_set(err, -ENOMEM, "out of memory");
    a->settings = settings;
    a->engines = engines;
    a->limits.n_max = settings->max_images < room ? settings->max_images : room;
    a->limits.job_n_max = LIMITS_JOB_IMAGES;
    a->limits.nfe_max = settings->max_nfe;
    a->limits.timeout_max_ms = settings->request_timeout_ms;
    *out = a;
    return 0;
}

void admission_destroy(struct admission *a)
{
    free(a);
}

const struct samples_limits *admission_limits(const struct admission *a)
{
    return &a->limits;
}

double admission_backlog(const struct admission *a)
{
    return a->n_evaluations;
}

int admission_lanes(const struct admission *a)
{
    return a->settings->slots;
}

static double backlog_s(const struct admission *a)
{
    struct engine_stats stats;

    engines_stats(a->engines, &stats);
    return stats.evaluations_per_s > 0 ? a->n_evaluations / stats.evaluations_per_s : 1;
}

int admission_retry_after_s(const struct admission *a)
{
    double seconds = ceil(backlog_s(a));

    return seconds < 1 ? 1 : seconds > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : (int)seconds;
}

/* Within 20 % of the estimate, so that those who were refused together do not come back together.
 * Where the estimate is more than may be told they all had the same: hence the limit before. */
int admission_retry_in_s(double seconds)
{
    double most_s = RETRY_AFTER_MAX_S / (1 + RETRY_JITTER), jitter = 0;
    uint32_t random;

    seconds = fmin(fmax(ceil(seconds), 1), most_s);
    if (getrandom(&random, sizeof(random), 0) == sizeof(random))
        jitter = RETRY_JITTER * (2 * (double)random / UINT32_MAX - 1);
    return (int)ceil(seconds * (1 + jitter));
}

int admission_retry_soon_s(const struct admission *a)
{
    return admission_retry_in_s(backlog_s(a));
}

int admission_check(const struct admission *a, const struct engine_model *model, int n,
                    enum priority priority, struct problem *problem)
{
    int places = model->places, room;

    if (priority == PRIORITY_BACKGROUND && model->n_images > 0)
        places /= 2;
    room = places > model->n_images ? places - model->n_images : 0;
    if (n <= room)
        return 0;
    problem->retry_after_s = admission_retry_soon_s(a);
    return problem_set(problem, 503,
                       "the queue is full: %d images were asked for, there is room "
                       "for %d",
                       n, room);
}

void admission_enter(struct admission *a, const struct job *job)
{
    job->model->n_images += job->n;
    a->n_evaluations += (double)job->n * job->evaluations;
}

void admission_leave(struct admission *a, const struct job *job)
{
    job->model->n_images -= job->n;
    a->n_evaluations -= (double)job->n * job->evaluations;
}
