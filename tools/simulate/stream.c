#include "tools/simulate/stream.h"

#include "engine/base/error.h"
#include "engine/base/philox.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

/* What is drawn for each request. */
enum { STREAM_GAP, STREAM_CHOICES };

int distribution_parse(const char *text, int max, struct distribution *out, struct error *err)
{
    struct distribution d = {0};
    const char *rest = text;
    double sum = 0;

    for (;;) {
        char *end;
        long value = strtol(rest, &end, 10);
        bool good = end != rest && value >= 1 && value <= max && d.n < DISTRIBUTION_MAX;
        double weight = 1;

        if (good && *end == ':') {
            rest = end + 1;
            weight = strtod(rest, &end);
            good = end != rest && weight >= 0 && isfinite(weight);
        }
        if (!good || (*end != ',' && *end != '\0'))
            return error_set(err, -EINVAL,
                             "\"%s\" is not a list of up to %d VALUE:WEIGHT with values of 1 to %d",
                             text, DISTRIBUTION_MAX, max);
        d.value[d.n] = (int)value;
        d.share[d.n++] = weight;
        sum += weight;
        if (*end == '\0')
            break;
        rest = end + 1;
    }
    if (!(sum > 0))
        return error_set(err, -EINVAL, "the weights of \"%s\" are all zero", text);
    for (int i = 0; i < d.n; i++)
        d.share[i] /= sum;
    *out = d;
    return 0;
}

double distribution_mean(const struct distribution *d)
{
    double mean = 0;

    for (int i = 0; i < d->n; i++)
        mean += d->share[i] * d->value[i];
    return mean;
}

/* In (0, 1), with 53 bits. */
static double uniform(uint32_t high, uint32_t low)
{
    return ((double)((uint64_t)high << 21 | low >> 11) + 0.5) * 0x1p-53;
}

static int draw(const struct distribution *d, double u)
{
    int i = 0;

    for (; i + 1 < d->n && u > d->share[i]; i++)
        u -= d->share[i];
    return d->value[i];
}

void stream_draw(uint64_t seed, double rate, const struct distribution *images,
                 const struct distribution *nfe, int n, struct stream_request *requests)
{
    struct philox_key key = philox_key(seed, 0, 0);
    double now_s = 0;

    for (int i = 0; i < n; i++) {
        uint32_t gap[4], choices[4];

        philox_block(&key, STREAM_GAP, (uint32_t)i, gap);
        philox_block(&key, STREAM_CHOICES, (uint32_t)i, choices);
        now_s -= log(uniform(gap[0], gap[1])) / rate;
        requests[i].arrival_s = now_s;
        requests[i].images = draw(images, uniform(choices[0], choices[1]));
        requests[i].nfe = draw(nfe, uniform(choices[2], choices[3]));
    }
}
