#include "server/kept_pictures.h"

#include "api/permalink.h"
#include "api/response.h"
#include "server/picture_cache.h"
#include "server/shared_bytes.h"

#include <stdlib.h>

struct kept_pictures {
    int n;
    struct kept_picture {
        uint8_t key[PERMALINK_KEY_BYTES];
        uint8_t *png; /* owned */
        size_t size;
    } pictures[];
};

struct kept_pictures *kept_pictures_make(const struct samples_response *images)
{
    struct kept_pictures *k;
    struct kept_picture *picture;

    if (images->restoration)
        return NULL;
    k = calloc(1, sizeof(*k) + (size_t)images->n * sizeof(k->pictures[0]));
    for (int i = 0; k && i < images->n; i++) {
        if (images->nfe_done && images->nfe_done[i] < images->nfe)
            continue;
        picture = &k->pictures[k->n];
        permalink_key(images, i, picture->key);
        k->n += samples_response_png(images, i, &picture->png, &picture->size, NULL) == 0;
    }
    return k;
}

void kept_pictures_put(struct kept_pictures *k, struct picture_cache *cache)
{
    struct shared_bytes *png;

    for (int i = 0; k && i < k->n; i++) {
        png = shared_bytes_create(k->pictures[i].png, k->pictures[i].size);
        k->pictures[i].png = NULL;
        if (png)
            picture_cache_put(cache, k->pictures[i].key, png);
        shared_bytes_release(png);
    }
    kept_pictures_destroy(k);
}

void kept_pictures_destroy(struct kept_pictures *k)
{
    for (int i = 0; k && i < k->n; i++)
        free(k->pictures[i].png);
    free(k);
}
