#include "server/histogram.h"

#include <inttypes.h>

const struct histogram_bounds histogram_seconds = {15,
                                                   {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                    0.25, 0.5, 1, 2.5, 5, 10, 30, 120}};
const struct histogram_bounds histogram_images = {13,
                                                  {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024,
                                                   2048, 4096}};

void histogram_add(struct histogram *h, const struct histogram_bounds *bounds, double value)
{
    int i = 0;

    while (i < bounds->n && value > bounds->bounds[i])
        i++;
    h->counts[i]++;
    h->sum += value;
}

void histogram_join(struct histogram *h, const struct histogram *other)
{
    for (int i = 0; i <= HISTOGRAM_BOUNDS_MAX; i++)
        h->counts[i] += other->counts[i];
    h->sum += other->sum;
}

void histogram_write(const struct histogram *h, const struct histogram_bounds *bounds,
                     const char *name, const char *labels, FILE *out)
{
    const char *comma = *labels ? "," : "", *open = *labels ? "{" : "", *close = *labels ? "}" : "";
    uint64_t n = 0;

    for (int i = 0; i < bounds->n; i++) {
        n += h->counts[i];
        fprintf(out, "%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", name, labels, comma,
                bounds->bounds[i], n);
    }
    n += h->counts[bounds->n];
    fprintf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, comma, n);
    fprintf(out, "%s_sum%s%s%s %.9g\n", name, open, labels, close, h->sum);
    fprintf(out, "%s_count%s%s%s %" PRIu64 "\n", name, open, labels, close, n);
}
