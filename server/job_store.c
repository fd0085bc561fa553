#include "server/job_store.h"

#include "engine/base/error.h"
#include "engine/base/log.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char schema[] = "CREATE TABLE IF NOT EXISTS jobs ("
                             "id TEXT PRIMARY KEY, key TEXT, body TEXT, model TEXT, "
                             "checkpoint TEXT, corruption TEXT, sampler TEXT, determinism TEXT, "
                             "state INTEGER, nfe INTEGER, n INTEGER, n_done INTEGER, seed INTEGER, "
                             "created_s INTEGER, ended_s INTEGER, problem_status INTEGER, "
                             "problem TEXT, owner TEXT)";

/* What files of softdiff before it had owners lack. */
static const char new_column[] = "ALTER TABLE jobs ADD COLUMN owner TEXT";

static const char upsert[] =
    "INSERT INTO jobs VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,"
    "?14,?15,?16,?17,?18) ON CONFLICT(id) DO UPDATE SET state=?9, n_done=?12, "
    "determinism=?8, ended_s=?15, problem_status=?16, problem=?17";

static const char erase[] = "DELETE FROM jobs WHERE id=?1";

static const char list[] =
    "SELECT id, key, body, model, checkpoint, corruption, sampler, determinism, state, nfe, n, "
    "n_done, seed, created_s, ended_s, problem_status, problem, owner FROM jobs "
    "ORDER BY created_s, rowid";

/* Where the texts of a record lie, by column; numbers are in those between. */
static const struct {
    int column;
    size_t offset, size;
} texts[] = {
#define TEXT(column, name)                                                                \
    {                                                                                     \
        column, offsetof(struct job_record, name), sizeof(((struct job_record *)0)->name) \
    }
    TEXT(0, id),         TEXT(1, key),        TEXT(2, body),    TEXT(3, model),
    TEXT(4, checkpoint), TEXT(5, corruption), TEXT(6, sampler), TEXT(7, determinism),
    TEXT(16, problem),   TEXT(17, owner),
#undef TEXT
};

enum { N_TEXTS = sizeof(texts) / sizeof(texts[0]), NUMBER_COLUMN = 8 };

/* A record to be written, or to be dropped. */
struct change {
    struct job_record record;
    bool drop;
    void (*done)(void *arg, int rc);
    void *arg;
    struct change *next;
};

struct job_store {
    uv_loop_t *loop;
    sqlite3 *db;
    sqlite3_stmt *upsert, *erase;
    uv_work_t work;
    struct change *waiting, **waiting_end;
    struct change *writing; /* the pool's; NULL: none */
    int rc;                 /* of the commit */
};

static int complain(const struct job_store *s, int code, const char *what, struct error *err)
{
    return error_set(err, code, "could not %s: %s", what,
                     s->db ? sqlite3_errmsg(s->db) : "out of memory");
}

/* Writing, on the pool */

static void bind_record(sqlite3_stmt *statement, const struct job_record *r)
{
    const sqlite3_int64 numbers[] =
        {r->state,   r->nfe,           r->n, r->n_done, (sqlite3_int64)r->seed, r->created_s,
         r->ended_s, r->problem_status};

    for (int i = 0; i < N_TEXTS; i++)
        sqlite3_bind_text(statement, texts[i].column + 1, (const char *)r + texts[i].offset, -1,
                          SQLITE_STATIC);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        sqlite3_bind_int64(statement, NUMBER_COLUMN + 1 + (int)i, numbers[i]);
}

static int write_one(struct job_store *s, const struct change *c)
{
    sqlite3_stmt *statement = c->drop ? s->erase : s->upsert;
    int rc;

    if (c->drop)
        sqlite3_bind_text(statement, 1, c->record.id, -1, SQLITE_STATIC);
    else
        bind_record(statement, &c->record);
    rc = sqlite3_step(statement);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return rc == SQLITE_DONE ? 0 : -EIO;
}

static void write_all(uv_work_t *work)
{
    struct job_store *s = work->data;

    s->rc = sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK ? 0 : -EIO;
    for (struct change *c = s->writing; c && s->rc == 0; c = c->next)
        s->rc = write_one(s, c);
    if (s->rc == 0 && sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        s->rc = -EIO;
    if (s->rc == 0)
        return;
    log_write(LOG_ERROR, "event=job_store error=%s", LOG_TEXT(sqlite3_errmsg(s->db)));
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

/* The loop's side */

static void go_on(struct job_store *s);

static void on_written(uv_work_t *work, int status)
{
    struct job_store *s = work->data;
    struct change *c = s->writing, *next;

    s->writing = NULL;
    for (; c; c = next) {
        next = c->next;
        if (c->done)
            c->done(c->arg, s->rc);
        free(c);
    }
    go_on(s);
}

static void go_on(struct job_store *s)
{
    if (s->writing || !s->waiting)
        return;
    s->writing = s->waiting;
    s->waiting = NULL;
    s->waiting_end = &s->waiting;
    s->work.data = s;
    uv_queue_work(s->loop, &s->work, write_all, on_written);
}

static void add(struct job_store *s, struct change *c)
{
    *s->waiting_end = c;
    s->waiting_end = &c->next;
    go_on(s);
}

int job_store_write(struct job_store *s, const struct job_record *record,
                    void (*done)(void *arg, int rc), void *arg)
{
    struct change *c = calloc(1, sizeof(*c));

    if (!c)
        return -ENOMEM;
    c->record = *record;
    c->done = done;
    c->arg = arg;
    add(s, c);
    return 0;
}

void job_store_drop(struct job_store *s, const char *id)
{
    struct change *c = calloc(1, sizeof(*c));

    if (!c)
        return; /* it is old, and found again with the next start */
    c->drop = true;
    snprintf(c->record.id, sizeof(c->record.id), "%s", id);
    add(s, c);
}

bool job_store_idle(const struct job_store *s)
{
    return !s->writing && !s->waiting;
}

/* Opening and reading */

static void read_row(sqlite3_stmt *row, struct job_record *out)
{
    const unsigned char *text;

    memset(out, 0, sizeof(*out));
    for (int i = 0; i < N_TEXTS; i++) {
        text = sqlite3_column_text(row, texts[i].column);
        snprintf((char *)out + texts[i].offset, texts[i].size, "%s",
                 text ? (const char *)text : "");
    }
    out->state = (enum job_state)sqlite3_column_int(row, 8);
    out->nfe = sqlite3_column_int(row, 9);
    out->n = sqlite3_column_int(row, 10);
    out->n_done = sqlite3_column_int(row, 11);
    out->seed = (uint64_t)sqlite3_column_int64(row, 12);
    out->created_s = sqlite3_column_int64(row, 13);
    out->ended_s = sqlite3_column_int64(row, 14);
    out->problem_status = sqlite3_column_int(row, 15);
}

int job_store_read(struct job_store *s, void (*each)(void *arg, const struct job_record *record),
                   void *arg, struct error *err)
{
    struct job_record record;
    sqlite3_stmt *rows;
    int rc;

    if (sqlite3_prepare_v2(s->db, list, -1, &rows, NULL) != SQLITE_OK)
        return complain(s, -EIO, "read the jobs", err);
    while ((rc = sqlite3_step(rows)) == SQLITE_ROW) {
        read_row(rows, &record);
        each(arg, &record);
    }
    sqlite3_finalize(rows);
    return rc == SQLITE_DONE ? 0 : complain(s, -EIO, "read the jobs", err);
}

/* Exclusive: what is locked is another daemon's, and a lock ends with its process. */
static int prepare(struct job_store *s, struct error *err)
{
    static const char *const commands[] = {"PRAGMA locking_mode=EXCLUSIVE",
                                           "PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL",
                                           "BEGIN IMMEDIATE", schema};
    int rc = SQLITE_OK;

    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]) && rc == SQLITE_OK; i++)
        rc = sqlite3_exec(s->db, commands[i], NULL, NULL, NULL);
    if (rc == SQLITE_OK && sqlite3_table_column_metadata(s->db, NULL, "jobs", "owner", NULL, NULL,
                                                         NULL, NULL, NULL) != SQLITE_OK)
        rc = sqlite3_exec(s->db, new_column, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(s->db, upsert, -1, &s->upsert, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(s->db, erase, -1, &s->erase, NULL);
    if (rc == SQLITE_BUSY || rc == SQLITE_LOCKED)
        return error_set(err, -EBUSY, "another daemon uses the folder");
    if (rc != SQLITE_OK)
        return complain(s, rc == SQLITE_NOTADB || rc == SQLITE_ERROR ? -EINVAL : -EIO,
                        "open the file of jobs", err);
    return 0;
}

int job_store_open(uv_loop_t *loop, const char *folder, struct job_store **out, struct error *err)
{
    struct job_store *s = calloc(1, sizeof(*s));
    char path[1100];
    int rc = 0;

    if (!s)
        return error_set(err, -ENOMEM, "out of memory for the jobs");
    s->loop = loop;
    s->waiting_end = &s->waiting;
    snprintf(path, sizeof(path), "%s/jobs.sqlite", folder);
    if (sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) !=
        SQLITE_OK)
        rc = complain(s, -EIO, "open the file of jobs", err);
    if (rc == 0)
        rc = prepare(s, err);
    if (rc < 0) {
        error_prefix(err, "state folder \"%s\": ", folder);
        job_store_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

void job_store_close(struct job_store *s)
{
    if (!s)
        return;
    sqlite3_finalize(s->upsert);
    sqlite3_finalize(s->erase);
    sqlite3_close(s->db);
    free(s);
}
