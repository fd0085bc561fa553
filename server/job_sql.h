/* The statements of the store of jobs. Each is written once, for SQLite and PostgreSQL: they number their
 * arguments $1, $2, .. and know the same functions but for the words that SQL_STATEMENTS is given:
 *
 *     NOW    milliseconds since 1970 by the database's clock, the only one that all who share it have
 *     HAS    whether a text of $k has another
 *     NR     the column that counts jobs in the order of their coming
 *     LOCK   takes rows that no other transaction has
 *     TELL   tells $1 to all who share the database
 *
 * A job has ended when its state is 2 or more (api/job_status.h). holder "" or a lease_ms that has passed:
 * it may be taken up.
 */
#ifndef SERVER_JOB_SQL_H
#define SERVER_JOB_SQL_H

#include "server/job_record.h"

enum { SQL_CELLS_MAX = JOB_COLUMNS, SQL_VALUES_MAX = JOB_COLUMNS + 3 };

enum sql_statement {
    SQL_ADD,       /* columns, most that wait, lease, most bytes of sources of those */
    SQL_FIND_SAME, /* id, owner, key -> record */
    SQL_FIND,      /* id -> record */
    SQL_FIND_KEY,  /* owner, key -> record */
    SQL_LIST,      /* owner or "", id or "": older than that, most -> record, newest first */
    SQL_CHANGE, /* id, holder, state, n_done, ended_s, problem_status, problem, lease -> record */
    SQL_CANCEL, /* id, ended_s -> record */
    SQL_CLAIM,  /* holder, lease, checkpoints, determinism, nfe, most -> record */
    SQL_FORGET_DRAWN,      /* id: its pictures, and how many bytes they have */
    SQL_HOLD,              /* holder, lease -> id */
    SQL_RELEASE,           /* holder */
    SQL_PICTURE_ADD,       /* id, i, bytes */
    SQL_PICTURE_READ,      /* id, i -> bytes */
    SQL_PICTURE_BYTES,     /* id, more of them */
    SQL_SOURCE_ADD,        /* id, bytes */
    SQL_SOURCE_READ,       /* id -> bytes */
    SQL_TRIM_SOURCES,      /* most bytes: those of ended jobs, oldest first, go beyond that */
    SQL_TRIM_SOURCES_NOTE, /* most bytes: and this is noted */
    SQL_TRIM,              /* most bytes: pictures of the oldest jobs beyond that go */
    SQL_TRIM_NOTE,         /* most bytes: and this is noted */
    SQL_NOTE_GONE,         /* age in s of their end, most: jobs that are forgotten next */
    SQL_FORGET_JOBS,       /* the same */
    SQL_FORGET_GONE,       /* age in ms, most */
    SQL_FIND_GONE,         /* id, owner or "" -> id */
    SQL_COUNT,         /* -> waiting, ended, bytes of pictures, of sources, webhooks that wait */
    SQL_WEBHOOK_AGAIN, /* those that wait for another try are due */
    SQL_WEBHOOK_CLAIM, /* lease, most -> record */
    SQL_WEBHOOK_DONE, /* id, tries, status, ms until the next or WEBHOOK_DELIVERED, WEBHOOK_GIVEN_UP */
    SQL_WEBHOOK_GIVE_UP, /* age in s of the job's end */
    SQL_TELL_DAEMON,     /* holder, checkpoints, lease */
    SQL_FORGET_DAEMONS,  /* age in ms */
    SQL_FAIL_UNSERVED,   /* age in ms, problem -> id */
    SQL_TELL,            /* text: to all who share the database */
    SQL_STATEMENTS_N,
};

/* nr: a column beside these, or "" */
#define SQL_SCHEMA_JOBS(nr)                                                                \
    ("CREATE TABLE IF NOT EXISTS jobs (id TEXT PRIMARY KEY, " nr "owner TEXT DEFAULT '', " \
     "key TEXT, body TEXT, model TEXT, checkpoint TEXT, corruption TEXT, sampler TEXT, "   \
     "determinism TEXT, holder TEXT DEFAULT '', problem TEXT, state BIGINT, nfe BIGINT, "  \
     "n BIGINT, n_done BIGINT, seed BIGINT, created_s BIGINT, ended_s BIGINT, "            \
     "problem_status BIGINT, picture_bytes BIGINT DEFAULT 0, lease_ms BIGINT DEFAULT 0)")
/* Columns that tables of earlier versions lack. */
#define SQL_COLUMNS_ADDED                                                                          \
    {                                                                                              \
        "owner TEXT DEFAULT ''", "holder TEXT DEFAULT ''", "picture_bytes BIGINT DEFAULT 0",       \
            "lease_ms BIGINT DEFAULT 0", "restoration TEXT DEFAULT ''", "seed_b BIGINT DEFAULT 0", \
            "mix BIGINT DEFAULT 0", "source_bytes BIGINT DEFAULT 0", "webhook TEXT DEFAULT ''",    \
            "webhook_ms BIGINT DEFAULT 0", "webhook_tries BIGINT DEFAULT 0",                       \
            "webhook_status BIGINT DEFAULT 0", "label BIGINT DEFAULT 0",                           \
            "guidance BIGINT DEFAULT 0"                                                            \
    }
#define SQL_SCHEMA_KEYS \
    ("CREATE UNIQUE INDEX IF NOT EXISTS jobs_key ON jobs (owner, key) WHERE key <> ''")
#define SQL_SCHEMA_ENDED ("CREATE INDEX IF NOT EXISTS jobs_state ON jobs (state, ended_s)")
#define SQL_SCHEMA_WEBHOOKS \
    ("CREATE INDEX IF NOT EXISTS jobs_webhook ON jobs (webhook_ms) WHERE webhook_ms > 0")
#define SQL_SCHEMA_PICTURES(bytes)                                                       \
    ("CREATE TABLE IF NOT EXISTS pictures (job TEXT REFERENCES jobs ON DELETE CASCADE, " \
     "i BIGINT, png " bytes ", PRIMARY KEY (job, i))")
#define SQL_SCHEMA_SOURCES(bytes)                                                          \
    ("CREATE TABLE IF NOT EXISTS sources (job TEXT PRIMARY KEY REFERENCES jobs ON DELETE " \
     "CASCADE, bytes " bytes ")")
#define SQL_SCHEMA_DAEMONS                                                                     \
    ("CREATE TABLE IF NOT EXISTS daemons (holder TEXT PRIMARY KEY, checkpoints TEXT, seen_ms " \
     "BIGINT)")

#define SQL_SCHEMA_GONE \
    ("CREATE TABLE IF NOT EXISTS gone (id TEXT PRIMARY KEY, owner TEXT, at_ms BIGINT)")

#define SQL_OLD(NOW)                                                                           \
    "state >= 2 AND ((ended_s < " NOW " / 1000 - $1 AND webhook_ms <= 0) OR id IN (SELECT id " \
    "FROM jobs WHERE state >= 2 ORDER BY ended_s DESC, id LIMIT 1000000 OFFSET $2))"

/* When the webhook of a job that ends is due. */
#define SQL_DUE(NOW) "CASE WHEN webhook <> '' THEN " NOW " ELSE 0 END"

/* Or the clock was set back: none is due as late as in two hours. */
#define SQL_IS_DUE(NOW) "(webhook_ms <= " NOW " OR webhook_ms > " NOW " + 7200000)"

/* Jobs whose pictures are more, with those of all that are younger, than $1. */
#define SQL_BEYOND(NR)                                                                    \
    "(SELECT id FROM (SELECT id, sum(picture_bytes) OVER (ORDER BY " NR " DESC) AS upto " \
    "FROM jobs WHERE picture_bytes > 0) AS sums WHERE upto > $1)"

/* Ended jobs whose sources are more, with those of all that have not ended or are younger, than $1. */
#define SQL_SOURCES_BEYOND(NR)                                                                 \
    "(SELECT id FROM (SELECT id, state, sum(source_bytes) OVER (ORDER BY CASE WHEN state < 2 " \
    "THEN 0 ELSE 1 END, " NR " DESC) AS upto FROM jobs WHERE source_bytes > 0) AS sums WHERE " \
    "upto > $1 AND state >= 2)"

#define SQL_STATEMENTS(NOW, HAS, NR, LOCK, TELL)                                                   \
    {                                                                                              \
        [SQL_ADD] = "INSERT INTO jobs (" JOB_COLUMN_LIST ", lease_ms) SELECT $1, $2, $3, $4, "     \
                    "$5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, "       \
                    "$20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, " NOW                  \
                    " + $32 WHERE (SELECT count(*) FROM jobs "                                     \
                    "WHERE state < 2) < $31 AND ($25 = 0 OR $25 + (SELECT coalesce(sum("           \
                    "source_bytes), 0) FROM jobs WHERE state < 2) <= $33) ON CONFLICT DO NOTHING", \
        [SQL_FIND_SAME] = "SELECT " JOB_COLUMN_LIST " FROM jobs WHERE id = $1 OR "                 \
                          "(owner = $2 AND key = $3 AND key <> '')",                               \
        [SQL_FIND] = "SELECT " JOB_COLUMN_LIST " FROM jobs WHERE id = $1",                         \
        [SQL_FIND_KEY] = "SELECT " JOB_COLUMN_LIST " FROM jobs WHERE owner = $1 AND "              \
                         "key = $2 AND key <> ''",                                                 \
        [SQL_LIST] = "SELECT " JOB_COLUMN_LIST " FROM jobs WHERE ($1 = '' OR owner = $1) AND "     \
                     "($2 = '' OR " NR " < (SELECT " NR " FROM jobs WHERE id = $2)) "              \
                     "ORDER BY " NR " DESC LIMIT $3",                                              \
        [SQL_CHANGE] = "UPDATE jobs SET state = $3, n_done = $4, ended_s = $5, "                   \
                       "problem_status = $6, problem = $7, lease_ms = " NOW " + $8, "              \
                       "holder = CASE WHEN $3 >= 2 THEN '' ELSE holder END, "                      \
                       "webhook_ms = CASE WHEN $3 >= 2 THEN " SQL_DUE(                             \
                           NOW) " ELSE 0 END "                                                     \
                                "WHERE id = $1 AND holder = $2 AND state < 2 "                     \
                                "RETURNING " JOB_COLUMN_LIST,                                      \
        [SQL_CANCEL] =                                                                             \
            "UPDATE jobs SET state = 4, holder = '', ended_s = $2, webhook_ms = " SQL_DUE(         \
                NOW) " "                                                                           \
                     "WHERE id = $1 AND state < 2 RETURNING " JOB_COLUMN_LIST,                     \
        [SQL_CLAIM] =                                                                              \
            "WITH free AS (SELECT id AS free_id FROM jobs WHERE state < 2 AND holder <> $1 AND "   \
            "(holder = '' OR lease_ms < " NOW ") AND nfe <= $5 AND " HAS(                          \
                "$3", "checkpoint") " AND (determinism = $4 OR n_done = 0 OR lease_ms < " NOW      \
                                    " - 2 * $2) "                                                  \
                                    "ORDER BY " NR " LIMIT $6" LOCK                                \
                                    ") UPDATE jobs SET holder = $1, "                              \
                                    "lease_ms = " NOW " + $2, determinism = $4, "                  \
                                    "n_done = CASE WHEN determinism = $4 THEN n_done ELSE 0 END, " \
                                    "picture_bytes = CASE WHEN determinism = $4 THEN "             \
                                    "picture_bytes ELSE 0 END "                                    \
                                    "FROM free WHERE id = free_id RETURNING " JOB_COLUMN_LIST,     \
        [SQL_FORGET_DRAWN] = "DELETE FROM pictures WHERE job = $1",                                \
        [SQL_HOLD] = "UPDATE jobs SET lease_ms = " NOW " + $2 WHERE holder = $1 AND "              \
                     "state < 2 RETURNING id",                                                     \
        [SQL_RELEASE] = "UPDATE jobs SET holder = '', lease_ms = " NOW " WHERE holder = $1 "       \
                        "AND state < 2",                                                           \
        [SQL_PICTURE_ADD] = "INSERT INTO pictures VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",     \
        [SQL_PICTURE_READ] = "SELECT png FROM pictures WHERE job = $1 AND i = $2",                 \
        [SQL_PICTURE_BYTES] = "UPDATE jobs SET picture_bytes = picture_bytes + $2 "                \
                              "WHERE id = $1",                                                     \
        [SQL_SOURCE_ADD] = "INSERT INTO sources VALUES ($1, $2) ON CONFLICT DO NOTHING",           \
        [SQL_SOURCE_READ] = "SELECT bytes FROM sources WHERE job = $1",                            \
        [SQL_TRIM_SOURCES] = "DELETE FROM sources WHERE job IN " SQL_SOURCES_BEYOND(NR),           \
        [SQL_TRIM_SOURCES_NOTE] =                                                                  \
            "UPDATE jobs SET source_bytes = -1 WHERE id IN " SQL_SOURCES_BEYOND(NR),               \
        [SQL_TRIM] = "DELETE FROM pictures WHERE job IN " SQL_BEYOND(NR),                          \
        [SQL_TRIM_NOTE] = "UPDATE jobs SET picture_bytes = -1 WHERE id IN " SQL_BEYOND(NR),        \
        [SQL_NOTE_GONE] = "INSERT INTO gone SELECT id, owner, " NOW                                \
                          " FROM jobs WHERE " SQL_OLD(NOW) " ON CONFLICT DO NOTHING",              \
        [SQL_FORGET_JOBS] = "DELETE FROM jobs WHERE " SQL_OLD(NOW),                                \
        [SQL_FORGET_GONE] =                                                                        \
            "DELETE FROM gone WHERE at_ms < " NOW " - $1 OR id IN (SELECT id FROM gone ORDER BY "  \
            "at_ms DESC, id LIMIT 1000000 OFFSET $2)",                                             \
        [SQL_FIND_GONE] = "SELECT id FROM gone WHERE id = $1 AND ($2 = '' OR owner = $2)",         \
        [SQL_COUNT] = "SELECT count(CASE WHEN state < 2 THEN 1 END), count(CASE WHEN state >= 2 "  \
                      "THEN 1 END), coalesce(sum(CASE WHEN picture_bytes > 0 THEN picture_bytes "  \
                      "END), 0), coalesce(sum(CASE WHEN source_bytes > 0 THEN source_bytes END), " \
                      "0), count(CASE WHEN webhook_ms > 0 THEN 1 END) "                            \
                      "FROM jobs",                                                                 \
        [SQL_WEBHOOK_AGAIN] = "UPDATE jobs SET webhook_ms = " NOW " WHERE webhook_ms > " NOW,      \
        [SQL_WEBHOOK_CLAIM] =                                                                      \
            "WITH due AS (SELECT id AS due_id FROM jobs WHERE webhook_ms > 0 "                     \
            "AND " SQL_IS_DUE(NOW) " ORDER BY webhook_ms LIMIT $2" LOCK                            \
                                   ") UPDATE jobs SET webhook_ms = " NOW " + $1, "                 \
                                   "webhook_tries = webhook_tries + 1 FROM due WHERE id = due_id " \
                                   "RETURNING " JOB_COLUMN_LIST,                                   \
        [SQL_WEBHOOK_DONE] = "UPDATE jobs SET webhook_status = $3, webhook_ms = CASE WHEN $4 < 0 " \
                             "THEN $4 ELSE " NOW " + $4 END WHERE id = $1 AND ($4 = -1 OR "        \
                             "(webhook_tries = $2 AND webhook_ms > 0))",                           \
        [SQL_WEBHOOK_GIVE_UP] = "UPDATE jobs SET webhook_ms = -2 WHERE webhook_ms > 0 AND "        \
                                "ended_s < " NOW " / 1000 - $1",                                   \
        [SQL_TELL_DAEMON] = "INSERT INTO daemons VALUES ($1, $2, " NOW ") ON CONFLICT "            \
                            "(holder) DO UPDATE SET checkpoints = $2, seen_ms = " NOW,             \
        [SQL_FORGET_DAEMONS] = "DELETE FROM daemons WHERE seen_ms < " NOW " - $1",                 \
        [SQL_FAIL_UNSERVED] =                                                                      \
            "UPDATE jobs SET state = 3, problem_status = 500, problem = $2, "                      \
            "ended_s = " NOW " / 1000, holder = '', webhook_ms = " SQL_DUE(                        \
                NOW) " WHERE state < 2 AND "                                                       \
                     "lease_ms < " NOW " - $1 AND NOT EXISTS (SELECT 1 FROM daemons "              \
                     "WHERE " HAS("checkpoints", "jobs.checkpoint") ") RETURNING id",              \
        [SQL_TELL] = (TELL),                                                                       \
    }

#endif
