#include "server/supervisor.h"

#include <errno.h>
#include <systemd/sd-daemon.h>

int supervisor_sockets(int out[SUPERVISOR_SOCKETS])
{
    int n = sd_listen_fds(1); /* what the daemon starts is not to have them */

    if (n > SUPERVISOR_SOCKETS)
        return -EINVAL;
    for (int i = 0; i < n; i++)
        out[i] = SD_LISTEN_FDS_START + i;
    return n;
}

void supervisor_tell_ready(void)
{
    sd_notify(0, "READY=1\nSTATUS=serving");
}

void supervisor_tell_stopping(void)
{
    sd_notify(0, "STOPPING=1\nSTATUS=draining");
}

void supervisor_tell_alive(void)
{
    sd_notify(0, "WATCHDOG=1");
}

uint64_t supervisor_period_ms(void)
{
    uint64_t patience_us;

    return sd_watchdog_enabled(0, &patience_us) > 0 ? patience_us / 2000 : 0;
}
