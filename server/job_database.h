/* A database of jobs: statements are run in it, on the store's thread. Two kinds: a file of SQLite, which
 * one daemon has alone, and a PostgreSQL server, which several daemons share (server/job_sql.h has the
 * statements, which are the same for both but for a few words).
 *
 * Thread: the store's, which may wait here.
 */
#ifndef SERVER_JOB_DATABASE_H
#define SERVER_JOB_DATABASE_H

#include "server/job_sql.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct job_database;

/* An argument of a statement. */
struct sql_value {
    enum { SQL_TEXT, SQL_NUMBER, SQL_BYTES } kind;
    const char *text;
    int64_t number;
    const void *bytes; /* size of them */
    size_t size;
};

/* A row of a result: texts with a NUL behind them, "" where there is nothing; of SQL_PICTURE_READ and
 * SQL_SOURCE_READ bytes. */
struct sql_row {
    const char *cells[SQL_CELLS_MAX];
    size_t sizes[SQL_CELLS_MAX];
};

struct job_database_ops {
    bool shared; /* with other daemons: jobs are held for a time, and news come */

    void (*close)(struct job_database *db); /* NULL is fine */

    /* Around the statements of a change. A begin that fails says that the database cannot be reached now; one
     * that fails later is to be undone. 0 or -EIO, which is logged. */
    int (*begin)(struct job_database *db);
    int (*commit)(struct job_database *db);
    void (*undo)(struct job_database *db);

    /* values: as many as the statement has arguments. each: NULL, or called for every row. Returns how many
     * rows there are, or were changed; or -EIO, which is logged. */
    int (*run)(struct job_database *db, enum sql_statement statement,
               const struct sql_value *values, int n_values,
               void (*each)(void *arg, const struct sql_row *row), void *arg);

    /* Only where it is shared. The socket to wait on, -1: there is none now; and what others have told since
     * the last call. */
    int (*socket)(const struct job_database *db);
    void (*news)(struct job_database *db, void (*each)(void *arg, const char *text), void *arg);
};

/* A database's first field is its kind. */
struct job_database {
    const struct job_database_ops *ops;
};

/* The file in the folder, which is made; folder "": in memory. 0, -EBUSY: another daemon has it, -EINVAL: it
 * is none of ours, -EIO. */
int job_sqlite_open(const char *folder, struct job_database **out, struct error *err);

/* The server and data base of a postgresql:// URL, which need not be there yet. 0, -EINVAL: it is no URL,
 * -ENOTSUP: built without it, -ENOMEM. */
int job_postgres_open(const char *url, struct job_database **out, struct error *err);

#endif
