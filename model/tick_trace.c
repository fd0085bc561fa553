#include "model/tick_trace.h"
#include "engine/base/error.h"
#include "engine/base/trace.h"
#include "model/generator.h"

#include <errno.h>
#include <stdlib.h>

enum { TICK, START, DRAW, DEVICE, NEXT_ROWS, WAIT, FINISH, LABELS };

struct tick_trace {
    struct trace_track *track;
    const struct trace_label *labels[LABELS];
};

int tick_trace_create(struct trace *trace, const char *track, struct tick_trace **out,
                      struct error *err)
{
    static const struct {
        const char *name, *text;
    } spans[LABELS] = {
        [TICK] = {"tick", NULL},
        [START] = {"start", "rows of the lanes are written"},
        [DRAW] = {"draw", "x_1 of the lanes that are new"},
        [DEVICE] = {"device", "it has the tick"},
        [NEXT_ROWS] = {"next rows", "those of the tick after this one are written meanwhile"},
        [WAIT] = {"wait", NULL},
        [FINISH] = {"finish", "images are delivered"},
    };
    static const char *const keys[TRACE_NUMBERS] = {"lanes"};
    struct tick_trace *t = calloc(1, sizeof(*t));
    int rc;

    if (!t)
        return error_set(err, -ENOMEM, "out of memory for a trace of ticks");
    rc = trace_find_track(trace, track, &t->track, err);
    for (int i = 0; i < LABELS && rc == 0; i++)
        rc = trace_add_label(trace, spans[i].name, spans[i].text, keys, &t->labels[i], err);
    if (rc < 0) {
        free(t);
        return rc;
    }
    *out = t;
    return 0;
}

void tick_trace_destroy(struct tick_trace *t)
{
    free(t);
}

/* lanes -1: they are not told. */
static void add(const struct tick_trace *t, int label, double begin, double end, int lanes)
{
    trace_add(t->track, t->labels[label], begin, end, (const int[TRACE_NUMBERS]){lanes});
}

void tick_trace_add(const struct tick_trace *t, const struct generator_times *times, int n_lanes)
{
    if (times->drawn > times->begin)
        add(t, DRAW, times->begin, times->drawn, -1);
    add(t, START, times->begin, times->written, -1);
    add(t, NEXT_ROWS, times->handed, times->filled, -1);
    add(t, WAIT, times->waiting, times->done, -1);
    add(t, DEVICE, times->written, times->done, -1);
    add(t, FINISH, times->done, times->end, -1);
    add(t, TICK, times->begin, times->end, n_lanes);
}
