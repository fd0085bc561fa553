#include "server/keys.h"

#include "api/bearer.h"
#include "api/problem.h"
#include "config/key_file.h"
#include "engine/base/error.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((int)BEARER_DIGEST_BYTES == (int)KEY_DIGEST_BYTES, "both are SHA-256");

struct key {
    struct keys *all;
    struct key *next;
    struct key_entry entry;
    bool listed; /* in the file; else it goes with its last request */
    double left; /* images that it may draw, rate at most; below 0: owed */
    uint64_t filled_ns;
    int n_requests, n_drawing;
    uint64_t n_admitted, n_refused_rate, n_refused_concurrent;
};

struct keys {
    char path[SETTINGS_PATH_BYTES];
    struct key *first;
    uint64_t n_unknown;
};

static void drop_unlisted(struct keys *all)
{
    struct key **link = &all->first, *key;

    while ((key = *link)) {
        if (key->listed || key->n_requests > 0) {
            link = &key->next;
            continue;
        }
        *link = key->next;
        free(key);
    }
}

static struct key *find_name(const struct keys *all, const char *name)
{
    struct key *key = all->first;

    while (key && strcmp(key->entry.name, name) != 0)
        key = key->next;
    return key;
}

/* Makes room for those that are new, so that nothing can fail afterwards. */
static int add_new(struct keys *all, const struct key_entry *entries, int n, struct error *err)
{
    struct key *key;

    for (int i = 0; i < n; i++) {
        if (find_name(all, entries[i].name))
            continue;
        key = calloc(1, sizeof(*key));
        if (!key) {
            drop_unlisted(all);
            return error_set(err, -ENOMEM, "out of memory reading keys");
        }
        key->all = all;
        key->entry = entries[i];
        key->left = entries[i].rate;
        key->next = all->first;
        all->first = key;
    }
    return 0;
}

int keys_reload(struct keys *all, struct error *err)
{
    struct key_entry *entries = NULL;
    struct key *key;
    int n = 0, rc;

    if (!*all->path)
        return 0;
    rc = key_file_read(all->path, &entries, &n, err);
    if (rc == 0)
        rc = add_new(all, entries, n, err);
    if (rc == 0) {
        for (key = all->first; key; key = key->next)
            key->listed = false;
        for (int i = 0; i < n; i++) {
            key = find_name(all, entries[i].name);
            key->entry = entries[i];
            key->listed = true;
        }
        drop_unlisted(all);
    }
    free(entries);
    return rc;
}

int keys_create(const char *path, struct keys **out, struct error *err)
{
    struct keys *all = calloc(1, sizeof(*all));
    int rc;

    if (!all)
        return error_set(err, -ENOMEM, "out of memory");
    snprintf(all->path, sizeof(all->path), "%s", path);
    rc = keys_reload(all, err);
    if (rc < 0)
        keys_destroy(all);
    else
        *out = all;
    return rc;
}

void keys_destroy(struct keys *all)
{
    struct key *next;

    for (struct key *key = all ? all->first : NULL; key; key = next) {
        next = key->next;
        free(key);
    }
    free(all);
}

/* Looks at every byte of every key, whatever it finds: how long it takes tells nothing. */
static struct key *find_digest(const struct keys *all, const uint8_t digest[KEY_DIGEST_BYTES])
{
    struct key *found = NULL;

    for (struct key *key = all->first; key; key = key->next) {
        volatile uint8_t differs = 0;

        for (int i = 0; i < KEY_DIGEST_BYTES; i++)
            differs |= key->entry.digest[i] ^ digest[i];
        if (!differs && key->listed)
            found = key;
    }
    return found;
}

static void refill(struct key *key, uint64_t now_ns)
{
    const struct key_entry *e = &key->entry;
    double seconds = (double)(now_ns - key->filled_ns) / 1e9;

    key->left = fmin(e->rate, key->left + seconds * e->rate / e->period_s);
    key->filled_ns = now_ns;
}

int keys_charge(struct key *key, int n, uint64_t now_ns, struct problem *problem)
{
    const struct key_entry *e;

    if (!key || key->entry.rate == 0)
        return 0;
    e = &key->entry;
    refill(key, now_ns);
    if (key->left < 1) {
        key->n_refused_rate++;
        problem->retry_after_s = (int)ceil((1 - key->left) * e->period_s / e->rate);
        return problem_set(problem, 429, "your key may draw %d images in %d s", e->rate,
                           e->period_s);
    }
    key->left -= n;
    return 0;
}

void keys_refund(struct key *key, int n)
{
    if (key && key->entry.rate > 0)
        key->left = fmin(key->entry.rate, key->left + n);
}

int keys_enter(struct keys *all, const char *authorization, bool draws, struct key **out,
               struct problem *problem)
{
    uint8_t digest[KEY_DIGEST_BYTES];
    struct key *key = NULL;

    *out = NULL;
    if (!*all->path)
        return 0;
    if (bearer_digest(authorization, digest) == 0)
        key = find_digest(all, digest);
    if (!key) {
        all->n_unknown++;
        return problem_set(problem, 401, "%s",
                           authorization ? "this key is not known here"
                                         : "a key is needed, as Authorization: Bearer KEY");
    }
    if (draws && key->entry.concurrent > 0 && key->n_drawing >= key->entry.concurrent) {
        key->n_refused_concurrent++;
        return problem_set(problem, 429,
                           "your key may draw for %d requests at a time; wait for one of them to "
                           "end",
                           key->entry.concurrent);
    }
    key->n_admitted++;
    key->n_requests++;
    key->n_drawing += draws;
    *out = key;
    return 0;
}

void keys_stay(struct key *key)
{
    if (!key)
        return;
    key->n_requests++;
    key->n_drawing++;
}

void keys_leave(struct key *key, bool draws)
{
    if (!key)
        return;
    key->n_requests--;
    key->n_drawing -= draws;
    if (!key->listed)
        drop_unlisted(key->all);
}

const char *key_name(const struct key *key)
{
    return key->entry.name;
}

struct key *keys_find(const struct keys *all, const char *name)
{
    struct key *key = find_name(all, name);

    return key && key->listed ? key : NULL;
}

void keys_write_metrics(const struct keys *all, FILE *out)
{
    if (!*all->path)
        return;
    fputs("# HELP softdiff_key_requests_total Requests by key: admitted, or refused by its "
          "limits, of which the rate is looked at last.\n# TYPE softdiff_key_requests_total "
          "counter\n",
          out);
    for (const struct key *key = all->first; key; key = key->next) {
        const char *name = key->entry.name;

        fprintf(out,
                "softdiff_key_requests_total{key=\"%s\",outcome=\"admitted\"} %" PRIu64 "\n"
                "softdiff_key_requests_total{key=\"%s\",outcome=\"rate\"} %" PRIu64 "\n"
                "softdiff_key_requests_total{key=\"%s\",outcome=\"concurrency\"} %" PRIu64 "\n",
                name, key->n_admitted, name, key->n_refused_rate, name, key->n_refused_concurrent);
    }
    fprintf(out,
            "# HELP softdiff_unauthorized_requests_total Requests without a key that is known.\n"
            "# TYPE softdiff_unauthorized_requests_total counter\n"
            "softdiff_unauthorized_requests_total %" PRIu64 "\n",
            all->n_unknown);
}
