#include "server/job_record.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where the texts lie, in the order of the columns. */
static const struct {
    size_t offset, size;
} texts[] = {
#define TEXT(name)                                                                \
    {                                                                             \
        offsetof(struct job_record, name), sizeof(((struct job_record *)0)->name) \
    }
    TEXT(id),          TEXT(owner),      TEXT(key),        TEXT(body),
    TEXT(model),       TEXT(checkpoint), TEXT(corruption), TEXT(sampler),
    TEXT(determinism), TEXT(holder),     TEXT(problem),
#undef TEXT
};

_Static_assert(sizeof(texts) / sizeof(texts[0]) == JOB_COLUMN_TEXTS, "columns that are texts");

void job_record_text(const struct job_record *r, int column, char out[JOB_TEXT_BYTES])
{
    snprintf(out, JOB_TEXT_BYTES, "%s", (const char *)r + texts[column].offset);
}

int64_t job_record_number(const struct job_record *r, int column)
{
    const int64_t numbers[] = {r->state,         r->nfe,       r->n,       r->n_done,
                               (int64_t)r->seed, r->created_s, r->ended_s, r->problem_status,
                               r->picture_bytes};

    _Static_assert(sizeof(numbers) / sizeof(numbers[0]) == JOB_COLUMNS - JOB_COLUMN_TEXTS,
                   "columns that are numbers");
    return numbers[column - JOB_COLUMN_TEXTS];
}

static void set_number(struct job_record *r, int i, int64_t value)
{
    int *const ints[] = {NULL, &r->nfe, &r->n, &r->n_done, NULL, NULL, NULL, &r->problem_status,
                         NULL};

    if (ints[i])
        *ints[i] = (int)value;
    else if (i == 0)
        r->state = (enum job_state)value;
    else if (i == 4)
        r->seed = (uint64_t)value;
    else if (i == 5)
        r->created_s = value;
    else if (i == 6)
        r->ended_s = value;
    else
        r->picture_bytes = value;
}

void job_record_set(struct job_record *r, int column, const char *text)
{
    if (column < JOB_COLUMN_TEXTS)
        snprintf((char *)r + texts[column].offset, texts[column].size, "%s", text);
    else
        set_number(r, column - JOB_COLUMN_TEXTS, strtoll(text, NULL, 10));
}
