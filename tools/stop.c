#include "tools/stop.h"

static volatile sig_atomic_t stop;

static void ask_to_stop(int number)
{
    stop = 1;
    signal(number, SIG_DFL);
}

const volatile sig_atomic_t *stop_on_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    const struct sigaction action = {.sa_handler = ask_to_stop, .sa_flags = SA_RESTART};

    for (int i = 0; i < 3; i++) {
        struct sigaction old;

        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
    }
    return &stop;
}
