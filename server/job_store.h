/* Where jobs are kept: what outlives a request, and with a folder or a server the daemon, too.
 *
 * One set of statements (server/job_sql.h) in one of two databases: SQLite, in a file of --state-dir or in
 * memory, which this daemon has alone; or the PostgreSQL server of --job-store, which several daemons share.
 * There a job is held by the daemon that draws it, for a lease that is renewed; when that ends, others may take
 * it up. What was committed is there when done() is called. Each job ends once: a change by someone who does not
 * hold it any more changes nothing and gives back what there is.
 *
 * All is done on a thread of its own, in the order in which it was handed over; what waits there goes with one
 * commit. So nobody else waits for a disk or a server.
 *
 * Thread: loop.
 */
#ifndef SERVER_JOB_STORE_H
#define SERVER_JOB_STORE_H

#include "server/job_record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct error;
struct job_store;
struct shared_bytes;

enum job_op_kind {
    /* record: new, with pictures[0] what it restores. rc -EEXIST: its owner's key has another one, which is found;
     * -ENOSPC: too many jobs wait, or too many bytes. */
    JOB_ADD,
    /* record.id; or record.owner and key, where id is "". rc -ENOENT; -ESTALE: there was one of this owner, ""
     * for any. */
    JOB_FIND,
    /* Up to `most` jobs of record.owner, "" for all, that are older than record.id, "" for the newest; newest
     * first. rc -ENOENT: there is no such id among them. */
    JOB_LIST,
    /* record: of a job that this daemon holds, its state, how far it is, its problem; with pictures from image
     * `first`. rc -ENOENT; -ESTALE: it is held by another or has ended, and is found. */
    JOB_CHANGE,
    /* record.id, record.ended_s: whoever holds it. rc -ENOENT; -ESTALE: it has ended, and is found. */
    JOB_CANCEL,
    /* Takes up to `most` jobs that nobody holds, with one of these `checkpoints`, at most record.nfe, and, unless
     * nobody else wants them, with record.determinism where they are half drawn; finds them. */
    JOB_CLAIM,
    /* Renews the lease of all that it holds, and finds their ids; `checkpoints`: that it serves. */
    JOB_HOLD,
    /* Lets go of all. */
    JOB_RELEASE,
    /* Image `first` of record.id, as bytes. rc -ENOENT. */
    JOB_PICTURE,
    /* What record.id restores, as bytes. rc -ENOENT: it had to go. */
    JOB_SOURCE,
    /* Takes up to `most` jobs whose webhook is due, for lease_ms, and finds them. first: all that wait are due, unless
     * others share the store. */
    JOB_WEBHOOK_CLAIM,
    /* What came of it: record.id, webhook_tries, webhook_status, and in webhook_ms how long to wait for the next,
     * WEBHOOK_DELIVERED or WEBHOOK_GIVEN_UP. */
    JOB_WEBHOOK_DONE,
    /* Forgets what is old, and counts the rest. */
    JOB_SWEEP,
};

enum { JOB_OP_PICTURES_MAX = 16 };

/* Something to be done. The store frees it after done(). */
struct job_op {
    enum job_op_kind kind;
    struct job_record record;
    int first, most, lease_ms;
    struct shared_bytes *pictures[JOB_OP_PICTURES_MAX]; /* released with it */
    int n_pictures;
    const char *checkpoints; /* digests with spaces between, or "*" for any; freed with it */
    void (*done)(struct job_op *op);
    void *arg;

    int rc;                   /* also -EIO: the database does not do it, which is logged */
    struct job_record *found; /* [n_found] */
    int n_found;
    uint8_t *bytes; /* NULL it to keep it */
    size_t size;
    int waiting, ended, webhooks, given_up; /* of JOB_SWEEP; given_up: webhooks, by it */
    int64_t picture_bytes, source_bytes;
    struct job_op *next;
};

struct job_store_options {
    uv_loop_t *loop;
    const char *folder;        /* of the file; "": it is in memory; not used with a url */
    const char *url;           /* of a PostgreSQL server; "": none */
    int lease_ms;              /* after which a job that was not renewed may be taken up */
    int kept_ms;               /* that ended jobs are known */
    int64_t picture_bytes_max; /* 0: none are kept */
    int64_t source_bytes_max;  /* of what jobs restore; those that have ended make room */
    int waiting_max;           /* jobs that have not ended */
    int webhook_ms;            /* that webhooks are tried for after the end */
    /* On the loop: a job that another daemon has changed, or "" where there is one to take up. */
    void (*news)(void *arg, const char *id);
    void *arg;
};

/* 0, -EBUSY: another daemon has the folder, -EINVAL: it is none of ours or no URL, -ENOTSUP, -ENOMEM, -EIO. A
 * server need not be there yet. */
int job_store_open(const struct job_store_options *options, struct job_store **out,
                   struct error *err);

/* What has not been done is not done any more, and nobody told. NULL is fine. */
void job_store_close(struct job_store *s);

/* NULL without memory. */
struct job_op *job_op_create(enum job_op_kind kind, void (*done)(struct job_op *op), void *arg);
void job_op_destroy(struct job_op *op); /* one that was not handed over; NULL is fine */

/* Takes op. JOB_CHANGE is tried until it is done or undone by others; the others fail with -EIO. */
void job_store_submit(struct job_store *s, struct job_op *op);

bool job_store_is_shared(const struct job_store *s);
const char *job_store_holder(const struct job_store *s); /* this daemon's name in it */
bool job_store_idle(struct job_store *s);                /* all is done, or cannot be done now */

struct job_store_stats {
    bool up; /* the last thing that was tried was done */
    uint64_t errors;
    int waiting, ended, webhooks; /* jobs, and webhooks that wait, when they were last counted */
    int64_t picture_bytes, source_bytes;
};

void job_store_stats(struct job_store *s, struct job_store_stats *out);

#endif
