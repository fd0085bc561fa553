/* How much of the machine others used while something was measured. */
#ifndef TOOLS_BENCH_MACHINE_LOAD_H
#define TOOLS_BENCH_MACHINE_LOAD_H

struct machine_load {
    double busy_s, total_s; /* of all processors since the machine started */
    double own_s;           /* processor time of this process */
};

struct machine_load machine_load_now(void);

/* The share of all processors that other processes used since then; 0 where the system does not tell. */
double machine_load_foreign(const struct machine_load *since);

#endif
