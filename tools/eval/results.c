#include "tools/eval/results.h"
#include "engine/base/error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char header[] = "sampler,nfe,n,seed,fd,kid,precision,recall,seconds\n";

enum { LINE_MAX_BYTES = 256, ROOM_MIN = 32 };

struct results {
    char *path; /* owned */
    FILE *file;
    int n, room;
    struct result *rows; /* owned */
};

static int keep(struct results *r, const struct result *row, struct error *err)
{
    if (r->n == r->room) {
        int room = r->room ? 2 * r->room : ROOM_MIN;
        struct result *rows = realloc(r->rows, (size_t)room * sizeof(*rows));

        if (!rows)
            return error_set(err, -ENOMEM, "out of memory for the rows of \"%s\"", r->path);
        r->rows = rows;
        r->room = room;
    }
    r->rows[r->n++] = *row;
    return 0;
}

/* 0 or -EINVAL. A line that was cut has no newline. */
static int parse_row(const char *line, struct result *row)
{
    char name[32], end;
    int n =
        sscanf(line, "%31[^,],%d,%d,%" SCNu64 ",%lf,%lf,%lf,%lf,%lf%c", name, &row->nfe, &row->n,
               &row->seed, &row->fd, &row->kid, &row->precision, &row->recall, &row->seconds, &end);

    return n == 10 && end == '\n' ? sampler_parse(name, &row->sampler, NULL) : -EINVAL;
}

static int read_rows(struct results *r, struct error *err)
{
    char line[LINE_MAX_BYTES];

    for (int number = 1; fgets(line, sizeof(line), r->file); number++) {
        struct result row;
        int rc = 0;

        if (number == 1 ? strcmp(line, header) != 0 : parse_row(line, &row) < 0)
            return error_set(err, -EINVAL, "\"%s\", line %d: not what a curve writes", r->path,
                             number);
        if (number > 1)
            rc = keep(r, &row, err);
        if (rc < 0)
            return rc;
    }
    return ferror(r->file) ? error_set(err, -EIO, "could not read \"%s\"", r->path) : 0;
}

static int write_text(struct results *r, const char *text, struct error *err)
{
    int rc;

    if (fputs(text, r->file) != EOF && fflush(r->file) == 0)
        return 0;
    rc = -errno;
    return error_set(err, rc, "could not write \"%s\": %s", r->path, strerror(-rc));
}

int results_open(const char *path, struct results **out, struct error *err)
{
    struct results *r = calloc(1, sizeof(*r));
    int rc = 0;

    if (r)
        r->path = strdup(path);
    if (!r || !r->path) {
        free(r);
        return error_set(err, -ENOMEM, "out of memory for the rows of \"%s\"", path);
    }
    r->file = fopen(path, "a+");
    if (!r->file) {
        rc = -errno;
        error_set(err, rc, "could not open \"%s\": %s", path, strerror(-rc));
    } else {
        rewind(r->file);
        rc = read_rows(r, err);
        fseek(r->file, 0, SEEK_END);
        if (rc == 0 && ftell(r->file) == 0)
            rc = write_text(r, header, err);
    }
    if (rc < 0) {
        results_close(r);
        return rc;
    }
    *out = r;
    return 0;
}

void results_close(struct results *r)
{
    if (!r)
        return;
    if (r->file)
        fclose(r->file);
    free(r->path);
    free(r->rows);
    free(r);
}

int results_n(const struct results *r)
{
    return r->n;
}

const struct result *results_at(const struct results *r, int i)
{
    return &r->rows[i];
}

const struct result *results_find(const struct results *r, enum sampler sampler, int nfe, int n,
                                  uint64_t seed)
{
    for (int i = 0; i < r->n; i++) {
        const struct result *row = &r->rows[i];

        if (row->sampler == sampler && row->nfe == nfe && row->n == n && row->seed == seed)
            return row;
    }
    return NULL;
}

int results_add(struct results *r, const struct result *row, struct error *err)
{
    char line[LINE_MAX_BYTES];
    int rc;

    snprintf(line, sizeof(line), "%s,%d,%d,%" PRIu64 ",%.6g,%.6g,%.4f,%.4f,%.4g\n",
             sampler_name(row->sampler), row->nfe, row->n, row->seed, row->fd, row->kid,
             row->precision, row->recall, row->seconds);
    rc = write_text(r, line, err);
    return rc < 0 ? rc : keep(r, row, err);
}
