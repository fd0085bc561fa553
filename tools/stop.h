/* Being asked by a signal to stop.
 *
 * Whoever is asked stops in order: long work looks at the flag (engine/base/watch.h) and returns, what
 * is open is closed. Work that cannot look, such as a network that is being made or the evaluation of
 * a large batch, ends with the process, where nothing can be lost by that. What cannot be told
 * because nobody takes it keeps no process from stopping.
 * Thread: the main one.
 */
#ifndef TOOLS_STOP_H
#define TOOLS_STOP_H

#include <signal.h>

enum { STOP_TEXT_BYTES = 512 };

/* From here on SIGINT, SIGTERM and SIGHUP make the flag true, once each: the second of a kind ends
 * the process. Signals that are ignored already stay so, as nohup(1) wants it for SIGHUP. */
const volatile sig_atomic_t *stop_on_signals(void);

/* From now on a process that still runs a second after it was asked, or is asked later, ends with
 * this exit code and this line on standard error. text: copied. */
void stop_may_end(int exit_code, const char *text);

/* From now on it does not: something would be lost. */
void stop_must_not_end(void);
/* And again it may, as it was said last; nothing where that never was. */
void stop_may_end_again(void);

#endif
