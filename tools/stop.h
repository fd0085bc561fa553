/* Being asked by a signal to stop. */
#ifndef TOOLS_STOP_H
#define TOOLS_STOP_H

#include <signal.h>

/* From here on SIGINT, SIGTERM and SIGHUP make the flag true, once each: the second of a kind ends
 * the process. Signals that are ignored already stay so, as nohup(1) wants it for SIGHUP.
 * Thread: the main one. */
const volatile sig_atomic_t *stop_on_signals(void);

#endif
