#include "server/picture_cache.h"

#include "api/permalink.h"
#include "engine/base/error.h"
#include "server/shared_bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 4096 };

struct entry {
    uint8_t key[PERMALINK_KEY_BYTES];
    struct shared_bytes *picture;
    struct entry *in_bucket;
    struct entry *newer, *older;
};

struct picture_cache {
    size_t bytes_max;
    struct picture_cache_stats stats;
    struct entry *newest, *oldest;
    struct entry *buckets[BUCKETS];
};

/* Keys are hashes already. */
static struct entry **bucket_of(struct picture_cache *c, const uint8_t *key)
{
    return &c->buckets[(key[0] | key[1] << 8) % BUCKETS];
}

static size_t cost(const struct shared_bytes *picture)
{
    return sizeof(struct entry) + sizeof(*picture) + picture->size;
}

static void unlink_age(struct picture_cache *c, struct entry *e)
{
    if (e->newer)
        e->newer->older = e->older;
    else
        c->newest = e->older;
    if (e->older)
        e->older->newer = e->newer;
    else
        c->oldest = e->newer;
}

static void link_newest(struct picture_cache *c, struct entry *e)
{
    e->newer = NULL;
    e->older = c->newest;
    if (c->newest)
        c->newest->newer = e;
    else
        c->oldest = e;
    c->newest = e;
}

static void drop(struct picture_cache *c, struct entry *e)
{
    struct entry **link = bucket_of(c, e->key);

    while (*link != e)
        link = &(*link)->in_bucket;
    *link = e->in_bucket;
    unlink_age(c, e);
    c->stats.bytes -= cost(e->picture);
    c->stats.n_pictures--;
    shared_bytes_release(e->picture);
    free(e);
}

static struct entry *find(struct picture_cache *c, const uint8_t *key)
{
    struct entry *e = *bucket_of(c, key);

    while (e && memcmp(e->key, key, sizeof(e->key)) != 0)
        e = e->in_bucket;
    return e;
}

struct shared_bytes *picture_cache_find(struct picture_cache *c, const uint8_t *key)
{
    struct entry *e = find(c, key);

    if (!e)
        return NULL;
    unlink_age(c, e);
    link_newest(c, e);
    return e->picture;
}

void picture_cache_put(struct picture_cache *c, const uint8_t *key, struct shared_bytes *picture)
{
    size_t bytes = cost(picture);
    struct entry **bucket = bucket_of(c, key), *e;

    if (bytes > c->bytes_max || find(c, key))
        return;
    e = calloc(1, sizeof(*e));
    if (!e)
        return;
    while (c->stats.bytes + bytes > c->bytes_max) {
        drop(c, c->oldest);
        c->stats.evictions++;
    }
    memcpy(e->key, key, sizeof(e->key));
    e->picture = shared_bytes_hold(picture);
    e->in_bucket = *bucket;
    *bucket = e;
    link_newest(c, e);
    c->stats.bytes += bytes;
    c->stats.n_pictures++;
}

void picture_cache_stats(const struct picture_cache *c, struct picture_cache_stats *out)
{
    *out = c->stats;
}

int picture_cache_create(size_t bytes_max, struct picture_cache **out, struct error *err)
{
    struct picture_cache *c = calloc(1, sizeof(*c));

    if (!c)
        return error_set(err, -ENOMEM, "out of memory for the cache of answers");
    c->bytes_max = bytes_max;
    *out = c;
    return 0;
}

void picture_cache_destroy(struct picture_cache *c)
{
    while (c && c->oldest)
        drop(c, c->oldest);
    free(c);
}
