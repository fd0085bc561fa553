#include "tools/eval/results.h"
#include "engine/base/error.h"
#include "tools/line_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char header[] = "sampler,nfe,n,seed,fd,kid,precision,recall,seconds,source,reference";

enum { LINE_MAX_BYTES = 320, ROOM_MIN = 32 };

struct results {
    struct line_file *lines; /* the file */
    const char *path;        /* while it is opened */
    bool with_header;
    int n, room;
    struct result *rows; /* owned */
};

static int keep(struct results *r, const struct result *row, struct error *err)
{
    if (r->n == r->room) {
        int room = r->room ? 2 * r->room : ROOM_MIN;
        struct result *rows = realloc(r->rows, (size_t)room * sizeof(*rows));

        if (!rows)
            return error_set(err, -ENOMEM, "out of memory for rows");
        r->rows = rows;
        r->room = room;
    }
    r->rows[r->n++] = *row;
    return 0;
}

/* 0 or -EINVAL. */
static int parse_row(const char *line, struct result *row)
{
    char name[32], end;
    int n;

    *row = (struct result){0};
    n = sscanf(line, "%31[^,],%d,%d,%" SCNu64 ",%lf,%lf,%lf,%lf,%lf,%31[^,],%31[^,]%c", name,
               &row->nfe, &row->n, &row->seed, &row->fd, &row->kid, &row->precision, &row->recall,
               &row->seconds, row->source, row->reference, &end);
    return n == 11 ? sampler_parse(name, &row->sampler, NULL) : -EINVAL;
}

static struct result *find(const struct results *r, const struct result *key)
{
    for (int i = 0; i < r->n; i++) {
        struct result *row = &r->rows[i];

        if (row->sampler == key->sampler && row->nfe == key->nfe && row->n == key->n &&
            row->seed == key->seed && strcmp(row->source, key->source) == 0 &&
            strcmp(row->reference, key->reference) == 0)
            return row;
    }
    return NULL;
}

/* A line of the file, line_file_judge. What is torn must still be the beginning of a header or come
 * after one, or it is somebody else's file. */
static int read_line(void *arg, const char *line, int number, bool whole, struct error *err)
{
    struct results *r = arg;
    struct result row;
    int rc;

    if (number == 1 && !whole && strncmp(header, line, strlen(line)) == 0)
        return 0;
    if (number == 1 && strncmp(line, "sampler,nfe,n,seed,", 19) == 0 && strcmp(line, header) != 0)
        return error_set(err, -EINVAL,
                         "\"%s\" is of an older version: its rows do not say which model they are "
                         "of",
                         r->path);
    if (number == 1 && strcmp(line, header) == 0)
        return r->with_header = true;
    if (number > 1 && !whole)
        return 0;
    if (number == 1 || parse_row(line, &row) < 0)
        return error_set(err, -EINVAL, "\"%s\", line %d: not what a curve writes", r->path, number);
    if (find(r, &row))
        return 0;
    rc = keep(r, &row, err);
    return rc < 0 ? rc : 1;
}

int results_open(const char *path, struct results **out, struct error *err)
{
    struct results *r = calloc(1, sizeof(*r));
    int rc;

    if (!r)
        return error_set(err, -ENOMEM, "out of memory for the rows of \"%s\"", path);
    r->path = path;
    rc = line_file_open(path, read_line, r, &r->lines, err);
    r->path = NULL;
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
    line_file_close(r->lines);
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

bool results_find(struct results *r, const struct result *key)
{
    struct result *row = find(r, key);

    if (row)
        row->wanted = true;
    return row != NULL;
}

int results_begin(struct results *r, struct error *err)
{
    int rc = r->with_header ? 0 : line_file_add(r->lines, header, err);

    r->with_header |= rc == 0;
    return rc;
}

int results_add(struct results *r, const struct result *row, struct error *err)
{
    struct result wanted = *row;
    char text[sizeof(header) + LINE_MAX_BYTES];
    int rc;

    /* At once: a file that is made is made with a row. */
    snprintf(text, sizeof(text), "%s%s%s,%d,%d,%" PRIu64 ",%.6g,%.6g,%.4f,%.4f,%.4g,%s,%s",
             r->with_header ? "" : header, r->with_header ? "" : "\n", sampler_name(row->sampler),
             row->nfe, row->n, row->seed, row->fd, row->kid, row->precision, row->recall,
             row->seconds, row->source, row->reference);
    wanted.wanted = true;
    rc = line_file_add(r->lines, text, err);
    if (rc < 0)
        return rc;
    r->with_header = true;
    return keep(r, &wanted, err);
}
