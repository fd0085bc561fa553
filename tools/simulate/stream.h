/* A stream of requests: who comes when and wants what. The same options give the same stream,
 * whatever serves it.
 *
 * Requests come independently of each other (a Poisson process); their numbers of images and of
 * evaluations are drawn independently from distributions.
 */
#ifndef TOOLS_SIMULATE_STREAM_H
#define TOOLS_SIMULATE_STREAM_H

#include <stdint.h>

struct error;

enum { DISTRIBUTION_MAX = 16 };

/* Numbers and their shares, which add up to 1. */
struct distribution {
    int n;
    int value[DISTRIBUTION_MAX];
    double share[DISTRIBUTION_MAX];
};

/* "20" or "10:0.5,20:0.3,1000:0.2": values of 1 .. max with weights of any sum. 0 or -EINVAL. */
int distribution_parse(const char *text, int max, struct distribution *out, struct error *err);
double distribution_mean(const struct distribution *d);

struct stream_request {
    double arrival_s;
    int images; /* of the request */
    int nfe;    /* of each image */
};

/* Fills requests[0 .. n) in the order of their arrival. rate: requests per second, > 0. */
void stream_draw(uint64_t seed, double rate, const struct distribution *images,
                 const struct distribution *nfe, int n, struct stream_request *requests);

#endif
