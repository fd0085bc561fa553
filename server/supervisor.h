/* Whoever started the daemon and looks after it, by the protocol of systemd: hands over sockets that
 * listen already, is told what goes on, and starts it anew when it is not told in time that it is alive.
 * Where there is none, nothing happens. Telling never waits: where the supervisor does not read, signs of
 * life are dropped, states are told later, and the log says so once.
 *
 * Thread: loop.
 */
#ifndef SERVER_SUPERVISOR_H
#define SERVER_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { SUPERVISOR_SOCKETS = 2 };

/* The sockets that were handed over, in the order of the unit: the public one, then that of the probes.
 * Returns how many there are, or -EINVAL: more than can be used. The first call takes them. */
int supervisor_sockets(int out[SUPERVISOR_SOCKETS]);

/* To be filled by supervisor_open(). */
struct supervisor {
    int socket; /* to tell by; -1: there is nobody */
    struct sockaddr_un address;
    socklen_t address_size;
    const char *owed; /* a state that could not be told yet; NULL: none */
    bool complained;
};

void supervisor_open(struct supervisor *s);
void supervisor_close(struct supervisor *s);

void supervisor_tell_ready(struct supervisor *s);
void supervisor_tell_stopping(struct supervisor *s);
void supervisor_tell_alive(struct supervisor *s);

/* What it could not be told when it was so. */
void supervisor_tell_again(struct supervisor *s);

/* How often it is to be told that the daemon is alive, and what it is owed, in ms: half of its patience where
 * it has one. 0: never. */
uint64_t supervisor_period_ms(const struct supervisor *s);

#endif
