/* The addresses of the daemon, and how many may connect to them. */
#include "server/daemon.h"

#include "config/settings.h"
#include "engine/base/error.h"
#include "server/file_limit.h"
#include "server/refusal.h"
#include "server/supervisor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* Descriptors beside those of the clients: probes, refusals, the loop, the devices. */
    OTHER_FILES = DAEMON_ADMIN_CONNECTIONS + 2 * REFUSALS_MAX + 64,
};

/* What to do about an address that cannot be had, by the flag that names it. */
static int hint(int rc, const char *flag, const char *variable, const char *address,
                struct error *err)
{
    struct error reason = *err;
    const char *advice = NULL;

    if (strncmp(address, "unix:", 5) == 0) /* files need no advice */
        return rc;
    if (rc == -EADDRINUSE)
        advice = "another program has the port; stop it, or choose another";
    else if (rc == -EACCES)
        advice = "ports below 1024 are for root; choose another";
    else if (rc == -EADDRNOTAVAIL)
        advice = "this machine has no such address; choose one that it has, or 0.0.0.0 for all,";
    if (advice)
        error_set(err, rc, "%s; %s with %s ADDRESS:PORT or %s (port 0: any free one)", reason.text,
                  advice, flag, variable);
    return rc;
}

int daemon_connections(const struct settings *s, int *out, struct error *err)
{
    return file_limit_connections(s->max_connections, OTHER_FILES, out, err);
}

int daemon_bind(const struct settings *s, struct daemon_sockets *out, struct error *err)
{
    mode_t mode = (mode_t)strtoul(s->socket_mode, NULL, 8);
    int given[SUPERVISOR_SOCKETS], n = supervisor_sockets(given), rc;

    if (n < 0)
        return error_set(err, n, "more than %d sockets were handed over", SUPERVISOR_SOCKETS);
    rc = n > 0 ? listening_adopt(given[0], &out->public, err)
               : listening_open(s->listen, mode, &out->public, err);
    if (rc < 0)
        return hint(rc, "--listen", "SOFTDIFF_LISTEN", s->listen, err);
    rc = n > 1 ? listening_adopt(given[1], &out->admin, err)
               : listening_open(s->admin_listen, mode, &out->admin, err);
    if (rc < 0) {
        listening_close(&out->public);
        return hint(rc, "--admin-listen", "SOFTDIFF_ADMIN_LISTEN", s->admin_listen, err);
    }
    return 0;
}
