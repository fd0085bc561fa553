/* Jobs on disk: what outlives the daemon, one SQLite file in the folder of --state-dir.
 *
 * A record is there when its done() is called, also if the machine loses power in that moment
 * (write-ahead log, synced with every commit). Records are written off the loop, in the order in which
 * they were handed over; all that wait go with one commit. Only one daemon may have the folder.
 *
 * Thread: loop.
 */
#ifndef SERVER_JOB_STORE_H
#define SERVER_JOB_STORE_H

#include "api/job_status.h"
#include "api/limits.h"
#include "config/settings.h"
#include "model/digest.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct error;
struct job_store;

enum { JOB_RECORD_KEY_BYTES = 129 };

struct job_record {
    char id[JOB_ID_BYTES];
    char owner[SETTINGS_NAME_BYTES + 1]; /* the key that began it (server/keys.h); "": none */
    char key[JOB_RECORD_KEY_BYTES];      /* Idempotency-Key; "": none */
    char body[DIGEST_TEXT];              /* digest of the request */
    char model[LIMITS_NAME_BYTES + 1];
    char checkpoint[DIGEST_TEXT]; /* digest */
    char corruption[LIMITS_NAME_BYTES + 1];
    char sampler[LIMITS_NAME_BYTES + 1];
    char determinism[LIMITS_NAME_BYTES + 1];
    enum job_state state;
    int nfe, n, n_done;
    uint64_t seed;
    int64_t created_s, ended_s; /* seconds since 1970; ended_s 0: it has not */
    int problem_status;         /* 0: none */
    char problem[512];
};

/* Opens or makes the file. 0, -EBUSY: another daemon has it, -EINVAL: it is none of ours, -EIO. */
int job_store_open(uv_loop_t *loop, const char *folder, struct job_store **out, struct error *err);

/* Waits for nothing: job_store_idle() must hold. NULL is fine. */
void job_store_close(struct job_store *s);

/* Hands over every record in the order of their coming; blocks. 0 or -EIO. */
int job_store_read(struct job_store *s, void (*each)(void *arg, const struct job_record *record),
                   void *arg, struct error *err);

/* Writes a record in the place of the one with its id. done may be NULL; rc 0 or -EIO, which is
 * logged. 0, or -ENOMEM: done is not called. */
int job_store_write(struct job_store *s, const struct job_record *record,
                    void (*done)(void *arg, int rc), void *arg);

/* Drops one, some time. */
void job_store_drop(struct job_store *s, const char *id);

/* Whether all is written. */
bool job_store_idle(const struct job_store *s);

#endif
