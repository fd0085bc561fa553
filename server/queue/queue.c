#include "server/queue/queue.h"

static void ring_append(struct queue_job **ring, struct queue_job *job)
{
    struct queue_job *first = *ring;

    if (first) {
        job->next = first;
        job->previous = first->previous;
        job->previous->next = job;
        first->previous = job;
    } else {
        job->next = job;
        job->previous = job;
        *ring = job;
    }
}

static void ring_prepend(struct queue_job **ring, struct queue_job *job)
{
    ring_append(ring, job);
    *ring = job;
}

static void ring_remove(struct queue_job **ring, struct queue_job *job)
{
    if (*ring == job)
        *ring = job->next == job ? NULL : job->next;
    job->previous->next = job->next;
    job->next->previous = job->previous;
    job->next = NULL;
    job->previous = NULL;
}

static struct queue_class *class_of(struct queue *q, const struct queue_job *job)
{
    return &q->classes[job->priority];
}

/* The ring that a job in the queue is in. */
static struct queue_job **ring_of(struct queue *q, const struct queue_job *job)
{
    struct queue_class *c = class_of(q, job);

    return job->n_lanes > 0 ? &c->running : &c->waiting;
}

static int images_waiting(const struct queue_job *job)
{
    return job->n - job->n_started + job->n_parked;
}

void queue_push(struct queue *q, struct queue_job *job)
{
    ring_append(&class_of(q, job)->waiting, job);
    q->n_images += (size_t)images_waiting(job);
}

void queue_remove(struct queue *q, struct queue_job *job)
{
    struct queue_class *c = class_of(q, job);

    ring_remove(ring_of(q, job), job);
    q->n_images -= (size_t)images_waiting(job);
    c->n_lanes -= job->n_lanes;
    c->n_parked -= job->n_parked;
}

/* Of the jobs with lanes and images that wait, or only such as are parked, the one with the fewest
 * lanes, NULL if there is none. */
static struct queue_job *poorest(const struct queue_class *c, bool parked)
{
    struct queue_job *job = c->running, *found = NULL;

    if (!job)
        return NULL;
    do {
        if ((parked ? job->n_parked : images_waiting(job)) > 0 &&
            (!found || job->n_lanes < found->n_lanes))
            found = job;
        job = job->next;
    } while (job != c->running);
    return found;
}

static struct queue_job *richest(const struct queue_class *c)
{
    struct queue_job *job = c->running, *found = job;

    if (!job)
        return NULL;
    do {
        if (job->n_lanes > found->n_lanes)
            found = job;
        job = job->next;
    } while (job != c->running);
    return found;
}

/* The interactive job whose turn it is. */
static struct queue_job *next_interactive(const struct queue *q)
{
    const struct queue_class *c = &q->classes[PRIORITY_INTERACTIVE];

    return c->waiting ? c->waiting : poorest(c, false);
}

/* Where all places are taken only what is parked goes on; jobs of which something is, and which have no
 * lane, are the first that wait. */
static struct queue_job *next_in_background(const struct queue *q)
{
    const struct queue_class *c = &q->classes[PRIORITY_BACKGROUND];
    bool full = q->parked_max > 0 && c->n_lanes + c->n_parked >= q->parked_max;

    if (c->waiting && (!full || c->waiting->n_parked > 0))
        return c->waiting;
    return poorest(c, full);
}

struct queue_job *queue_take(struct queue *q, bool *parked)
{
    struct queue_job *job = next_interactive(q);
    struct queue_class *c;

    if (!job)
        job = next_in_background(q);
    if (!job)
        return NULL;
    c = class_of(q, job);
    ring_remove(ring_of(q, job), job);
    job->n_lanes++;
    c->n_lanes++;
    ring_append(&c->running, job); /* behind its equals */
    q->n_images--;
    *parked = job->n_parked > 0;
    if (*parked) {
        job->n_parked--;
        c->n_parked--;
    } else {
        job->n_started++;
    }
    return job;
}

struct queue_job *queue_park(struct queue *q)
{
    const struct queue_job *poor = next_interactive(q);
    struct queue_job *rich = richest(&q->classes[PRIORITY_BACKGROUND]);
    struct queue_class *c;

    if (!poor)
        return NULL;
    if (!rich) {
        rich = richest(&q->classes[PRIORITY_INTERACTIVE]);
        if (!rich || rich->n_lanes < poor->n_lanes + 2)
            return NULL;
    }
    c = class_of(q, rich);
    if (c->n_parked == q->parked_max)
        return NULL;
    if (rich->n_lanes == 1) { /* it goes on before others begin */
        ring_remove(&c->running, rich);
        ring_prepend(&c->waiting, rich);
    }
    rich->n_lanes--;
    c->n_lanes--;
    rich->n_parked++;
    c->n_parked++;
    q->n_images++;
    return rich;
}

void queue_finish(struct queue *q, struct queue_job *job)
{
    struct queue_class *c = class_of(q, job);

    c->n_lanes--;
    if (job->n_lanes > 1) {
        job->n_lanes--;
        return;
    }
    ring_remove(&c->running, job);
    job->n_lanes = 0;
    if (job->priority == PRIORITY_BACKGROUND && job->n_parked > 0)
        ring_prepend(&c->waiting, job);
    else if (images_waiting(job) > 0)
        ring_append(&c->waiting, job);
}

bool queue_is_urgent(const struct queue *q)
{
    return q->classes[PRIORITY_INTERACTIVE].running != NULL;
}
