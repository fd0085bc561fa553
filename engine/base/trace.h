/* A trace: what was done when, as lines of time that a person looks at (chrome://tracing, Perfetto).
 *
 * A line of time is a track, such as a thread's; a span is a piece of it with a label, such as a step
 * of a plan. Spans of a track lie after each other or in each other. A track keeps its last n_spans:
 * what is added to a full one takes the place of the oldest. Adding allocates nothing and waits for
 * nobody.
 *
 * Thread: one at a time, but tracks may be added to by a thread each. trace_write() and
 * trace_destroy(): while nobody adds.
 */
#ifndef ENGINE_BASE_TRACE_H
#define ENGINE_BASE_TRACE_H

struct error;
struct trace;
struct trace_label;
struct trace_track;

enum { TRACE_NUMBERS = 4, TRACE_SPANS_MAX = 1 << 24 };

/* n_spans: of each track, 1 .. TRACE_SPANS_MAX, about 50 bytes each. 0, -EINVAL or -ENOMEM. */
int trace_create(int n_spans, struct trace **out, struct error *err);
void trace_destroy(struct trace *t); /* with its tracks and labels; NULL is fine */

/* The track of this name, which is made when it is asked for first. 0 or -ENOMEM. */
int trace_find_track(struct trace *t, const char *name, struct trace_track **out,
                     struct error *err);

/* What spans are called: their name, a text that says more (NULL: none), and the names of their
 * numbers (NULL: there is no such number). Copied. 0 or -ENOMEM. */
int trace_add_label(struct trace *t, const char *name, const char *text,
                    const char *const keys[TRACE_NUMBERS], const struct trace_label **out,
                    struct error *err);

/* A span from begin to end, of clock_seconds(). Numbers below 0 are left out. */
void trace_add(struct trace_track *track, const struct trace_label *label, double begin, double end,
               const int numbers[TRACE_NUMBERS]);

/* Writes the spans since all tracks were complete as a JSON array of events, times in microseconds since
 * trace_create(). 0 or -errno of the system; the text names the file. */
int trace_write(const struct trace *t, const char *path, struct error *err);

#endif
