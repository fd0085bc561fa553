/* How often values were how large, as Prometheus counts it.
 *
 * Thread: one at a time.
 */
#ifndef SERVER_HISTOGRAM_H
#define SERVER_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

enum { HISTOGRAM_BOUNDS_MAX = 15 };

/* Upper bounds of the buckets, rising; beyond them is one more. */
struct histogram_bounds {
    int n;
    double bounds[HISTOGRAM_BOUNDS_MAX];
};

extern const struct histogram_bounds histogram_seconds; /* 1 ms to 2 minutes */
extern const struct histogram_bounds histogram_images;  /* 1 to 4096 */

/* All zero: nothing was counted. The bounds are always the same of one. */
struct histogram {
    uint64_t counts[HISTOGRAM_BOUNDS_MAX + 1]; /* of each bucket alone */
    double sum;
};

void histogram_add(struct histogram *h, const struct histogram_bounds *bounds, double value);

/* Counts all that another has counted, too. */
void histogram_join(struct histogram *h, const struct histogram *other);

/* Writes its series in the text format of Prometheus. labels: "" or a="b",c="d". */
void histogram_write(const struct histogram *h, const struct histogram_bounds *bounds,
                     const char *name, const char *labels, FILE *out);

#endif
