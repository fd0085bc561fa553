#include "engine/base/headroom.h"
#include "engine/base/error.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>

int headroom_check(size_t bytes, const char *what, struct error *err)
{
    /* Never touched: it costs address space alone, which is what limits are about. */
    void *probe = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct rlimit limit;

    if (probe != MAP_FAILED) {
        munmap(probe, bytes);
        return 0;
    }
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        return error_set(err, -ENOMEM,
                         "out of memory for %s: the limit of address space, %llu MiB (ulimit -v), "
                         "leaves less than %zu MiB",
                         what, (unsigned long long)limit.rlim_cur >> 20, bytes >> 20);
    return error_set(err, -ENOMEM, "out of memory for %s: less than %zu MiB are left", what,
                     bytes >> 20);
}
