/* What batches are made of: for batches.c and batch_*.c alone.
 *
 * Thread: loop.
 */
#ifndef SERVER_BATCH_PARTS_H
#define SERVER_BATCH_PARTS_H

#include "api/job_status.h"
#include "api/problem.h"
#include "model/sampling.h"
#include "server/batches.h"
#include "server/job_store.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct batch {
    struct batches *all;
    struct batch *next; /* oldest first */
    enum job_state state;
    struct job_record record;      /* all that is on the disk, but for the state to come */
    struct samples_response order; /* its strings are the record's, or constant */
    struct sampling_choice sampling;
    struct engine_model *model; /* held until it ends; NULL: it has */
    struct key *key;            /* for which it counts until then; NULL: none */
    struct problem problem;
    bool stored;            /* taken on */
    bool ending;            /* its end is decided, and perhaps on its way to the disk */
    enum job_state to_come; /* then */
    uint64_t begun_ns, ended_ns;
    struct piece *piece; /* that is drawn; NULL: none */
    struct waiter *waiters;
};

/* One that is forgotten. */
struct batch_gone {
    char id[JOB_ID_BYTES], owner[SETTINGS_NAME_BYTES + 1];
};

struct batches {
    struct daemon *daemon;
    struct job_store *store; /* NULL: nothing outlives the daemon */
    struct batch *first;
    int n_waiting, n_ended; /* not ended, and ended */
    struct batch_gone gone[BATCHES_KEPT_MAX];
    int n_gone;
    int looks;
    bool stopped;
    uv_timer_t *timer; /* closes by itself */
};

/* batches.c: ends it, on the disk first; problem NULL: none. */
void batch_end(struct batch *b, enum job_state state, const struct problem *problem);
/* Writes how far it is, whenever that succeeds. */
void batch_write(struct batch *b);

/* All but the pixels; strings are those of the record. */
void batch_describe_record(const struct job_record *r, struct samples_response *out);
/* The model that draws what the record says, by its digest; NULL: there is none here. */
struct engine_model *batch_find_model(const struct batches *all, const struct job_record *r,
                                      struct sampling_choice *sampling);

/* batch_finding.c: the one that a client began with the same Idempotency-Key; NULL: none, or key is. */
struct batch *batch_find_again(const struct batches *all, const char *key, const struct key *owner);
/* It is forgotten, but that it was there. */
void batch_remember(struct batches *all, const struct job_record *r);

/* batch_drawing.c: the next piece, or its end; nothing where a piece is drawn. */
void batch_go_on(struct batch *b);
/* The evaluations of the piece that is drawn. */
int batch_piece_steps(const struct batch *b);
/* Its lanes are free within a tick. */
void batch_drop_piece(struct batch *b);

/* batch_waiters.c */
enum batch_waiting { WAITS_FOR_BEGINNING, WAITS_FOR_END, WATCHES };
/* False without memory: answered. */
bool batch_wait(struct batch *b, struct exchange *x, enum batch_waiting kind);
void batch_tell_beginning(struct batch *b); /* 202 to who waits for it */
void batch_tell_progress(struct batch *b);
void batch_tell_end(struct batch *b);
void batch_tell_problem(struct batch *b, const struct problem *problem); /* to all but watchers */
void batch_tell_stop(struct batch *b); /* ends streams without a word: they can be taken up again */
void batch_ping(struct batch *b);

#endif
