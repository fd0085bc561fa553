#include "server/queue/player.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>

enum {
    PLACES_PER_LANE = 1 + PRIORITIES
}; /* for its image, and of each priority for one that is parked */

struct job {
    struct queue_job queued;
    struct player_job told;
};

/* An image that has begun. */
struct image {
    struct job *job; /* NULL: a free place */
    bool parked;
    int left; /* evaluations */
};

struct player {
    struct queue queue;
    struct job *jobs;
    struct image *images; /* [n_lanes * PLACES_PER_LANE] */
    int n_images;         /* places before the end of those that were ever taken */
    int n_lanes, n_busy;
    int next; /* place to look at for what is finished */
    long long n_looks;
};

struct player *player_create(int n_jobs, int lanes)
{
    struct player *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->n_lanes = lanes;
    p->queue.parked_max = lanes;
    p->jobs = calloc((size_t)n_jobs, sizeof(*p->jobs));
    p->images = calloc((size_t)lanes * PLACES_PER_LANE, sizeof(*p->images));
    if (p->jobs && p->images)
        return p;
    player_destroy(p);
    return NULL;
}

void player_destroy(struct player *p)
{
    if (!p)
        return;
    free(p->jobs);
    free(p->images);
    free(p);
}

void player_add(struct player *p, int i, const struct player_job *job)
{
    struct job *own = &p->jobs[i];

    own->told = *job;
    own->queued = (struct queue_job){.owner = own, .n = job->n, .priority = job->priority};
    queue_push(&p->queue, &own->queued);
}

static bool is_busy(const struct image *image)
{
    return image->job && !image->parked;
}

/* Parks the image of a job that has the most evaluations left, or goes on with the one that has the fewest. */
static void set_parked(struct player *p, const struct job *job, bool parked)
{
    struct image *found = NULL;

    for (int i = 0; i < p->n_images; i++) {
        struct image *image = &p->images[i];

        if (image->job == job && image->parked != parked &&
            (!found || (parked ? image->left > found->left : image->left < found->left)))
            found = image;
    }
    assert(found);
    found->parked = parked;
    p->n_busy += parked ? -1 : 1;
    p->n_looks += p->n_images;
}

static void begin_image(struct player *p, struct job *job)
{
    int i = 0, done = job->queued.n_started <= job->told.n_begun ? job->told.done : 0;

    while (p->images[i].job)
        i++;
    p->images[i] = (struct image){.job = job, .left = job->told.evaluations - done};
    p->n_images = i < p->n_images ? p->n_images : i + 1;
    p->n_busy++;
    p->n_looks += i + 1;
}

int player_begin(struct player *p)
{
    struct queue_job *queued;
    struct job *job;
    bool parked;

    for (;;) {
        if (p->n_busy == p->n_lanes) {
            queued = queue_park(&p->queue);
            if (!queued)
                return -1;
            set_parked(p, queued->owner, true);
        }
        queued = queue_take(&p->queue, &parked);
        if (!queued)
            return -1;
        job = queued->owner;
        if (!parked) {
            begin_image(p, job);
            return (int)(job - p->jobs);
        }
        set_parked(p, job, false);
    }
}

int player_busy(const struct player *p)
{
    return p->n_busy;
}

int player_until_end(struct player *p)
{
    int least = INT_MAX;

    for (int i = 0; i < p->n_images; i++)
        if (is_busy(&p->images[i]) && p->images[i].left < least)
            least = p->images[i].left;
    p->n_looks += p->n_images;
    return least;
}

void player_evaluate(struct player *p, int n)
{
    for (int i = 0; i < p->n_images; i++)
        if (is_busy(&p->images[i]))
            p->images[i].left -= n;
    p->n_looks += p->n_images;
    p->next = 0;
}

int player_end(struct player *p)
{
    while (p->next < p->n_images) {
        struct image *image = &p->images[p->next++];
        struct job *job = image->job;

        if (!job || image->left > 0)
            continue;
        *image = (struct image){.job = NULL};
        p->n_busy--;
        queue_finish(&p->queue, &job->queued);
        return (int)(job - p->jobs);
    }
    return -1;
}

long long player_looks(const struct player *p)
{
    return p->n_looks;
}
