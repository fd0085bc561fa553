/* Batches: what clients call jobs. Many images that are drawn while nobody waits for them.
 *
 *     queued -> in_progress -> completed | failed | cancelled -> forgotten
 *
 * With a folder for state (server/job_store.h) a batch is on the disk before it is told to be taken on,
 * and so is its end before it is told: each ends once, whatever happens to the daemon. One that has not
 * ended goes on with the next start, from the last piece that was written; where its model is no more
 * it fails. Work may be done twice.
 *
 * A batch is drawn in pieces through the same queue as everything else, so that single images come
 * between. Images are not kept but drawn again from their settings, by their permalink, and stay in
 * the cache as long as that has room. A batch holds its model until it ends. Those that have ended
 * are told about for BATCHES_KEPT_MS, and then that they are gone.
 *
 * Thread: loop.
 */
#ifndef SERVER_BATCHES_H
#define SERVER_BATCHES_H

#include "api/job_status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct batch;
struct batches;
struct daemon;
struct error;
struct exchange;
struct key;
struct problem;
struct selection;

enum {
    BATCHES_MAX = 64,         /* that have not ended */
    BATCHES_KEPT_MAX = 1024,  /* that have; the oldest go first */
    BATCHES_KEPT_MS = 600000, /* at most */
};

/* d: borrowed. 0, -ENOMEM, or what job_store_open() returns. */
int batches_create(struct daemon *d, struct batches **out, struct error *err);
void batches_destroy(struct batches *all); /* batches_idle() must hold; NULL is fine */

/* The models are there: goes on with what is on the disk. 0 or -EIO. */
int batches_begin(struct batches *all, struct error *err);

/* Begins one, and answers the exchange when it is taken on, or why not: 422 where the key has another
 * body, 503. key: of the client for this request, or NULL; a batch of the same key and body is found
 * again. Headers that the exchange has are those of a success. */
void batches_add(struct batches *all, const struct selection *chosen, const char *key,
                 const char *body, size_t body_size, struct exchange *x);

/* Of those that reader (server/keys.h) began; NULL: there are no keys, and it may see all. NULL, with a
 * 404 or, where there was one, a 410. */
struct batch *batches_find(struct batches *all, const char *id, const struct key *reader,
                           struct problem *problem);

/* The newest of those, limit of them at most, newest first; after: an id, those that are older than it;
 * NULL: all. more: there are older ones. out: limit of them. The number, or -EINVAL with a 422. */
int batches_list(const struct batches *all, const struct key *reader, const char *after, int limit,
                 struct job_status *out, bool *more, struct problem *problem);

void batch_describe(const struct batch *b, struct job_status *out);

/* Frees its lanes, and answers the exchange when it has ended: 409 if otherwise. */
void batch_cancel(struct batch *b, struct exchange *x);

/* Answers with events until the batch ends: progress, and at last the name of its state. Nothing of
 * what a client knows by the step in Last-Event-ID, or NULL, is told again. */
void batch_watch(struct batch *b, struct exchange *x, const char *last_event_id);

/* Answers with a ZIP of all images that were drawn, or says why not: 404, 422, 503 as long as it has not
 * ended. */
void batch_archive(struct batch *b, struct exchange *x);

/* The daemon drains: what has not ended ends with its present piece, or waits for the next start. */
void batches_stop(struct batches *all);
bool batches_idle(const struct batches *all); /* all is written */

void batches_count(const struct batches *all, int *waiting, int *ended);

#endif
