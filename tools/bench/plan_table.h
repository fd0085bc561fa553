/* A plan as a table for people: its steps with their shapes, parts and times.
 *
 * Thread: one at a time.
 */
#ifndef TOOLS_BENCH_PLAN_TABLE_H
#define TOOLS_BENCH_PLAN_TABLE_H

struct device;
struct error;
struct executor;
struct plan;

/* Times every step n_runs times on one thread. seconds: [plan_n_steps()] medians. 0, -ENOMEM or -EIO. */
int plan_table_measure(const struct plan *plan, struct executor *executor, int n_runs,
                       double *seconds, struct error *err);

/* Times every step n_runs times on one thread and prints medians, in the order of running, with what
 * the passes did and the sum per operation, and which algorithms were chosen. 0, -ENOMEM or -EIO. */
int plan_table_print(struct device *device, const struct plan *plan, struct executor *executor,
                     int n_runs, struct error *err);

/* The algorithm that a step of the device's plan has; NULL where there is no choice. */
const char *plan_table_algorithm(struct device *device, const struct plan *plan, int step);

#endif
