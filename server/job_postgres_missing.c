/* In the place of job_postgres.c where libpq was not found. */
#include "engine/base/error.h"
#include "server/job_database.h"

#include <errno.h>

int job_postgres_open(const char *url, struct job_database **out, struct error *err)
{
    return error_set(err, -ENOTSUP,
                     "this softdiffd was built without PostgreSQL: libpq was not found, or "
                     "-Dpostgresql=disabled");
}
