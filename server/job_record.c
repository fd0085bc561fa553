#include "server/job_record.h"

#include "model/restoration.h"

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
    TEXT(determinism), TEXT(holder),     TEXT(problem),    TEXT(webhook),
#undef TEXT
};

enum { RESTORATION = sizeof(texts) / sizeof(texts[0]) }; /* the column behind them */

_Static_assert(RESTORATION == JOB_COLUMN_TEXTS - 1, "columns that are texts");

/* "blur 2.5 1 0.5 1 DIGEST DIGEST", with - for what there is none of; numbers come back as they were. */
static void write_restoration(const struct response_restoration *r, char out[JOB_TEXT_BYTES])
{
    out[0] = '\0';
    if (r->degradation)
        snprintf(out, JOB_TEXT_BYTES, "%s %.17g %d %.17g %.17g %s %s", r->degradation, r->std,
                 r->estimated, r->strength, r->consistency, r->image_sha256,
                 *r->mask_sha256 ? r->mask_sha256 : "-");
}

static void read_restoration(const char *text, struct response_restoration *out)
{
    enum degradation degradation;
    char name[16];
    int estimated;

    memset(out, 0, sizeof(*out));
    if (sscanf(text, "%15s %lf %d %lf %lf %64s %64s", name, &out->std, &estimated, &out->strength,
               &out->consistency, out->image_sha256, out->mask_sha256) != 7 ||
        degradation_parse(name, &degradation, NULL) < 0)
        return;
    out->degradation = degradation_name(degradation);
    out->estimated = estimated;
    if (strcmp(out->mask_sha256, "-") == 0)
        out->mask_sha256[0] = '\0';
}

void job_record_text(const struct job_record *r, int column, char out[JOB_TEXT_BYTES])
{
    if (column == RESTORATION)
        write_restoration(&r->restored, out);
    else
        snprintf(out, JOB_TEXT_BYTES, "%s", (const char *)r + texts[column].offset);
}

int64_t job_record_number(const struct job_record *r, int column)
{
    const int64_t numbers[] = {r->state,
                               r->nfe,
                               r->n,
                               r->n_done,
                               (int64_t)r->seed,
                               r->created_s,
                               r->ended_s,
                               r->problem_status,
                               r->picture_bytes,
                               (int64_t)r->seed_b,
                               r->mix,
                               r->source_bytes,
                               r->webhook_ms,
                               r->webhook_tries,
                               r->webhook_status,
                               r->label,
                               r->guidance};

    _Static_assert(sizeof(numbers) / sizeof(numbers[0]) == JOB_COLUMNS - JOB_COLUMN_TEXTS,
                   "columns that are numbers");
    return numbers[column - JOB_COLUMN_TEXTS];
}

static void set_number(struct job_record *r, int i, int64_t value)
{
    int *const ints[JOB_COLUMNS - JOB_COLUMN_TEXTS] = {[1] = &r->nfe,      &r->n,
                                                       &r->n_done,         [7] = &r->problem_status,
                                                       [10] = &r->mix,     [13] = &r->webhook_tries,
                                                       &r->webhook_status, &r->label,
                                                       &r->guidance};
    uint64_t *const seeds[JOB_COLUMNS - JOB_COLUMN_TEXTS] = {[4] = &r->seed, [9] = &r->seed_b};
    int64_t *const others[JOB_COLUMNS - JOB_COLUMN_TEXTS] = {[5] = &r->created_s,
                                                             &r->ended_s,
                                                             [8] = &r->picture_bytes,
                                                             [11] = &r->source_bytes,
                                                             &r->webhook_ms};

    if (ints[i])
        *ints[i] = (int)value;
    else if (seeds[i])
        *seeds[i] = (uint64_t)value;
    else if (others[i])
        *others[i] = value;
    else
        r->state = (enum job_state)value;
}

void job_record_set(struct job_record *r, int column, const char *text)
{
    if (column == RESTORATION)
        read_restoration(text, &r->restored);
    else if (column < JOB_COLUMN_TEXTS)
        snprintf((char *)r + texts[column].offset, texts[column].size, "%s", text);
    else
        set_number(r, column - JOB_COLUMN_TEXTS, strtoll(text, NULL, 10));
}
