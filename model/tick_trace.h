/* The ticks of a generator as spans of a trace: when each began, was with the device and ended. */
#ifndef MODEL_TICK_TRACE_H
#define MODEL_TICK_TRACE_H

struct error;
struct generator_times;
struct tick_trace;
struct trace;

/* Ticks go to the track of this name. trace is borrowed. 0 or -ENOMEM. */
int tick_trace_create(struct trace *trace, const char *track, struct tick_trace **out,
                      struct error *err);
void tick_trace_destroy(struct tick_trace *t); /* NULL is fine */

/* A tick of n lanes. */
void tick_trace_add(const struct tick_trace *t, const struct generator_times *times, int n_lanes);

#endif
