/* Tables of kernel choices by measurement. Thread: one at a time. */
#ifndef TOOLS_BENCH_TUNE_H
#define TOOLS_BENCH_TUNE_H

struct choices;
struct device;
struct error;
struct plan;
struct watch;

/* For each step of the plan's largest cut that the device has several algorithms for: times them in
 * turns, n_runs times each, puts the one that is fastest by the median into choices, or the device's
 * first where nothing is faster than that by more than a hair, and prints a line. Shapes that are
 * there several times are timed once. All parts of a kernel run on one thread: that is right for
 * batches which keep all threads busy, and favours kernels of few parts.
 * 0, -ENOMEM, -EIO or -ECANCELED; choices then has what was measured before. */
int tune_plan(struct device *device, const struct plan *plan, int n_runs, const struct watch *watch,
              struct choices *choices, struct error *err);

#endif
