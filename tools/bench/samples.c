#include "tools/bench/samples.h"

#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

void samples_sort(int n, double *samples)
{
    qsort(samples, (size_t)n, sizeof(*samples), compare);
}

double samples_quantile(int n, const double *sorted, double q)
{
    return sorted[(int)(q * (n - 1) + 0.5)];
}
