#include "tools/bench/machine_load.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

struct machine_load machine_load_now(void)
{
    double fields[8] = {0}; /* user nice system idle iowait irq softirq steal */
    double hertz = (double)sysconf(_SC_CLK_TCK);
    struct machine_load load = {0};
    struct timespec own;
    FILE *file = fopen("/proc/stat", "r");

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own);
    load.own_s = (double)own.tv_sec + 1e-9 * (double)own.tv_nsec;
    if (!file)
        return load;
    if (fscanf(file, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &fields[0], &fields[1], &fields[2],
               &fields[3], &fields[4], &fields[5], &fields[6], &fields[7]) == 8) {
        for (int i = 0; i < 8; i++)
            load.total_s += fields[i] / hertz;
        load.busy_s = load.total_s - (fields[3] + fields[4]) / hertz;
    }
    fclose(file);
    return load;
}

double machine_load_foreign(const struct machine_load *since)
{
    struct machine_load now = machine_load_now();
    double total_s = now.total_s - since->total_s;
    double foreign_s = now.busy_s - since->busy_s - (now.own_s - since->own_s);

    return total_s > 0 && foreign_s > 0 ? foreign_s / total_s : 0;
}
