#include "server/short_turns.h"

#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TURN_NS = 100000 }; /* the least that Linux takes */

/* Linux's struct sched_attr: its header cannot be read beside that of older C libraries, which do not
 * have it. */
struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns, deadline_ns, period_ns;
};

void short_turns_take(void)
{
    struct attributes a = {.size = sizeof(a)};

    if (syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0) < 0 ||
        a.policy != SCHED_OTHER) /* somebody has chosen another */
        return;
    a.runtime_ns = TURN_NS;
    syscall(SYS_sched_setattr, 0, &a, 0);
}
