/* What is stored of a job, and its columns in a database.
 *
 * Thread: any.
 */
#ifndef SERVER_JOB_RECORD_H
#define SERVER_JOB_RECORD_H

#include "api/job_status.h"
#include "api/limits.h"
#include "config/settings.h"
#include "model/digest.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    JOB_RECORD_KEY_BYTES = 129,
    JOB_HOLDER_BYTES = 33,
    JOB_TEXT_BYTES = 512, /* of any column */
    JOB_COLUMNS = 30,
    JOB_COLUMN_TEXTS = 13, /* the first of them; the others are numbers */
};

enum { WEBHOOK_DELIVERED = -1, WEBHOOK_GIVEN_UP = -2 };

/* Their names in the order of their numbers, for statements. */
#define JOB_COLUMN_LIST                                                                     \
    "id, owner, key, body, model, checkpoint, corruption, sampler, determinism, holder, "   \
    "problem, webhook, restoration, state, nfe, n, n_done, seed, created_s, ended_s, "      \
    "problem_status, "                                                                      \
    "picture_bytes, seed_b, mix, source_bytes, webhook_ms, webhook_tries, webhook_status, " \
    "label, guidance"

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
    char holder[JOB_HOLDER_BYTES]; /* the daemon that draws it; "": none */
    char problem[JOB_TEXT_BYTES];
    char webhook[LIMITS_WEBHOOK_BYTES + 1]; /* told of its end; "": nobody is */
    struct response_restoration restored;   /* degradation NULL: it restores nothing */
    enum job_state state;
    int nfe, n, n_done;
    uint64_t seed, seed_b;
    int mix;                    /* millionths of seed_b; 0: there is none */
    int label, guidance;        /* as server/drawing.h has them */
    int64_t created_s, ended_s; /* seconds since 1970; ended_s 0: it has not */
    int problem_status;         /* 0: none */
    int64_t picture_bytes;      /* of its images in the store; -1: they had to go */
    /* When the webhook is due, in ms since 1970; 0: it has not ended; or one of those below. */
    int64_t webhook_ms;
    int webhook_tries, webhook_status; /* of the last answer; 0: there was none */
    int64_t source_bytes;              /* of what it restores, likewise */
};

/* A column as text, and back; what is too long is cut. */
void job_record_text(const struct job_record *r, int column, char out[JOB_TEXT_BYTES]);
int64_t job_record_number(const struct job_record *r, int column); /* of one that is a number */
void job_record_set(struct job_record *r, int column, const char *text);

#endif
