/* Which batches there are, and for whom: who came with a key sees those that it began and no others, nor
 * that there are others. Where the daemon has no keys, everybody sees all.
 */
#include "server/batch_parts.h"

#include "api/problem.h"
#include "server/keys.h"

#include <errno.h>
#include <string.h>

static bool may_see(const struct key *reader, const char *owner)
{
    return !reader || strcmp(key_name(reader), owner) == 0;
}

static bool is_told(const struct batch *b)
{
    return b->stored || b->state >= JOB_COMPLETED;
}

struct batch *batch_find_again(const struct batches *all, const char *key, const struct key *owner)
{
    for (struct batch *b = all->first; b && key; b = b->next)
        if (strcmp(b->record.key, key) == 0 && may_see(owner, b->record.owner))
            return b;
    return NULL;
}

void batch_remember(struct batches *all, const struct job_record *r)
{
    struct batch_gone *gone = &all->gone[all->n_gone++ % BATCHES_KEPT_MAX];

    memcpy(gone->id, r->id, sizeof(gone->id));
    memcpy(gone->owner, r->owner, sizeof(gone->owner));
}

struct batch *batches_find(struct batches *all, const char *id, const struct key *reader,
                           struct problem *problem)
{
    struct batch *b = all->first;

    while (b && strcmp(b->record.id, id) != 0)
        b = b->next;
    if (b && is_told(b) && may_see(reader, b->record.owner))
        return b;
    for (int i = 0; i < BATCHES_KEPT_MAX && i < all->n_gone; i++)
        if (strcmp(all->gone[i].id, id) == 0 && may_see(reader, all->gone[i].owner)) {
            problem_set(problem, 410, "this job has ended long ago");
            return NULL;
        }
    problem_set(problem, 404, "there is no such job");
    return NULL;
}

/* The table is oldest first. */
int batches_list(const struct batches *all, const struct key *reader, const char *after, int limit,
                 struct job_status *out, bool *more, struct problem *problem)
{
    int n = 0, end = -1, i = 0;

    for (const struct batch *b = all->first; b; b = b->next)
        if (is_told(b) && may_see(reader, b->record.owner)) {
            if (after && strcmp(b->record.id, after) == 0)
                end = n;
            n++;
        }
    if (after && end < 0) {
        problem_add_field(problem, "after", "there is no such job");
        return -EINVAL;
    }
    end = after ? end : n;
    n = end < limit ? end : limit;
    for (const struct batch *b = all->first; b && i < end; b = b->next)
        if (is_told(b) && may_see(reader, b->record.owner)) {
            if (i >= end - n)
                batch_describe(b, &out[end - 1 - i]);
            i++;
        }
    *more = end > n;
    return n;
}

void batches_count(const struct batches *all, int *waiting, int *ended)
{
    *waiting = all->n_waiting;
    *ended = all->n_ended;
}
