#include "tools/bench/plan_table.h"
#include "engine/base/error.h"
#include "engine/executor.h"
#include "engine/plan.h"
#include "engine/program.h"
#include "tools/bench/samples.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int plan_table_measure(const struct plan *plan, struct executor *executor, int n_runs,
                       double *seconds, struct error *err)
{
    int n_steps = plan_n_steps(plan), rc = 0;
    double *runs = malloc((size_t)n_runs * (size_t)n_steps * sizeof(*runs));
    double *column = malloc((size_t)n_runs * sizeof(*column));

    if (!runs || !column)
        rc = error_set(err, -ENOMEM, "out of memory for the times of %d steps", n_steps);
    for (int i = 0; i < n_runs && rc == 0; i++)
        rc = executor_profile(executor, runs + (size_t)i * (size_t)n_steps, err);
    for (int i = 0; i < n_steps && rc == 0; i++) {
        for (int j = 0; j < n_runs; j++)
            column[j] = runs[(size_t)j * (size_t)n_steps + (size_t)i];
        samples_sort(n_runs, column);
        seconds[i] = samples_quantile(n_runs, column, 0.5);
    }
    free(runs);
    free(column);
    return rc;
}

const char *plan_table_algorithm(struct device *device, const struct plan *plan, int step)
{
    const char *names[DEVICE_ALGORITHMS_MAX];
    struct kernel_spec spec;
    int n, i;

    plan_step_spec(plan, step, &spec);
    n = device_algorithms(device, &spec, names);
    i = device_algorithm_of(device, &spec, n, names, NULL);
    return n > 1 && i >= 0 ? names[i] : NULL;
}

static void print_steps(struct device *device, const struct plan *plan, const double *seconds)
{
    printf("%5s  %-24s %-18s %-18s %5s %9s %8s  %s\n", "round", "operation", "from", "to", "parts",
           "us", "GFLOP/s", "algorithm");
    for (int i = 0; i < plan_n_steps(plan); i++) {
        struct plan_step step = plan_step(plan, i);
        const char *algorithm = plan_table_algorithm(device, plan, i);
        char x[TENSOR_TEXT_BYTES], y[TENSOR_TEXT_BYTES];

        tensor_text(&step.x, step.x_type, x, sizeof(x));
        tensor_text(&step.y, step.y_type, y, sizeof(y));
        printf("%5d  %-24s %-18s %-18s %5d %9.1f", step.round, op_name(step.op->kind), x, y,
               step.n_parts, 1e6 * seconds[i]);
        if (step.products > 0)
            printf(" %8.0f", 2e-9 * step.products / seconds[i]);
        if (algorithm)
            printf("%*s  %s", step.products > 0 ? 0 : 9, "", algorithm);
        printf("\n");
    }
}

static void print_sums(const struct plan *plan, const double *seconds)
{
    struct passes passes = plan_passes(plan);
    double sums[OP_KINDS] = {0}, total = 0, products = 0;
    int counts[OP_KINDS] = {0};

    for (int i = 0; i < plan_n_steps(plan); i++) {
        struct plan_step step = plan_step(plan, i);

        counts[step.op->kind]++;
        sums[step.op->kind] += seconds[i];
        total += seconds[i];
        products += step.products;
    }
    printf("\n%-24s %5s %9s %6s\n", "operation", "steps", "us", "share");
    for (int kind = 0; kind < OP_KINDS; kind++) {
        if (counts[kind])
            printf("%-24s %5d %9.1f %5.1f%%\n", op_name((enum op_kind)kind), counts[kind],
                   1e6 * sums[kind], 100 * sums[kind] / total);
    }
    printf("%-24s %5d %9.1f   (%.2f GFLOP, %.0f GFLOP/s)\n", "all", plan_n_steps(plan), 1e6 * total,
           2e-9 * products, 2e-9 * products / total);
    if (plan_n_launches(plan) < plan_n_steps(plan))
        printf("%d launches, since steps are joined; the first of them has all the time\n",
               plan_n_launches(plan));
    printf("%d rounds; passes: %d upsamplings moved behind 1x1 convolutions, %d sums put into "
           "convolutions\n",
           plan_n_rounds(plan), passes.n_up_after, passes.n_add_into);
}

int plan_table_print(struct device *device, const struct plan *plan, struct executor *executor,
                     int n_runs, struct error *err)
{
    double *seconds = malloc((size_t)plan_n_steps(plan) * sizeof(*seconds) + 1);
    int rc = 0;

    if (!seconds)
        return error_set(err, -ENOMEM, "out of memory for the times of a plan");
    rc = plan_table_measure(plan, executor, n_runs, seconds, err);
    if (rc == 0) {
        print_steps(device, plan, seconds);
        print_sums(plan, seconds);
    }
    free(seconds);
    return rc;
}
