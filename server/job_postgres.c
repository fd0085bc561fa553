/* Jobs in a PostgreSQL server, which several daemons share, by libpq's asynchronous calls: whatever it does,
 * the store's thread waits WAIT_MS for it at most and then takes it to be gone. It is looked for again when
 * something is to be done, at most once in AGAIN_MS. The tables lie in the schema softdiff, and are made where
 * they are not there.
 *
 * Texts are sent as Latin 1, which has a character for every byte: what clients send as keys need not be UTF-8.
 */
#include "server/job_database.h"

#include "engine/base/error.h"
#include "engine/base/log.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define NOW              "((extract(epoch FROM now()) * 1000)::bigint)"
#define HAS(texts, text) "position(" text " in " texts ") > 0"

static const char *const statements[SQL_STATEMENTS_N] =
    SQL_STATEMENTS(NOW, HAS, "nr", " FOR UPDATE SKIP LOCKED",
                   "SELECT pg_notify('softdiff_jobs', $1)");

enum {
    CONNECT_MS = 2000,
    WAIT_MS = 5000,
    AGAIN_MS = 1000,
    TEXT_OID = 25,
    NUMBER_OID = 20,
    BYTES_OID = 17,
};

struct postgres {
    struct job_database base;
    char *url;
    PGconn *conn; /* NULL: none */
    uint64_t tried_ns;
    bool told; /* that it cannot be reached */
};

static struct postgres *postgres_of(struct job_database *db)
{
    return (struct postgres *)db;
}

/* Messages end with a line feed, and may have several lines. */
static int complain(struct postgres *p, const char *message)
{
    char text[256];

    snprintf(text, sizeof(text), "%.*s", (int)strcspn(message, "\n"), message);
    log_write(LOG_ERROR, "event=job_store error=%s", LOG_TEXT(text));
    return -EIO;
}

static void drop(struct postgres *p)
{
    PQfinish(p->conn);
    p->conn = NULL;
}

static void postgres_close(struct job_database *db)
{
    struct postgres *p = postgres_of(db);

    if (!p)
        return;
    drop(p);
    free(p->url);
    free(p);
}

static bool wait_for(const struct postgres *p, short events, uint64_t end_ns)
{
    struct pollfd fd = {.fd = PQsocket(p->conn), .events = events};
    uint64_t now_ns = uv_hrtime();

    return now_ns < end_ns && poll(&fd, 1, (int)((end_ns - now_ns) / 1000000) + 1) > 0;
}

/* All of a statement is sent, and the first of its results is there. NULL: the connection is of no use. */
static PGresult *receive(struct postgres *p)
{
    uint64_t end_ns = uv_hrtime() + (uint64_t)WAIT_MS * 1000000;
    PGresult *result, *more;
    int unsent;

    while ((unsent = PQflush(p->conn)) > 0)
        if (!wait_for(p, POLLIN | POLLOUT, end_ns) || !PQconsumeInput(p->conn))
            return NULL;
    while (unsent == 0 && PQisBusy(p->conn))
        if (!wait_for(p, POLLIN, end_ns) || !PQconsumeInput(p->conn))
            return NULL;
    result = unsent == 0 ? PQgetResult(p->conn) : NULL;
    while (result && (more = PQgetResult(p->conn))) /* of one statement there is no other */
        PQclear(more);
    return result;
}

/* The result, or NULL, which is logged. */
static PGresult *check(struct postgres *p, PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    bool lost;

    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
        return result;
    complain(p, result ? PQresultErrorMessage(result) : "the server does not answer");
    lost = !result || PQstatus(p->conn) != CONNECTION_OK;
    PQclear(result);
    if (lost)
        drop(p);
    return NULL;
}

static int execute(struct postgres *p, const char *text)
{
    PGresult *result;

    if (!p->conn)
        return -EIO;
    result = check(p, PQsendQuery(p->conn, text) ? receive(p) : NULL);
    if (!result)
        return -EIO;
    PQclear(result);
    return 0;
}

/* Connecting */

/* Of the server, which by default go to standard error. */
static void on_notice(void *arg, const char *message)
{
    char text[256];

    snprintf(text, sizeof(text), "%.*s", (int)strcspn(message, "\n"), message);
    log_write(LOG_WARN, "event=job_store notice=%s", LOG_TEXT(text));
}

static bool connect_to(struct postgres *p)
{
    uint64_t end_ns = uv_hrtime() + (uint64_t)CONNECT_MS * 1000000;
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;

    p->conn = PQconnectStart(p->url);
    if (p->conn)
        PQsetNoticeProcessor(p->conn, on_notice, NULL);
    while (p->conn && PQstatus(p->conn) != CONNECTION_BAD) {
        if (status == PGRES_POLLING_OK)
            return PQsetnonblocking(p->conn, 1) == 0;
        if (status == PGRES_POLLING_FAILED ||
            !wait_for(p, status == PGRES_POLLING_READING ? POLLIN : POLLOUT, end_ns))
            break;
        status = PQconnectPoll(p->conn);
    }
    return false;
}

/* A table of an earlier version lacks what came since. One that has all is not locked. */
static bool add_columns(struct postgres *p)
{
    static const char *const added[] = SQL_COLUMNS_ADDED;
    char text[192];
    PGresult *result;
    int n;

    for (size_t i = 0; i < sizeof(added) / sizeof(added[0]); i++) {
        n = (int)strcspn(added[i], " ");
        snprintf(text, sizeof(text),
                 "SELECT 1 FROM pg_attribute WHERE attrelid = 'softdiff.jobs'::regclass AND "
                 "attname = '%.*s' AND NOT attisdropped",
                 n, added[i]);
        result = p->conn ? check(p, PQsendQuery(p->conn, text) ? receive(p) : NULL) : NULL;
        if (!result)
            return false;
        n = PQntuples(result);
        PQclear(result);
        snprintf(text, sizeof(text), "ALTER TABLE jobs ADD COLUMN %s", added[i]);
        if (n == 0 && execute(p, text) < 0)
            return false;
    }
    return true;
}

static bool execute_all(struct postgres *p, const char *const *commands, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (execute(p, commands[i]) < 0)
            return false;
    return true;
}

/* Daemons that start at a time make the tables one after the other. */
static bool prepare(struct postgres *p)
{
    static const char *const commands[] = {
        "SET client_encoding TO 'LATIN1'",
        "SET client_min_messages TO 'warning'",
        "SET statement_timeout TO 4000", /* less than WAIT_MS */
        /* One that stands still in the middle keeps nobody from its jobs. */
        "SET idle_in_transaction_session_timeout TO 4000",
        "BEGIN",
        "SELECT pg_advisory_xact_lock(7320915)",
        "CREATE SCHEMA IF NOT EXISTS softdiff",
        "SET search_path TO softdiff",
        SQL_SCHEMA_JOBS("nr BIGINT GENERATED ALWAYS AS IDENTITY, "),
    };
    static const char *const more[] = {
        SQL_SCHEMA_KEYS,
        SQL_SCHEMA_ENDED,
        SQL_SCHEMA_WEBHOOKS,
        SQL_SCHEMA_PICTURES("BYTEA"),
        SQL_SCHEMA_SOURCES("BYTEA"),
        SQL_SCHEMA_GONE,
        SQL_SCHEMA_DAEMONS,
        "COMMIT",
        "LISTEN softdiff_jobs",
    };

    return execute_all(p, commands, sizeof(commands) / sizeof(commands[0])) && add_columns(p) &&
           execute_all(p, more, sizeof(more) / sizeof(more[0]));
}

static int reach(struct postgres *p)
{
    uint64_t now_ns = uv_hrtime();

    if (p->conn)
        return 0;
    if (p->tried_ns > 0 && now_ns - p->tried_ns < (uint64_t)AGAIN_MS * 1000000)
        return -EIO;
    if (connect_to(p) && prepare(p)) {
        if (p->told)
            log_write(LOG_INFO, "event=job_store state=back");
        p->told = false;
        p->tried_ns = 0;
        return 0;
    }
    p->tried_ns = uv_hrtime();
    if (!p->told)
        complain(p, p->conn && *PQerrorMessage(p->conn) ? PQerrorMessage(p->conn)
                                                        : "the server does not answer");
    p->told = true;
    drop(p);
    return -EIO;
}

/* The table of functions */

static int postgres_begin(struct job_database *db)
{
    struct postgres *p = postgres_of(db);
    int rc = reach(p);

    return rc < 0 ? rc : execute(p, "BEGIN");
}

static int postgres_commit(struct job_database *db)
{
    return execute(postgres_of(db), "COMMIT");
}

static void postgres_undo(struct job_database *db)
{
    execute(postgres_of(db), "ROLLBACK");
}

/* Arguments as libpq takes them: numbers as texts. */
struct arguments {
    Oid types[SQL_VALUES_MAX];
    const char *values[SQL_VALUES_MAX];
    int lengths[SQL_VALUES_MAX], formats[SQL_VALUES_MAX];
    char numbers[SQL_VALUES_MAX][24];
};

static void fill(struct arguments *a, const struct sql_value *values, int n_values)
{
    memset(a, 0, sizeof(*a));
    for (int i = 0; i < n_values; i++) {
        if (values[i].kind == SQL_TEXT) {
            a->types[i] = TEXT_OID;
            a->values[i] = values[i].text;
        } else if (values[i].kind == SQL_NUMBER) {
            snprintf(a->numbers[i], sizeof(a->numbers[i]), "%lld", (long long)values[i].number);
            a->types[i] = NUMBER_OID;
            a->values[i] = a->numbers[i];
        } else {
            a->types[i] = BYTES_OID;
            a->values[i] = values[i].bytes;
            a->lengths[i] = (int)values[i].size;
            a->formats[i] = 1;
        }
    }
}

static void hand_over(PGresult *result, void (*each)(void *arg, const struct sql_row *row),
                      void *arg)
{
    int n_cells = PQnfields(result);
    struct sql_row row;

    for (int i = 0; each && i < PQntuples(result); i++) {
        memset(&row, 0, sizeof(row));
        for (int j = 0; j < n_cells && j < SQL_CELLS_MAX; j++) {
            row.cells[j] = PQgetvalue(result, i, j);
            row.sizes[j] = (size_t)PQgetlength(result, i, j);
        }
        each(arg, &row);
    }
}

static int postgres_run(struct job_database *db, enum sql_statement which,
                        const struct sql_value *values, int n_values,
                        void (*each)(void *arg, const struct sql_row *row), void *arg)
{
    struct postgres *p = postgres_of(db);
    struct arguments a;
    PGresult *result;
    int n, binary = which == SQL_PICTURE_READ || which == SQL_SOURCE_READ;

    if (!p->conn)
        return -EIO;
    fill(&a, values, n_values);
    result = check(p, PQsendQueryParams(p->conn, statements[which], n_values, a.types, a.values,
                                        a.lengths, a.formats, binary)
                          ? receive(p)
                          : NULL);
    if (!result)
        return -EIO;
    if (PQresultStatus(result) == PGRES_TUPLES_OK)
        n = PQntuples(result);
    else
        n = (int)strtol(PQcmdTuples(result), NULL, 10);
    hand_over(result, each, arg);
    PQclear(result);
    return n;
}

static int postgres_socket(const struct job_database *db)
{
    const struct postgres *p = (const struct postgres *)db;

    return p->conn ? PQsocket(p->conn) : -1;
}

/* A server that has ended is noticed here, too. */
static void postgres_news(struct job_database *db, void (*each)(void *arg, const char *text),
                          void *arg)
{
    struct postgres *p = postgres_of(db);
    PGnotify *notice;

    if (!p->conn)
        return;
    if (!PQconsumeInput(p->conn)) {
        complain(p, PQerrorMessage(p->conn));
        drop(p);
        return;
    }
    while ((notice = PQnotifies(p->conn))) {
        each(arg, notice->extra);
        PQfreemem(notice);
    }
}

static const struct job_database_ops ops = {.shared = true,
                                            .close = postgres_close,
                                            .begin = postgres_begin,
                                            .commit = postgres_commit,
                                            .undo = postgres_undo,
                                            .run = postgres_run,
                                            .socket = postgres_socket,
                                            .news = postgres_news};

int job_postgres_open(const char *url, struct job_database **out, struct error *err)
{
    char *message = NULL;
    PQconninfoOption *options = PQconninfoParse(url, &message);
    struct postgres *p;

    if (!options) {
        error_set(err, -EINVAL, "store of jobs: %.*s", message ? (int)strcspn(message, "\n") : 13,
                  message ? message : "out of memory");
        PQfreemem(message);
        return -EINVAL;
    }
    PQconninfoFree(options);
    p = calloc(1, sizeof(*p));
    if (p)
        p->url = strdup(url);
    if (!p || !p->url) {
        free(p);
        return error_set(err, -ENOMEM, "out of memory for the jobs");
    }
    p->base.ops = &ops;
    *out = &p->base;
    return 0;
}
