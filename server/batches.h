/* Batches: what clients call jobs. Many images that are drawn while nobody waits for them.
 *
 *     queued -> in_progress -> completed | failed | cancelled -> forgotten
 *
 * All of them are in a store (server/job_store.h): a batch is there before it is told to be taken on, and so is
 * its end before that is told: each ends once, whatever happens to the daemon. In memory are those that this
 * daemon draws, and those that somebody waits for. With a folder or a server for the store they outlive the
 * daemon: one that has not ended goes on with the next start, from the last piece that was written. Several
 * daemons that share a server answer for each other's, and take up what one that has gone was drawing when its
 * lease has ended. Work may be done twice; of half drawn ones with another determinism id all is.
 *
 * A batch is drawn in pieces through the same queue as everything else, so that single images come
 * between. Its images are drawn again from their settings, by their permalink, and stay in the cache as long
 * as that has room; with --keep-results they are in the store as long as that has room. Those of a restoration have
 * no other address, and are drawn again from its picture, which the store has as long as it has room for it. A batch holds its model
 * while it is drawn. Those that have ended are told about for --keep-jobs, and then that they are gone.
 *
 * Thread: loop.
 */
#ifndef SERVER_BATCHES_H
#define SERVER_BATCHES_H

#include "api/job_status.h"
#include "server/job_store.h"

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
struct settings;

enum { BATCHES_HELD_MAX = 64 /* that are drawn at a time */ };

/* d: borrowed. 0, -ENOMEM, or what job_store_open() returns. */
int batches_create(struct daemon *d, struct batches **out, struct error *err);
void batches_destroy(struct batches *all); /* batches_idle() must hold; NULL is fine */

/* The models are there: goes on with what is in the store. */
void batches_begin(struct batches *all);

/* Begins one, and answers the exchange when it is taken on, or why not: 422 where the key has another
 * body, 503. key: of the client for this request, or NULL; body: its digest; a batch of the same key and body is
 * found again. Headers that the exchange has are those of a success. */
void batches_add(struct batches *all, const struct selection *chosen, const char *key,
                 const char *body, struct exchange *x);

/* Whether one of this key of the client, body and owner is waiting or drawn here. */
bool batches_draw(const struct batches *all, const char *key, const char *body,
                  const struct key *owner);

/* Whether a job of this key, NULL: none, may have its end told to this address, "": to none. 0, or -EINVAL with a
 * 422. */
int batches_check_webhook(const struct batches *all, const char *url, const struct key *key,
                          struct problem *problem);
bool batches_send_webhooks(const struct batches *all);
/* Whether their secrets can be read, as a start does. 0, or -errno. */
int batches_check_webhooks(const struct settings *s, struct error *err);
/* Reads the file of their secrets again; where it is bad they stay, which is logged. 0, or -EINVAL with a
 * 422, or a 503 where memory lacks. */
int batches_reload_webhooks(struct batches *all, struct problem *problem);

/* Calls then() with one that the exchange's key may see (server/keys.h), now or later, which answers or waits; or answers itself: 404, 410 where there was one,
 * 503 where the store cannot tell. The batch is valid within then() alone. */
void batches_find(struct batches *all, const char *id, struct exchange *x,
                  void (*then)(struct batch *b, struct exchange *x));

/* Answers with up to limit of those that the exchange's key may see, newest first; after: an id, only those that
 * are older than it, "": all. 422: there is no such id, 503. */
void batches_list(struct batches *all, const char *after, int limit, struct exchange *x);

void batch_describe(const struct batch *b, struct job_status *out);

/* Frees its lanes, and answers the exchange when it has ended: 409 if otherwise. */
void batch_cancel(struct batch *b, struct exchange *x);

/* Answers with events until the batch ends: progress, and at last the name of its state. Nothing of
 * what a client knows by the step in Last-Event-ID, or NULL, is told again. preview_every: evaluations
 * from one preview of an image to the next; 0: none. */
void batch_watch(struct batch *b, struct exchange *x, const char *last_event_id, int preview_every);

/* Answers with a ZIP of all images that were drawn, or says why not: 404, 422, 503 as long as it has not
 * ended. */
void batch_archive(struct batch *b, struct exchange *x);

/* Answers with image i, which is drawn: from the store where it is kept, or with its address; that of a
 * restoration drawn again where it has to be: 404, 500, 503, 504. */
void batch_picture(struct batch *b, int i, struct exchange *x);

/* The daemon drains: what has not ended ends with its present piece, or waits for the next start, or for
 * another daemon. */
void batches_stop(struct batches *all);
bool batches_idle(struct batches *all); /* all is written that can be */

struct batches_stats {
    struct job_store_stats store;
    int held;             /* drawn here */
    uint64_t leases_lost; /* that were drawn here, and taken up by another */
    uint64_t webhooks_delivered, webhooks_failed, webhooks_given_up; /* failed: tries */
};

void batches_stats(const struct batches *all, struct batches_stats *out);

#endif
