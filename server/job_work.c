#include "server/job_work.h"

#include "server/shared_bytes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    GONE_MS = 86400000, /* that it is known of a job that there was one */
    GONE_MAX = 16384,
    ENDED_MAX = 16384,    /* jobs that have ended; the oldest go first */
    UNSERVED_LEASES = 40, /* after which a job that no daemon can draw has failed */
    ALWAYS_MS = 1000000,  /* of a database that nobody shares: what others held may be taken up */
};

static struct sql_value text(const char *value)
{
    return (struct sql_value){.kind = SQL_TEXT, .text = value};
}

static struct sql_value number(int64_t value)
{
    return (struct sql_value){.kind = SQL_NUMBER, .number = value};
}

static int run(const struct job_work *w, enum sql_statement statement,
               const struct sql_value *values, int n_values,
               void (*each)(void *arg, const struct sql_row *row), void *arg)
{
    return w->db->ops->run(w->db, statement, values, n_values, each, arg);
}

static int64_t lease(const struct job_work *w)
{
    return w->db->ops->shared ? w->lease_ms : -ALWAYS_MS;
}

/* To who shares the database. */
static int tell(const struct job_work *w, const char *id)
{
    struct sql_value value = text(id);

    return w->db->ops->shared ? run(w, SQL_TELL, &value, 1, NULL, NULL) : 0;
}

/* What is found */

static struct job_record *add_found(struct job_op *op)
{
    struct job_record *more = realloc(op->found, (size_t)(op->n_found + 1) * sizeof(*more));

    if (!more)
        return NULL;
    op->found = more;
    memset(&more[op->n_found], 0, sizeof(*more));
    return &more[op->n_found++];
}

static void read_record(void *arg, const struct sql_row *row)
{
    struct job_record *r = add_found(arg);

    for (int i = 0; r && i < JOB_COLUMNS; i++)
        job_record_set(r, i, row->cells[i]);
}

static void read_id(void *arg, const struct sql_row *row)
{
    struct job_record *r = add_found(arg);

    if (r)
        job_record_set(r, 0, row->cells[0]);
}

/* What could not be read for lack of memory must not be taken for what is not there. */
static int check_found(const struct job_op *op, int n)
{
    return n < 0 || op->n_found == n ? n : -EIO;
}

static int find(const struct job_work *w, struct job_op *op, enum sql_statement statement,
                const struct sql_value *values, int n_values)
{
    return check_found(op, run(w, statement, values, n_values, read_record, op));
}

/* One function per kind. Not negative, and op->rc tells what came of it; or -EIO. */

static struct sql_value bytes_of(const struct shared_bytes *b)
{
    return (struct sql_value){.kind = SQL_BYTES, .bytes = b->data, .size = b->size};
}

/* What a new job restores, for which those that have ended make room. */
static int add_source(const struct job_work *w, const struct job_op *op)
{
    const struct sql_value most = number(w->source_bytes_max);
    const struct sql_value values[] = {text(op->record.id), bytes_of(op->pictures[0])};
    int rc = run(w, SQL_SOURCE_ADD, values, 2, NULL, NULL);

    if (rc >= 0)
        rc = run(w, SQL_TRIM_SOURCES, &most, 1, NULL, NULL);
    if (rc > 0)
        rc = run(w, SQL_TRIM_SOURCES_NOTE, &most, 1, NULL, NULL);
    return rc < 0 ? rc : 0;
}

static int add_job(const struct job_work *w, struct job_op *op)
{
    const struct job_record *r = &op->record;
    char texts[JOB_COLUMN_TEXTS][JOB_TEXT_BYTES];
    struct sql_value values[SQL_VALUES_MAX];
    const struct sql_value same[] = {text(r->id), text(r->owner), text(r->key)};
    int n, rc = 0;

    for (int i = 0; i < JOB_COLUMNS; i++) {
        if (i < JOB_COLUMN_TEXTS)
            job_record_text(r, i, texts[i]);
        values[i] = i < JOB_COLUMN_TEXTS ? text(texts[i]) : number(job_record_number(r, i));
    }
    values[JOB_COLUMNS] = number(w->waiting_max);
    values[JOB_COLUMNS + 1] = number(*r->holder ? lease(w) : 0);
    values[JOB_COLUMNS + 2] = number(w->source_bytes_max);
    n = run(w, SQL_ADD, values, SQL_VALUES_MAX, NULL, NULL);
    if (n == 1 && op->n_pictures > 0)
        rc = add_source(w, op);
    if (rc < 0)
        return rc;
    if (n == 1)
        return *r->holder ? 0 : tell(w, "");
    if (n == 0)
        n = find(w, op, SQL_FIND_SAME, same, 3);
    if (n < 0)
        return n;
    if (n == 0)
        op->rc = -ENOSPC;
    else if (strcmp(op->found->id, r->id) != 0) /* else it was added, and that could not be told */
        op->rc = -EEXIST;
    return 0;
}

static int find_job(const struct job_work *w, struct job_op *op)
{
    const struct sql_value id = text(op->record.id);
    const struct sql_value key[] = {text(op->record.owner), text(op->record.key)};
    const struct sql_value gone[] = {text(op->record.id), text(op->record.owner)};
    int n;

    if (*op->record.id)
        n = find(w, op, SQL_FIND, &id, 1);
    else
        n = find(w, op, SQL_FIND_KEY, key, 2);
    if (n != 0)
        return n < 0 ? n : 0;
    n = *op->record.id ? run(w, SQL_FIND_GONE, gone, 2, NULL, NULL) : 0;
    op->rc = n > 0 ? -ESTALE : -ENOENT;
    return n < 0 ? n : 0;
}

static int list_jobs(const struct job_work *w, struct job_op *op)
{
    const struct sql_value id = text(op->record.id);
    const struct sql_value values[] = {text(op->record.owner), id, number(op->most)};
    bool seen;
    int n;

    if (*op->record.id) {
        n = find(w, op, SQL_FIND, &id, 1);
        seen = n > 0 && (!*op->record.owner || strcmp(op->found->owner, op->record.owner) == 0);
        op->n_found = 0;
        op->rc = seen ? 0 : -ENOENT;
        if (n < 0 || !seen)
            return n < 0 ? n : 0;
    }
    n = find(w, op, SQL_LIST, values, 3);
    return n < 0 ? n : 0;
}

/* A change that changed nothing: what there is now. */
static int find_other(const struct job_work *w, struct job_op *op)
{
    const struct sql_value id = text(op->record.id);
    int n = find(w, op, SQL_FIND, &id, 1);

    op->rc = n == 0 ? -ENOENT : -ESTALE;
    return n < 0 ? n : 0;
}

static int add_pictures(const struct job_work *w, const struct job_op *op)
{
    const struct sql_value most = number(w->picture_bytes_max);
    struct sql_value values[3] = {text(op->record.id)};
    int64_t bytes = 0;
    int rc = 0;

    for (int i = 0; i < op->n_pictures && rc >= 0; i++) {
        values[1] = number(op->first + i);
        values[2] = bytes_of(op->pictures[i]);
        rc = run(w, SQL_PICTURE_ADD, values, 3, NULL, NULL);
        bytes += rc > 0 ? (int64_t)op->pictures[i]->size : 0;
    }
    values[1] = number(bytes);
    if (rc >= 0)
        rc = run(w, SQL_PICTURE_BYTES, values, 2, NULL, NULL);
    if (rc >= 0)
        rc = run(w, SQL_TRIM, &most, 1, NULL, NULL);
    if (rc > 0)
        rc = run(w, SQL_TRIM_NOTE, &most, 1, NULL, NULL);
    return rc < 0 ? rc : 0;
}

static int change_job(const struct job_work *w, struct job_op *op)
{
    const struct job_record *r = &op->record;
    const struct sql_value values[] = {text(r->id),        text(w->holder),
                                       number(r->state),   number(r->n_done),
                                       number(r->ended_s), number(r->problem_status),
                                       text(r->problem),   number(lease(w))};
    int n = find(w, op, SQL_CHANGE, values, sizeof(values) / sizeof(values[0])), rc = 0;

    if (n <= 0)
        return n < 0 ? n : find_other(w, op);
    if (op->n_pictures > 0 && op->found->picture_bytes >= 0)
        rc = add_pictures(w, op);
    return rc < 0 ? rc : tell(w, r->id);
}

static int cancel_job(const struct job_work *w, struct job_op *op)
{
    const struct sql_value values[] = {text(op->record.id), number(op->record.ended_s)};
    int n = find(w, op, SQL_CANCEL, values, 2);

    if (n <= 0)
        return n < 0 ? n : find_other(w, op);
    return tell(w, op->record.id);
}

static int claim_jobs(const struct job_work *w, struct job_op *op)
{
    const struct sql_value values[] = {text(w->holder),        number(lease(w)),
                                       text(op->checkpoints),  text(op->record.determinism),
                                       number(op->record.nfe), number(op->most)};
    int n = find(w, op, SQL_CLAIM, values, sizeof(values) / sizeof(values[0]));
    struct sql_value id;

    for (int i = 0; i < op->n_found && n >= 0; i++) {
        id = text(op->found[i].id);
        if (op->found[i].n_done == 0)
            n = run(w, SQL_FORGET_DRAWN, &id, 1, NULL, NULL);
    }
    return n < 0 ? n : 0;
}

static int hold_jobs(const struct job_work *w, struct job_op *op)
{
    const struct sql_value values[] = {text(w->holder), number(w->lease_ms)};
    const struct sql_value here[] = {text(w->holder), text(op->checkpoints)};
    int n = check_found(op, run(w, SQL_HOLD, values, 2, read_id, op));

    if (n >= 0)
        n = run(w, SQL_TELL_DAEMON, here, 2, NULL, NULL);
    return n < 0 ? n : 0;
}

static int release_jobs(const struct job_work *w, struct job_op *op)
{
    const struct sql_value holder = text(w->holder);
    int n = run(w, SQL_RELEASE, &holder, 1, NULL, NULL);

    return n > 0 ? tell(w, "") : n;
}

static void read_bytes(void *arg, const struct sql_row *row)
{
    struct job_op *op = arg;

    op->bytes = malloc(row->sizes[0] > 0 ? row->sizes[0] : 1);
    op->size = row->sizes[0];
    if (op->bytes)
        memcpy(op->bytes, row->cells[0], op->size);
}

static int find_picture(const struct job_work *w, struct job_op *op)
{
    const struct sql_value values[] = {text(op->record.id), number(op->first)};
    int n = run(w, SQL_PICTURE_READ, values, 2, read_bytes, op);

    if (n >= 0 && !op->bytes)
        op->rc = -ENOENT;
    return n < 0 ? n : 0;
}

static int find_source(const struct job_work *w, struct job_op *op)
{
    const struct sql_value id = text(op->record.id);
    int n = run(w, SQL_SOURCE_READ, &id, 1, read_bytes, op);

    if (n == 0)
        op->rc = -ENOENT;
    return n > 0 && !op->bytes ? -EIO : n < 0 ? n : 0;
}

static int claim_webhooks(const struct job_work *w, struct job_op *op)
{
    const struct sql_value values[] = {number(op->lease_ms), number(op->most)};
    int n = op->first && !w->db->ops->shared ? run(w, SQL_WEBHOOK_AGAIN, NULL, 0, NULL, NULL) : 0;

    if (n >= 0)
        n = find(w, op, SQL_WEBHOOK_CLAIM, values, 2);
    return n < 0 ? n : 0;
}

static int note_webhook(const struct job_work *w, struct job_op *op)
{
    const struct sql_value values[] = {text(op->record.id), number(op->record.webhook_tries),
                                       number(op->record.webhook_status),
                                       number(op->record.webhook_ms)};
    int n = run(w, SQL_WEBHOOK_DONE, values, 4, NULL, NULL);

    return n < 0 ? n : 0;
}

static void read_counts(void *arg, const struct sql_row *row)
{
    struct job_op *op = arg;

    op->waiting = (int)strtol(row->cells[0], NULL, 10);
    op->ended = (int)strtol(row->cells[1], NULL, 10);
    op->picture_bytes = strtoll(row->cells[2], NULL, 10);
    op->source_bytes = strtoll(row->cells[3], NULL, 10);
    op->webhooks = (int)strtol(row->cells[4], NULL, 10);
}

/* Jobs whose model no daemon has, after a time in which any could have said that it has. */
static int fail_unserved(const struct job_work *w, struct job_op *op)
{
    int64_t age_ms = (int64_t)w->lease_ms * UNSERVED_LEASES;
    const struct sql_value values[] = {number(age_ms),
                                       text("no daemon serves the job's model any more")};
    int n;

    if (w->up_ns == 0 || (int64_t)((uv_hrtime() - w->up_ns) / 1000000) < age_ms)
        return 0;
    n = run(w, SQL_FORGET_DAEMONS, values, 1, NULL, NULL);
    if (n >= 0)
        n = check_found(op, run(w, SQL_FAIL_UNSERVED, values, 2, read_id, op));
    for (int i = 0; i < op->n_found && n >= 0; i++)
        n = tell(w, op->found[i].id);
    return n < 0 ? n : 0;
}

static int sweep(const struct job_work *w, struct job_op *op)
{
    const struct sql_value old[] = {number(w->kept_ms / 1000), number(ENDED_MAX)};
    const struct sql_value gone[] = {number(GONE_MS), number(GONE_MAX)};
    const struct sql_value told = number(w->webhook_ms / 1000);
    int rc = run(w, SQL_WEBHOOK_GIVE_UP, &told, 1, NULL, NULL);

    op->given_up = rc > 0 ? rc : 0;
    if (rc >= 0)
        rc = run(w, SQL_NOTE_GONE, old, 2, NULL, NULL);
    if (rc >= 0)
        rc = run(w, SQL_FORGET_JOBS, old, 2, NULL, NULL);
    if (rc >= 0)
        rc = run(w, SQL_FORGET_GONE, gone, 2, NULL, NULL);
    if (rc >= 0 && w->db->ops->shared)
        rc = fail_unserved(w, op);
    if (rc >= 0)
        rc = run(w, SQL_COUNT, NULL, 0, read_counts, op);
    return rc < 0 ? rc : 0;
}

static int do_one(const struct job_work *w, struct job_op *op)
{
    static int (*const kinds[])(const struct job_work *w, struct job_op *op) = {
        [JOB_ADD] = add_job,
        [JOB_FIND] = find_job,
        [JOB_LIST] = list_jobs,
        [JOB_CHANGE] = change_job,
        [JOB_CANCEL] = cancel_job,
        [JOB_CLAIM] = claim_jobs,
        [JOB_HOLD] = hold_jobs,
        [JOB_RELEASE] = release_jobs,
        [JOB_PICTURE] = find_picture,
        [JOB_SOURCE] = find_source,
        [JOB_SWEEP] = sweep,
        [JOB_WEBHOOK_CLAIM] = claim_webhooks,
        [JOB_WEBHOOK_DONE] = note_webhook,
    };

    int rc;

    free(op->found);
    free(op->bytes);
    op->found = NULL;
    op->n_found = 0;
    op->bytes = NULL;
    op->rc = 0;
    rc = kinds[op->kind](w, op);
    return rc < 0 ? rc : 0;
}

int job_work_run(struct job_work *w, struct job_op *list)
{
    int rc = w->db->ops->begin(w->db);

    if (rc < 0) {
        w->up_ns = 0;
        return rc;
    }
    if (w->up_ns == 0)
        w->up_ns = uv_hrtime();
    for (struct job_op *op = list; op && rc == 0; op = op->next)
        rc = do_one(w, op);
    if (rc == 0)
        rc = w->db->ops->commit(w->db);
    if (rc < 0)
        w->db->ops->undo(w->db);
    return rc;
}
