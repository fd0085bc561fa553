/* What the steps of a plan are called in a trace: their operation, the tensors that it turns into
 * which, and of which images, stage and part a span is. For executors.
 */
#ifndef ENGINE_PLAN_LABELS_H
#define ENGINE_PLAN_LABELS_H

struct error;
struct plan;
struct trace;
struct trace_label;

/* Of every operation of the plan's program. Numbers: the first image, how many, stage, part. *out: an
 * array that the caller frees; the labels are the trace's. 0 or -ENOMEM. */
int plan_label_ops(const struct plan *plan, struct trace *trace, const struct trace_label ***out,
                   struct error *err);

#endif
