#include "tools/bench/tune.h"
#include "engine/base/error.h"
#include "engine/base/watch.h"
#include "engine/choices.h"
#include "engine/plan.h"
#include "tools/bench/kernel_timer.h"
#include "tools/bench/samples.h"
#include "tools/stop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first is kept unless another takes less than this share of its time: a choice that noise made
 * would change bytes for nothing. */
static const double share_min = 0.97;

enum { RUNS_MAX = 10000 };

/* Medians of n algorithms, in turns. */
static int time_algorithms(struct device *device, const struct kernel_spec *spec, int n,
                           const char *const *names, int n_runs, const struct watch *watch,
                           double *medians, struct error *err)
{
    struct kernel_timer *timers[DEVICE_ALGORITHMS_MAX] = {NULL};
    double *seconds = malloc((size_t)n * (size_t)n_runs * sizeof(*seconds));
    struct kernel_spec one = *spec;
    int rc = seconds ? 0 : error_set(err, -ENOMEM, "out of memory for %d times", n_runs);

    for (int i = 0; i < n && rc == 0; i++) {
        one.algorithm = names[i];
        rc = kernel_timer_create(device, &one, &timers[i], err);
        if (rc == 0)
            rc = kernel_timer_run(timers[i], &seconds[0], err); /* warm-up */
    }
    for (int run = 0; run < n_runs && rc == 0; run++) {
        if (watch_stop(watch))
            rc = error_set(err, -ECANCELED, "stopped; the table has what was timed until then");
        for (int i = 0; i < n && rc == 0; i++)
            rc = kernel_timer_run(timers[i], &seconds[i * n_runs + run], err);
    }
    for (int i = 0; i < n && rc == 0; i++) {
        samples_sort(n_runs, seconds + i * n_runs);
        medians[i] = samples_quantile(n_runs, seconds + i * n_runs, 0.5);
    }
    for (int i = 0; i < n; i++)
        kernel_timer_destroy(timers[i]);
    free(seconds);
    return rc;
}

static int fastest(int n, const double *medians)
{
    int best = 0;

    for (int i = 1; i < n; i++) {
        if (medians[i] < medians[best])
            best = i;
    }
    return medians[best] < share_min * medians[0] ? best : 0;
}

/* Whether an earlier step is of the same shape. */
static bool seen_before(const struct plan *plan, int step, const char *key)
{
    for (int i = 0; i < step; i++) {
        char other[CHOICES_KEY_BYTES];
        struct kernel_spec spec;

        plan_step_spec(plan, i, &spec);
        if (choices_key(&spec, other, NULL) == 0 && strcmp(other, key) == 0)
            return true;
    }
    return false;
}

int tune_plan(struct device *device, const struct plan *plan, int n_runs, const struct watch *watch,
              struct choices *choices, struct error *err)
{
    char machine[DEVICE_MACHINE_BYTES];
    int rc = 0;

    device_machine(device, machine);
    if (n_runs > RUNS_MAX)
        n_runs = RUNS_MAX;
    for (int i = 0; i < plan_n_steps(plan) && rc == 0; i++) {
        const char *names[DEVICE_ALGORITHMS_MAX];
        double medians[DEVICE_ALGORITHMS_MAX];
        char key[CHOICES_KEY_BYTES];
        struct kernel_spec spec;
        int n, best;

        plan_step_spec(plan, i, &spec);
        n = device_algorithms(device, &spec, names);
        if (n < 2 || choices_key(&spec, key, NULL) < 0 || seen_before(plan, i, key))
            continue;
        rc = time_algorithms(device, &spec, n, names, n_runs, watch, medians, err);
        if (rc < 0)
            break;
        best = fastest(n, medians);
        rc = choices_set(choices, machine, &spec, names[best], err);
        stop_must_not_end(); /* there is something to write */
        printf("%s = %s  #", key, names[best]);
        for (int j = 0; j < n; j++)
            printf(" %s %.1f us", names[j], 1e6 * medians[j]);
        putchar('\n');
    }
    return rc;
}
