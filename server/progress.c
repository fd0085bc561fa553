#include "server/progress.h"

#include "model/generator.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct progress {
    pthread_mutex_t mutex;
    int n;
    size_t image_bytes;
    int evaluations; /* of all */
    int *done;       /* [n] */
    uint8_t *pixels; /* [n, 2, image_bytes]: x, predicted */
};

struct progress *progress_create(int n, size_t image_bytes)
{
    struct progress *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    pthread_mutex_init(&p->mutex, NULL);
    p->n = n;
    p->image_bytes = image_bytes;
    p->done = calloc((size_t)n, sizeof(*p->done));
    p->pixels = malloc((size_t)n * 2 * image_bytes);
    if (p->done && p->pixels)
        return p;
    progress_destroy(p);
    return NULL;
}

void progress_destroy(struct progress *p)
{
    if (!p)
        return;
    pthread_mutex_destroy(&p->mutex);
    free(p->done);
    free(p->pixels);
    free(p);
}

void progress_update(struct progress *p, int i, int n_done, const struct generator_image *image)
{
    uint8_t *to = p->pixels + (size_t)i * 2 * p->image_bytes;

    pthread_mutex_lock(&p->mutex);
    if (n_done > p->done[i]) {
        p->evaluations += n_done - p->done[i];
        p->done[i] = n_done;
        memcpy(to, image->pixels, p->image_bytes);
        memcpy(to + p->image_bytes, image->finished ? image->pixels : image->predicted,
               p->image_bytes);
    }
    pthread_mutex_unlock(&p->mutex);
}

int progress_evaluations(struct progress *p)
{
    int n;

    pthread_mutex_lock(&p->mutex);
    n = p->evaluations;
    pthread_mutex_unlock(&p->mutex);
    return n;
}

int progress_read(struct progress *p, int i, uint8_t *x, uint8_t *predicted)
{
    const uint8_t *from = p->pixels + (size_t)i * 2 * p->image_bytes;
    int n;

    pthread_mutex_lock(&p->mutex);
    n = p->done[i];
    if (n > 0 && x)
        memcpy(x, from, p->image_bytes);
    if (n > 0 && predicted)
        memcpy(predicted, from + p->image_bytes, p->image_bytes);
    pthread_mutex_unlock(&p->mutex);
    return n;
}
