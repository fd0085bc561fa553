/* What the store's thread does: from things to be done to statements. For job_store.c alone.
 *
 * Thread: the store's.
 */
#ifndef SERVER_JOB_WORK_H
#define SERVER_JOB_WORK_H

#include "server/job_database.h"
#include "server/job_store.h"

struct job_work {
    struct job_database *db;
    char holder[JOB_HOLDER_BYTES];
    int lease_ms, kept_ms, waiting_max, webhook_ms;
    int64_t picture_bytes_max, source_bytes_max;
    uint64_t up_ns; /* since when the database has been reached; 0: it is not */
};

/* Does all of a list in one commit, and sets what comes of each. 0, or -EIO: none is done. */
int job_work_run(struct job_work *w, struct job_op *list);

#endif
