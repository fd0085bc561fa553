/* What batches are made of: for batches.c and batch_*.c alone.
 *
 * Thread: loop.
 */
#ifndef SERVER_BATCH_PARTS_H
#define SERVER_BATCH_PARTS_H

#include "api/job_status.h"
#include "api/problem.h"
#include "model/sampling.h"
#include "server/batch_previews.h"
#include "server/batches.h"
#include "server/job_store.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct restoration;
struct restoring;
struct shared_bytes;
struct webhooks;

/* In memory as long as it is drawn here, or somebody waits for it; batch_settle() looks. */
struct batch {
    struct batches *all;
    struct batch *next; /* oldest first */
    enum job_state state;
    struct job_record record;      /* as it is in the store, or on its way there */
    struct samples_response order; /* its strings are the record's, or constant */
    struct sampling_choice sampling;
    struct engine_model *model; /* of one that is drawn here */
    struct key *key;            /* for which it counts as long as it is held; NULL: none */
    struct problem problem;
    int n_stored; /* images that are done for good: those of record.n_done that the store has */
    bool stored;  /* taken on */
    bool held;    /* drawn here */
    bool ending;  /* its end is decided, and perhaps on its way to the store */
    uint64_t begun_ns;
    int n_ops, n_writes; /* under way in the store, and those of them that write how far it is */
    struct piece *piece; /* that is drawn; NULL: none */
    struct restoring *restoring;     /* makes ... */
    struct restoration *restoration; /* ... what leads the next piece; NULL: none */
    struct waiter *waiters;
};

struct batches {
    struct daemon *daemon;
    struct job_store *store;
    bool durable; /* they outlive the daemon */
    struct batch *first;
    int n_held;
    uint64_t n_leases_lost;
    bool begun, stopped, released;
    bool claims, wants_claim; /* one is under way, one is due */
    struct {
        struct job_record *records; /* owned */
        int n, i;                   /* those from i on are to be taken up */
    } claimed;
    bool sweeps, holds; /* are under way */
    int looks;
    struct webhooks *webhooks; /* NULL: none are sent */
    uv_timer_t *timer;         /* closes by itself */
};

/* batches.c */
struct batch *batch_in_memory(const struct batches *all, const char *id); /* or NULL */
struct batch *batch_create(struct batches *all); /* or NULL; in the table */
void batch_settle(struct batch *b);              /* frees it where nobody needs it */
void batches_claim_soon(struct batches *all);

/* All but the pixels; strings are those of the record. */
void batch_describe_record(const struct job_record *r, struct samples_response *out);

/* What is told of one in the store; problem: where what went wrong is put. */
void batch_describe_stored(const struct batches *all, const struct job_record *r,
                           struct problem *problem, struct job_status *out);

/* batch_webhooks.c: tells clients of the ends of their jobs. w NULL: nobody is told. */
struct webhooks_stats {
    uint64_t delivered, failed, given_up; /* failed: tries */
};
int webhooks_create(struct batches *all, struct webhooks **out, struct error *err);
void webhooks_destroy(struct webhooks *w);
void webhooks_look(struct webhooks *w); /* with every look */
void webhooks_soon(struct webhooks *w); /* one may be due */
bool webhooks_idle(const struct webhooks *w);
void webhooks_count_given_up(struct webhooks *w, int n); /* by the store, for their age */
void webhooks_stats(const struct webhooks *w, struct webhooks_stats *out);

/* batch_records.c: what the store knows of a batch. */

/* Hands it over; the batch stays until its done(), which begins with batch_came_back(). */
void batch_submit(struct batch *b, struct job_op *op);
struct batch *batch_came_back(struct job_op *op);
/* Ends it, in the store first; problem NULL: none. */
void batch_end(struct batch *b, enum job_state state, const struct problem *problem);
/* Writes how far it is, with pictures of the last ones: holds them. */
void batch_write(struct batch *b, struct shared_bytes *const *pictures, int n_pictures);
/* What is found of it in the store; tells who waits. */
void batch_learn(struct batch *b, const struct job_record *found);
/* The batch of a record, in memory from now on; NULL without memory. */
struct batch *batch_of_record(struct batches *all, const struct job_record *found);
/* Draws it from now on: the store says that this daemon holds it. */
void batch_take_up(struct batch *b);
/* Asks the store about one that is drawn elsewhere. */
void batch_refresh(struct batch *b);
/* Draws it no more. */
void batch_let_go(struct batch *b);
/* The model that draws what the record says, by its digest; NULL: there is none here. */
struct engine_model *batch_find_model(const struct batches *all, const struct job_record *r,
                                      struct sampling_choice *sampling);

/* batch_drawing.c: the next piece, or its end; nothing where a piece is drawn. */
void batch_go_on(struct batch *b);
/* The evaluations of the piece that is drawn. */
int batch_piece_steps(const struct batch *b);
/* What it looks like; n 0: none is drawn. */
void batch_piece_describe(const struct batch *b, struct batch_previews_piece *out);
/* Its lanes are free within a tick. */
void batch_drop_piece(struct batch *b);

/* batch_restoring.c: makes what leads images of a record that restores, of its source in the store. Calls then() once,
 * later: r is the receiver's, or NULL with the reason, 404, 500 or 503. m is held meanwhile. NULL: out of memory. */
struct restoring *restoring_begin(
    struct batches *all, const struct job_record *record, struct engine_model *m,
    void (*then)(void *arg, struct restoration *r, const struct problem *problem), void *arg);
void restoring_drop(struct restoring *r); /* then() is not called any more; NULL is fine */

/* batch_waiters.c */
enum batch_waiting { WAITS_FOR_BEGINNING, WAITS_FOR_END, WATCHES };
/* False without memory: answered. */
bool batch_wait(struct batch *b, struct exchange *x, enum batch_waiting kind);
/* 202 to who waits for it: the status of another that is the same, or its own. */
void batch_tell_beginning(struct batch *b, const struct batch *same);
void batch_tell_progress(struct batch *b);
void batch_tell_end(struct batch *b);
void batch_tell_problem(struct batch *b, const struct problem *problem); /* to all but watchers */
void batch_tell_stop(struct batch *b); /* ends streams without a word: they can be taken up again */
void batch_ping(struct batch *b);

#endif
