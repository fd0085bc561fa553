#include "server/loop_lag.h"

enum { LOOK_MS = 500, WINDOW_LOOKS = 30 };

static void look(uv_timer_t *timer)
{
    struct loop_lag *lag = timer->data;
    uint64_t now_ns = uv_hrtime(), late_ns = now_ns > lag->due_ns ? now_ns - lag->due_ns : 0;

    if (late_ns > lag->worst_ns)
        lag->worst_ns = late_ns;
    if (++lag->n == WINDOW_LOOKS) {
        lag->previous_worst_ns = lag->worst_ns;
        lag->worst_ns = 0;
        lag->n = 0;
    }
    lag->due_ns = now_ns + (uint64_t)LOOK_MS * 1000000;
    uv_timer_start(timer, look, LOOK_MS, 0);
}

void loop_lag_start(struct loop_lag *lag, uv_loop_t *loop)
{
    uv_timer_init(loop, &lag->timer);
    lag->timer.data = lag;
    lag->due_ns = uv_hrtime() + (uint64_t)LOOK_MS * 1000000;
    uv_timer_start(&lag->timer, look, LOOK_MS, 0);
}

void loop_lag_stop(struct loop_lag *lag)
{
    uv_close((uv_handle_t *)&lag->timer, NULL);
}

double loop_lag_seconds(const struct loop_lag *lag)
{
    uint64_t worst_ns =
        lag->worst_ns > lag->previous_worst_ns ? lag->worst_ns : lag->previous_worst_ns;

    return (double)worst_ns / 1e9;
}
