#include "engine/base/process.h"
#include "engine/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* The usual limit, and what the main thread gets along with. */
enum { STACK_BYTES = 8 << 20, STACK_BYTES_MIN = 512 << 10 };

static void open_standard_files(void)
{
    /* open() gives the lowest number that is free, which is the one that was looked at. */
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
            return;
    }
}

/* For atexit(): whatever printed it, and however main() ends. */
static void check_output(void)
{
    bool failed = ferror(stdout);

    errno = 0;
    if (fclose(stdout) != 0 || failed) {
        fprintf(stderr, "%s: could not write to standard output%s%s\n",
                program_invocation_short_name, errno ? ": " : "", errno ? strerror(errno) : "");
        _exit(1);
    }
}

static int set_stacks(struct error *err)
{
    struct rlimit limit;
    pthread_attr_t attr;

    if (getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur < STACK_BYTES) {
        limit.rlim_cur = limit.rlim_max < STACK_BYTES ? limit.rlim_max : STACK_BYTES;
        setrlimit(RLIMIT_STACK, &limit);
        if (limit.rlim_cur < STACK_BYTES_MIN)
            return error_set(err, -ENOMEM,
                             "the limit of the stack, %llu KiB (ulimit -s), is less than %d KiB",
                             (unsigned long long)limit.rlim_cur >> 10, STACK_BYTES_MIN >> 10);
    }
    /* Else the limit that was there at the start, low or huge, would be every thread's size. */
    if (pthread_attr_init(&attr) == 0) {
        pthread_attr_setstacksize(&attr, STACK_BYTES);
        pthread_setattr_default_np(&attr);
        pthread_attr_destroy(&attr);
    }
    return 0;
}

int process_begin(struct error *err)
{
    open_standard_files();
    atexit(check_output);
    signal(SIGXFSZ, SIG_IGN);
    return set_stacks(err);
}
