/* The file is in the Trace Event Format of the Chromium project: complete events ("X"), and metadata
 * ("M") with the names of threads, which tracks are there.
 */
#include "engine/base/trace.h"
#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/base/whole_file.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct trace_label {
    struct trace_label *next;
    char *name, *text; /* ready to stand in a string of JSON; text NULL: none */
    char *keys[TRACE_NUMBERS];
};

struct span {
    const struct trace_label *label;
    double begin, end;
    int numbers[TRACE_NUMBERS];
};

struct trace_track {
    struct trace_track *next;
    char *name;
    int n_spans;
    uint64_t n_added;
    struct span spans[]; /* [n_spans] span i, counted from the first ever, is at i % n_spans */
};

struct trace {
    int n_spans;
    double start;
    struct trace_track *tracks, **tracks_end; /* in the order of their making */
    struct trace_label *labels;
};

int trace_create(int n_spans, struct trace **out, struct error *err)
{
    struct trace *t;

    if (n_spans < 1 || n_spans > TRACE_SPANS_MAX)
        return error_set(err, -EINVAL, "a track of a trace keeps 1 to %d spans, not %d",
                         TRACE_SPANS_MAX, n_spans);
    t = calloc(1, sizeof(*t));
    if (!t)
        return error_set(err, -ENOMEM, "out of memory for a trace");
    t->n_spans = n_spans;
    t->start = clock_seconds();
    t->tracks_end = &t->tracks;
    *out = t;
    return 0;
}

static void destroy_label(struct trace_label *label)
{
    if (!label)
        return;
    free(label->name);
    free(label->text);
    for (int i = 0; i < TRACE_NUMBERS; i++)
        free(label->keys[i]);
    free(label);
}

void trace_destroy(struct trace *t)
{
    if (!t)
        return;
    while (t->labels) {
        struct trace_label *label = t->labels;

        t->labels = label->next;
        destroy_label(label);
    }
    while (t->tracks) {
        struct trace_track *track = t->tracks;

        t->tracks = track->next;
        free(track->name);
        free(track);
    }
    free(t);
}

/* A copy with what JSON does not take as it is replaced by "?"; NULL without memory. */
static char *copy_text(const char *text)
{
    char *copy = strdup(text);

    for (char *c = copy; c && *c; c++) {
        if (*c < ' ' || *c > '~' || *c == '"' || *c == '\\')
            *c = '?';
    }
    return copy;
}

int trace_find_track(struct trace *t, const char *name, struct trace_track **out, struct error *err)
{
    struct trace_track *track = t->tracks;

    while (track && strcmp(track->name, name) != 0)
        track = track->next;
    if (!track) {
        track = calloc(1, sizeof(*track) + (size_t)t->n_spans * sizeof(track->spans[0]));
        if (track)
            track->name = copy_text(name);
        if (!track || !track->name) {
            free(track);
            return error_set(err, -ENOMEM, "out of memory for a trace of \"%s\"", name);
        }
        track->n_spans = t->n_spans;
        *t->tracks_end = track;
        t->tracks_end = &track->next;
    }
    *out = track;
    return 0;
}

int trace_add_label(struct trace *t, const char *name, const char *text,
                    const char *const keys[TRACE_NUMBERS], const struct trace_label **out,
                    struct error *err)
{
    struct trace_label *label = calloc(1, sizeof(*label));
    bool complete = label != NULL;

    if (complete)
        complete = (label->name = copy_text(name)) != NULL;
    if (complete && text)
        complete = (label->text = copy_text(text)) != NULL;
    for (int i = 0; complete && i < TRACE_NUMBERS; i++) {
        if (keys[i])
            complete = (label->keys[i] = copy_text(keys[i])) != NULL;
    }
    if (!complete) {
        destroy_label(label);
        return error_set(err, -ENOMEM, "out of memory for the labels of a trace");
    }
    label->next = t->labels;
    t->labels = label;
    *out = label;
    return 0;
}

void trace_add(struct trace_track *track, const struct trace_label *label, double begin, double end,
               const int numbers[TRACE_NUMBERS])
{
    struct span *span = &track->spans[track->n_added++ % (uint64_t)track->n_spans];

    *span = (struct span){.label = label, .begin = begin, .end = end};
    memcpy(span->numbers, numbers, sizeof(span->numbers));
}

/* Text on its way to the file. */
struct writer {
    struct whole_file *file;
    size_t n;
    char bytes[1 << 16];
};

enum { EVENT_BYTES_MAX = 2048 };

static void flush(struct writer *w)
{
    whole_file_write(w->file, w->bytes, w->n);
    w->n = 0;
}

__attribute__((format(printf, 2, 3))) static void put(struct writer *w, const char *format, ...)
{
    va_list arguments;
    int n;

    if (sizeof(w->bytes) - w->n < EVENT_BYTES_MAX)
        flush(w);
    va_start(arguments, format);
    n = vsnprintf(w->bytes + w->n, EVENT_BYTES_MAX, format, arguments);
    va_end(arguments);
    w->n += n < EVENT_BYTES_MAX ? (size_t)n : EVENT_BYTES_MAX - 1;
}

static long long nanoseconds(const struct trace *t, double seconds)
{
    return llround(1e9 * (seconds - t->start));
}

/* Whole nanoseconds, so that what lies in another span does after printing. */
static void write_span(struct writer *w, const struct trace *t, int number, const struct span *span)
{
    const struct trace_label *label = span->label;
    long long begin = nanoseconds(t, span->begin), length = nanoseconds(t, span->end) - begin;
    const char *separator = "";

    put(w, ",\n{\"ph\":\"X\",\"pid\":1,\"tid\":%d,\"ts\":%lld.%03lld,\"dur\":%lld.%03lld", number,
        begin / 1000, begin % 1000, length / 1000, length % 1000);
    put(w, ",\"name\":\"%s\",\"args\":{", label->name);
    if (label->text) {
        put(w, "\"what\":\"%s\"", label->text);
        separator = ",";
    }
    for (int i = 0; i < TRACE_NUMBERS; i++) {
        if (!label->keys[i] || span->numbers[i] < 0)
            continue;
        put(w, "%s\"%s\":%d", separator, label->keys[i], span->numbers[i]);
        separator = ",";
    }
    put(w, "}}");
}

/* The first span that a track still has. */
static uint64_t first_of(const struct trace_track *track)
{
    uint64_t n = (uint64_t)track->n_spans;

    return track->n_added > n ? track->n_added - n : 0;
}

static const struct span *span_at(const struct trace_track *track, uint64_t i)
{
    return &track->spans[i % (uint64_t)track->n_spans];
}

/* Since when no track has lost anything. */
static double complete_since(const struct trace *t)
{
    double since = t->start;

    for (const struct trace_track *track = t->tracks; track; track = track->next) {
        uint64_t first = first_of(track);

        if (first > 0)
            since = fmax(since, span_at(track, first)->end);
    }
    return since;
}

int trace_write(const struct trace *t, const char *path, struct error *err)
{
    struct writer *w = calloc(1, sizeof(*w));
    double since = complete_since(t);
    int number = 0, rc;

    if (!w)
        return error_set(err, -ENOMEM, "out of memory writing \"%s\"", path);
    rc = whole_file_create(path, &w->file, err);
    if (rc < 0) {
        free(w);
        return rc;
    }
    put(w, "[{\"ph\":\"M\",\"pid\":1,\"name\":\"process_name\",\"args\":{\"name\":\"softdiff\"}}");
    for (const struct trace_track *track = t->tracks; track; track = track->next, number++) {
        put(w, ",\n{\"ph\":\"M\",\"pid\":1,\"tid\":%d,\"name\":\"thread_name\"", number);
        put(w, ",\"args\":{\"name\":\"%s\"}}", track->name);
        put(w, ",\n{\"ph\":\"M\",\"pid\":1,\"tid\":%d,\"name\":\"thread_sort_index\"", number);
        put(w, ",\"args\":{\"sort_index\":%d}}", number);
        for (uint64_t i = first_of(track); i < track->n_added; i++) {
            const struct span *span = span_at(track, i);

            if (span->begin >= since)
                write_span(w, t, number, span);
        }
    }
    put(w, "]\n");
    flush(w);
    rc = whole_file_end(w->file, false, err);
    free(w);
    return rc;
}
