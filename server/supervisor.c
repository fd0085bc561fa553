/* sd_notify() would wait for room where the supervisor does not read; here nothing may wait. */
#include "server/supervisor.h"

#include "engine/base/log.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

enum { OWED_PERIOD_MS = 1000 };

int supervisor_sockets(int out[SUPERVISOR_SOCKETS])
{
    int n = sd_listen_fds(1); /* what the daemon starts is not to have them */

    if (n > SUPERVISOR_SOCKETS)
        return -EINVAL;
    for (int i = 0; i < n; i++)
        out[i] = SD_LISTEN_FDS_START + i;
    return n;
}

/* A path, or a name that begins with @ where it is in no file system. */
static int find_address(const char *path, struct supervisor *s)
{
    size_t size = strlen(path);

    if ((*path != '/' && *path != '@') || size < 2 || size > sizeof(s->address.sun_path) - 1)
        return -EINVAL;
    s->address.sun_family = AF_UNIX;
    memcpy(s->address.sun_path, path, size + 1);
    s->address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + 1);
    if (*path == '@') {
        s->address.sun_path[0] = '\0';
        s->address_size--; /* every byte of such a name counts */
    }
    return 0;
}

void supervisor_open(struct supervisor *s)
{
    const char *path = getenv("NOTIFY_SOCKET");
    int rc;

    *s = (struct supervisor){.socket = -1};
    if (!path || !*path)
        return;
    rc = find_address(path, s);
    if (rc == 0) {
        s->socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        rc = s->socket < 0 ? -errno : 0;
    }
    if (rc < 0)
        log_write(LOG_WARN, "event=supervisor_unknown socket=%s error=%s", LOG_TEXT(path),
                  LOG_TEXT(strerror(-rc)));
}

void supervisor_close(struct supervisor *s)
{
    if (s->socket >= 0)
        close(s->socket);
    s->socket = -1;
}

/* Whether it was taken, or there is nobody. */
static bool send_text(struct supervisor *s, const char *text)
{
    ssize_t n;

    if (s->socket < 0)
        return true;
    do
        n = sendto(s->socket, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT,
                   (struct sockaddr *)&s->address, s->address_size);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return true;
    if (!s->complained)
        log_write(LOG_WARN, "event=supervisor_lost error=%s", LOG_TEXT(strerror(errno)));
    s->complained = true;
    return false;
}

/* Of the states of the daemon the last one counts, and is told later if it cannot be now. */
static void tell_state(struct supervisor *s, const char *text)
{
    s->owed = send_text(s, text) ? NULL : text;
}

void supervisor_tell_ready(struct supervisor *s)
{
    tell_state(s, "READY=1\nSTATUS=serving");
}

void supervisor_tell_stopping(struct supervisor *s)
{
    tell_state(s, "STOPPING=1\nSTATUS=draining");
}

void supervisor_tell_again(struct supervisor *s)
{
    if (s->owed)
        tell_state(s, s->owed);
}

void supervisor_tell_alive(struct supervisor *s)
{
    send_text(s, "WATCHDOG=1");
}

uint64_t supervisor_period_ms(const struct supervisor *s)
{
    uint64_t patience_us;

    if (s->socket < 0)
        return 0;
    return sd_watchdog_enabled(0, &patience_us) > 0 ? patience_us / 2000 : OWED_PERIOD_MS;
}
