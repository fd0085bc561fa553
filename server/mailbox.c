#include "server/mailbox.h"

#include "server/job.h"

#include <errno.h>
#include <stddef.h>

void mailbox_init(struct mailbox *m)
{
    *m = (struct mailbox){.submitted_end = &m->submitted, .done_end = &m->done};
    pthread_mutex_init(&m->mutex, NULL);
    pthread_cond_init(&m->news, NULL);
}

void mailbox_fini(struct mailbox *m)
{
    pthread_cond_destroy(&m->news);
    pthread_mutex_destroy(&m->mutex);
}

void mailbox_submit(struct mailbox *m, struct job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&m->mutex);
    *m->submitted_end = job;
    m->submitted_end = &job->next;
    pthread_cond_signal(&m->news);
    pthread_mutex_unlock(&m->mutex);
}

struct job *mailbox_take_done(struct mailbox *m)
{
    struct job *job;

    pthread_mutex_lock(&m->mutex);
    job = m->done;
    if (job) {
        m->done = job->next;
        if (!m->done)
            m->done_end = &m->done;
        job->next = NULL;
    }
    pthread_mutex_unlock(&m->mutex);
    return job;
}

void mailbox_stats(struct mailbox *m, struct engine_stats *out)
{
    pthread_mutex_lock(&m->mutex);
    *out = m->stats;
    pthread_mutex_unlock(&m->mutex);
}

void mailbox_stop(struct mailbox *m)
{
    pthread_mutex_lock(&m->mutex);
    m->stop = true;
    pthread_cond_signal(&m->news);
    pthread_mutex_unlock(&m->mutex);
}

bool mailbox_want(struct mailbox *m, struct engine_change *change)
{
    bool late;

    pthread_mutex_lock(&m->mutex);
    late = m->stop;
    if (late) {
        if (change->model)
            change->status = error_set(&change->error, -ECANCELED, "told to stop");
        m->changed = change;
    } else {
        m->wanted = change;
        pthread_cond_signal(&m->news);
    }
    pthread_mutex_unlock(&m->mutex);
    return !late;
}

struct engine_change *mailbox_take_changed(struct mailbox *m)
{
    struct engine_change *change;

    pthread_mutex_lock(&m->mutex);
    change = m->changed;
    m->changed = NULL;
    pthread_mutex_unlock(&m->mutex);
    return change;
}

void mailbox_changed(struct mailbox *m, struct engine_change *change,
                     const struct engine_stats *stats)
{
    pthread_mutex_lock(&m->mutex);
    m->changed = change;
    m->stats = *stats;
    pthread_mutex_unlock(&m->mutex);
}

bool mailbox_take_submitted(struct mailbox *m, bool wait, struct job **out,
                            struct engine_change **change)
{
    bool stop;

    pthread_mutex_lock(&m->mutex);
    while (wait && !m->stop && !m->submitted && !m->wanted)
        pthread_cond_wait(&m->news, &m->mutex);
    stop = m->stop;
    *out = m->submitted;
    m->submitted = NULL;
    m->submitted_end = &m->submitted;
    *change = m->wanted;
    m->wanted = NULL;
    pthread_mutex_unlock(&m->mutex);
    return !stop;
}

void mailbox_finish(struct mailbox *m, struct job *job, const struct engine_stats *stats)
{
    job->next = NULL;
    pthread_mutex_lock(&m->mutex);
    *m->done_end = job;
    m->done_end = &job->next;
    m->stats = *stats;
    pthread_mutex_unlock(&m->mutex);
}

void mailbox_publish(struct mailbox *m, const struct engine_stats *stats)
{
    pthread_mutex_lock(&m->mutex);
    m->stats = *stats;
    pthread_mutex_unlock(&m->mutex);
}
