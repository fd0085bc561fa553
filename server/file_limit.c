#include "server/file_limit.h"

#include "engine/base/error.h"
#include "engine/base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

int file_limit_connections(int wanted, int n_others, int *out, struct error *err)
{
    rlim_t files = (rlim_t)(wanted + n_others);
    int least = wanted < FILE_LIMIT_CONNECTIONS_MIN ? wanted : FILE_LIMIT_CONNECTIONS_MIN;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return error_set(err, -errno, "could not read the limit of open files: %s",
                         strerror(errno));
    if (limit.rlim_cur < files) {
        limit.rlim_cur = files < limit.rlim_max ? files : limit.rlim_max;
        /* Below its own hard limit a process may do this; if not, the next line sees it. */
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur < (rlim_t)(n_others + least))
        return error_set(err, -EMFILE,
                         "the limit of %llu open files leaves no room for clients; allow %d or "
                         "more (ulimit -n, or LimitNOFILE of systemd)",
                         (unsigned long long)limit.rlim_cur, n_others + least);
    *out = limit.rlim_cur < files ? (int)limit.rlim_cur - n_others : wanted;
    if (*out < wanted)
        log_write(LOG_WARN, "event=connections_limited connections=%d wanted=%d files=%llu", *out,
                  wanted, (unsigned long long)limit.rlim_cur);
    return 0;
}
