#include "tools/stop.h"

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

enum { PATIENCE_S = 1 };

static volatile sig_atomic_t stop;

/* What the end is like, once it may come. */
static volatile sig_atomic_t may_end;
static int exit_code;
static char text[STOP_TEXT_BYTES];
static size_t text_size;

/* In handlers little may be called: no log, no stdio. */

static bool can_be_written(int fd)
{
    struct pollfd wanted = {.fd = fd, .events = POLLOUT};

    return poll(&wanted, 1, 0) > 0 && (wanted.revents & POLLOUT);
}

/* A pipe that nobody reads, or a terminal that was stopped, would keep the process from stopping: what
 * is still to be told is given up. A write() that waits there is begun anew, on what it now finds. */
static void free_standard_error(void)
{
    int nothing;

    if (can_be_written(STDERR_FILENO))
        return;
    nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nothing >= 0)
        dup2(nothing, STDERR_FILENO);
}

static void ask_to_stop(int number)
{
    stop = 1;
    free_standard_error();
    alarm(PATIENCE_S);
    signal(number, SIG_DFL);
}

static void end(int number)
{
    ssize_t told;

    if (!may_end)
        return;
    free_standard_error();
    told = write(STDERR_FILENO, text, text_size);
    (void)told; /* there is nobody else to tell */
    _exit(exit_code);
}

const volatile sig_atomic_t *stop_on_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    const struct sigaction ask = {.sa_handler = ask_to_stop, .sa_flags = SA_RESTART};
    const struct sigaction patience = {.sa_handler = end, .sa_flags = SA_RESTART};

    sigaction(SIGALRM, &patience, NULL);
    for (int i = 0; i < 3; i++) {
        struct sigaction old;

        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(numbers[i], &ask, NULL);
    }
    return &stop;
}

void stop_may_end(int code, const char *line)
{
    int size;

    stop_must_not_end(); /* while the text changes */
    exit_code = code;
    size = snprintf(text, sizeof(text), "%s%.*s\n", isatty(STDERR_FILENO) ? "\033[K" : "",
                    (int)sizeof(text) - 8, line);
    text_size = (size_t)size;
    stop_may_end_again();
}

void stop_may_end_again(void)
{
    may_end = text_size > 0;
    if (may_end && stop)
        alarm(PATIENCE_S);
}

void stop_must_not_end(void)
{
    may_end = 0;
}
