/* How late the event loop is: a timer that should fire every half second, and when it does.
 *
 * Thread: loop.
 */
#ifndef SERVER_LOOP_LAG_H
#define SERVER_LOOP_LAG_H

#include <stdint.h>
#include <uv.h>

struct loop_lag {
    uv_timer_t timer;
    uint64_t due_ns;
    uint64_t worst_ns, previous_worst_ns; /* of this window and the one before */
    int n;                                /* looks in this window */
};

void loop_lag_start(struct loop_lag *lag, uv_loop_t *loop);
void loop_lag_stop(struct loop_lag *lag); /* before the loop ends */

/* The worst of the last 15 to 30 s. */
double loop_lag_seconds(const struct loop_lag *lag);

#endif
