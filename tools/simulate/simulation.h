/* What a stream of requests meets when it is served: a simulation by events, from measured tick
 * times.
 *
 * Two policies:
 *     continuous  as softdiffd does: the daemon's own fair queue (server/queue/player.h) shares the
 *                 lanes before every tick; arrivals join at the next tick, images leave when they are
 *                 done, long ones are parked for those that come
 *     batch       as servers without step-level batching do: images are taken in the order of
 *                 their arrival, as many as wait but no more than there are slots, and all are
 *                 computed to the end of the longest before any is delivered or the next begin
 *
 * Left out: reading and writing HTTP and PNG, and what they take from the processors.
 *
 * Thread: any; nothing is shared.
 */
#ifndef TOOLS_SIMULATE_SIMULATION_H
#define TOOLS_SIMULATE_SIMULATION_H

#include <stddef.h>

struct error;
struct stream_request;
struct ticks;

enum policy { POLICY_CONTINUOUS, POLICY_BATCH, POLICIES /* how many */ };

const char *policy_name(enum policy p);

struct simulation_options {
    enum policy policy;
    int slots;     /* 1 .. ticks_lanes_max() */
    int max_queue; /* images beyond the slots; a request that does not fit is refused */
};

struct simulation_result {
    double elapsed_s; /* from 0 to the last completion */
    double busy_s;    /* of ticks */
    int completed, refused;
    long long images;                   /* completed */
    long long evaluations;              /* that moved an image on */
    long long lane_evaluations;         /* computed */
    double mean_in_system;              /* requests, over time */
    double mean_s, p50_s, p95_s, p99_s; /* latency of those completed; 0 where there are none */
    double mean_wait_s;                 /* of those completed, until the first tick begins */
};

/* n >= 1. 0, -EINVAL (slots beyond the tick times), -ENOMEM. */
int simulation_run(const struct simulation_options *o, const struct ticks *ticks,
                   const struct stream_request *requests, int n, struct simulation_result *out,
                   struct error *err);

#endif
