#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "tests/conformance/cases.h"
#include "tests/conformance/groups.h"
#include "tests/conformance/inputs.h"
#include "tests/conformance/runner.h"

#include <stdio.h>
#include <stdlib.h>

enum { RUNS_MIN = 5, RUNS_MAX = 200, BUDGET_NS = 50 * 1000 * 1000 };

static int compare_times(const void *a, const void *b)
{
    const long long x = *(const long long *)a, y = *(const long long *)b;

    return (x > y) - (x < y);
}

static int time_runs(struct runner *runner, long long *median, int *n_runs, struct error *err)
{
    long long times[RUNS_MAX], total = 0;
    int n = 0, rc = runner_run(runner, err); /* warm-up */

    while (rc == 0 && n < RUNS_MAX && (n < RUNS_MIN || total < BUDGET_NS)) {
        double start = clock_seconds();

        rc = runner_run(runner, err);
        times[n] = (long long)(1e9 * (clock_seconds() - start));
        total += times[n++];
    }
    if (rc < 0)
        return rc;
    qsort(times, (size_t)n, sizeof(times[0]), compare_times);
    *median = times[n / 2];
    *n_runs = n;
    return 0;
}

void bench_run(const struct subject *s, enum op_kind kind, int index)
{
    struct tensor_set set = {0};
    struct runner *runner = NULL;
    struct error err = {""};
    struct op_case c;
    long long median = 0;
    char name[64];
    int n_runs = 0, rc;

    subject_case(s, kind, index, &c);
    subject_name(s, kind, index, name, sizeof(name));
    rc = inputs_make(s->reference, kind, index, &c, s->seed, &set, &err);
    if (rc == 0)
        rc = runner_create(s->device, &c.spec, &set, &runner, &err);
    if (rc == 0)
        rc = time_runs(runner, &median, &n_runs, &err);
    if (rc < 0)
        printf("%-40s %s\n", name, err.text);
    else if (c.flops > 0)
        printf("%-40s %10lld ns %8.2f GFLOP/s %4d runs  %s\n", name, median,
               c.flops / (double)median, n_runs, c.text);
    else
        printf("%-40s %10lld ns                  %4d runs  %s\n", name, median, n_runs, c.text);
    runner_destroy(runner);
    tensor_set_fini(&set);
}
