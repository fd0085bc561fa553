/* Measured numbers and what is told of them. */
#ifndef TOOLS_BENCH_SAMPLES_H
#define TOOLS_BENCH_SAMPLES_H

void samples_sort(int n, double *samples);

/* The q-quantile of n >= 1 sorted samples, to the nearest one. */
double samples_quantile(int n, const double *sorted, double q);

#endif
