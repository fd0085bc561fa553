/* Whoever started the daemon and looks after it, by the protocol of systemd: hands over sockets that
 * listen already, is told what goes on, and starts it anew when it is not told in time that it is alive.
 * Where there is none, nothing happens.
 *
 * Thread: loop.
 */
#ifndef SERVER_SUPERVISOR_H
#define SERVER_SUPERVISOR_H

#include <stdint.h>

enum { SUPERVISOR_SOCKETS = 2 };

/* The sockets that were handed over, in the order of the unit: the public one, then that of the probes.
 * Returns how many there are, or -EINVAL: more than can be used. The first call takes them. */
int supervisor_sockets(int out[SUPERVISOR_SOCKETS]);

void supervisor_tell_ready(void);
void supervisor_tell_stopping(void);
void supervisor_tell_alive(void);

/* How often it is to be told, in ms: half of its patience. 0: never. */
uint64_t supervisor_period_ms(void);

#endif
