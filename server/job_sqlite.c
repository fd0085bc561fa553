/* Jobs in a file, by SQLite: write-ahead log, synced with every commit, so that what was committed is there
 * also if the machine loses power in that moment. Only one daemon may have the folder. */
#include "server/job_database.h"

#include "engine/base/error.h"
#include "engine/base/log.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW              "(unixepoch() * 1000)"
#define HAS(texts, text) "(" texts " = '*' OR instr(" texts ", " text ") > 0)"

static const char *const statements[SQL_STATEMENTS_N] =
    SQL_STATEMENTS(NOW, HAS, "jobs.rowid", "", "SELECT $1");

struct sqlite {
    struct job_database base;
    sqlite3 *db;
    sqlite3_stmt *prepared[SQL_STATEMENTS_N]; /* when they are first run */
};

static struct sqlite *sqlite_of(struct job_database *db)
{
    return (struct sqlite *)db;
}

static int complain(const struct sqlite *s)
{
    log_write(LOG_ERROR, "event=job_store error=%s", LOG_TEXT(sqlite3_errmsg(s->db)));
    return -EIO;
}

static void sqlite_close(struct job_database *db)
{
    struct sqlite *s = sqlite_of(db);

    if (!s)
        return;
    for (int i = 0; i < SQL_STATEMENTS_N; i++)
        sqlite3_finalize(s->prepared[i]);
    sqlite3_close(s->db);
    free(s);
}

static int execute(struct job_database *db, const char *text)
{
    struct sqlite *s = sqlite_of(db);

    return sqlite3_exec(s->db, text, NULL, NULL, NULL) == SQLITE_OK ? 0 : complain(s);
}

/* It may have been undone by the error itself. */
static void sqlite_undo(struct job_database *db)
{
    sqlite3_exec(sqlite_of(db)->db, "ROLLBACK", NULL, NULL, NULL);
}

/* What could not be undone, for lack of memory, is first. */
static int sqlite_begin(struct job_database *db)
{
    if (!sqlite3_get_autocommit(sqlite_of(db)->db))
        sqlite_undo(db);
    return execute(db, "BEGIN IMMEDIATE");
}

static int sqlite_commit(struct job_database *db)
{
    return execute(db, "COMMIT");
}

static void bind_values(sqlite3_stmt *statement, const struct sql_value *values, int n_values)
{
    char name[16];
    int at;

    for (int i = 0; i < n_values; i++) {
        snprintf(name, sizeof(name), "$%d", i + 1);
        at = sqlite3_bind_parameter_index(statement, name);
        if (values[i].kind == SQL_TEXT)
            sqlite3_bind_text(statement, at, values[i].text, -1, SQLITE_STATIC);
        else if (values[i].kind == SQL_NUMBER)
            sqlite3_bind_int64(statement, at, values[i].number);
        else
            sqlite3_bind_blob64(statement, at, values[i].bytes, values[i].size, SQLITE_STATIC);
    }
}

static void read_row(sqlite3_stmt *statement, struct sql_row *row)
{
    int n = sqlite3_column_count(statement);
    const void *cell;

    memset(row, 0, sizeof(*row));
    for (int i = 0; i < n; i++) {
        if (sqlite3_column_type(statement, i) == SQLITE_BLOB)
            cell = sqlite3_column_blob(statement, i);
        else
            cell = sqlite3_column_text(statement, i);
        row->cells[i] = cell ? cell : "";
        row->sizes[i] = (size_t)sqlite3_column_bytes(statement, i);
    }
}

static int sqlite_run(struct job_database *db, enum sql_statement which,
                      const struct sql_value *values, int n_values,
                      void (*each)(void *arg, const struct sql_row *row), void *arg)
{
    struct sqlite *s = sqlite_of(db);
    sqlite3_stmt **statement = &s->prepared[which];
    struct sql_row row;
    int rc, n = 0;

    if (!*statement &&
        sqlite3_prepare_v2(s->db, statements[which], -1, statement, NULL) != SQLITE_OK)
        return complain(s);
    bind_values(*statement, values, n_values);
    while ((rc = sqlite3_step(*statement)) == SQLITE_ROW) {
        read_row(*statement, &row);
        if (each)
            each(arg, &row);
        n++;
    }
    if (rc != SQLITE_DONE)
        n = complain(s);
    else if (sqlite3_column_count(*statement) == 0)
        n = sqlite3_changes(s->db);
    sqlite3_reset(*statement);
    sqlite3_clear_bindings(*statement);
    return n;
}

static const struct job_database_ops ops = {.close = sqlite_close,
                                            .begin = sqlite_begin,
                                            .commit = sqlite_commit,
                                            .undo = sqlite_undo,
                                            .run = sqlite_run};

/* A file of an earlier version lacks what came since. */
static int add_columns(struct sqlite *s)
{
    static const char *const added[] = SQL_COLUMNS_ADDED;
    char name[32], text[96];
    int rc = SQLITE_OK;

    for (size_t i = 0; i < sizeof(added) / sizeof(added[0]) && rc == SQLITE_OK; i++) {
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(added[i], " "), added[i]);
        snprintf(text, sizeof(text), "ALTER TABLE jobs ADD COLUMN %s", added[i]);
        if (sqlite3_table_column_metadata(s->db, NULL, "jobs", name, NULL, NULL, NULL, NULL,
                                          NULL) != SQLITE_OK)
            rc = sqlite3_exec(s->db, text, NULL, NULL, NULL);
    }
    return rc;
}

/* Exclusive: what is locked is another daemon's, and a lock ends with its process. */
static int prepare(struct sqlite *s, struct error *err)
{
    static const char *const commands[] = {"PRAGMA locking_mode=EXCLUSIVE",
                                           "PRAGMA journal_mode=WAL",
                                           "PRAGMA synchronous=FULL",
                                           "PRAGMA foreign_keys=ON",
                                           "BEGIN IMMEDIATE",
                                           SQL_SCHEMA_JOBS("")};
    static const char *const more[] = {SQL_SCHEMA_KEYS,
                                       SQL_SCHEMA_ENDED,
                                       SQL_SCHEMA_PICTURES("BLOB"),
                                       SQL_SCHEMA_SOURCES("BLOB"),
                                       SQL_SCHEMA_WEBHOOKS,
                                       SQL_SCHEMA_GONE,
                                       SQL_SCHEMA_DAEMONS,
                                       "COMMIT"};
    int rc = SQLITE_OK;

    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]) && rc == SQLITE_OK; i++)
        rc = sqlite3_exec(s->db, commands[i], NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = add_columns(s);
    for (size_t i = 0; i < sizeof(more) / sizeof(more[0]) && rc == SQLITE_OK; i++)
        rc = sqlite3_exec(s->db, more[i], NULL, NULL, NULL);
    if (rc == SQLITE_BUSY || rc == SQLITE_LOCKED)
        return error_set(err, -EBUSY, "another daemon uses the folder");
    if (rc != SQLITE_OK)
        return error_set(err, rc == SQLITE_NOTADB || rc == SQLITE_ERROR ? -EINVAL : -EIO,
                         "could not open the file of jobs: %s", sqlite3_errmsg(s->db));
    return 0;
}

int job_sqlite_open(const char *folder, struct job_database **out, struct error *err)
{
    struct sqlite *s = calloc(1, sizeof(*s));
    char path[SETTINGS_PATH_BYTES + 32];
    int rc = 0;

    if (!s)
        return error_set(err, -ENOMEM, "out of memory for the jobs");
    s->base.ops = &ops;
    snprintf(path, sizeof(path), *folder ? "%s/jobs.sqlite" : ":memory:", folder);
    if (sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) !=
        SQLITE_OK)
        rc = error_set(err, -EIO, "could not open the file of jobs: %s",
                       s->db ? sqlite3_errmsg(s->db) : "out of memory");
    if (rc == 0)
        rc = prepare(s, err);
    if (rc < 0) {
        error_prefix(err, "state folder \"%s\": ", folder);
        sqlite_close(&s->base);
        return rc;
    }
    *out = &s->base;
    return 0;
}
