/* The client behind softdiffd --healthcheck, so that an image needs no other. */
#ifndef SERVER_PROBE_H
#define SERVER_PROBE_H

#include <stddef.h>

struct error;

enum { PROBE_TIMEOUT_MS = 3000 };

/* Asks GET /readyz of the daemon that listens for probes on `address` (any address: the loopback).
 *
 * answer  NUL-terminated body of the answer, cut at size
 *
 * 0 if it is ready; -EAGAIN if it answers that it is not; -ETIMEDOUT, -EPROTO or -errno if it does
 * not answer. Blocks for at most PROBE_TIMEOUT_MS per step. */
int probe_ready(const char *address, char *answer, size_t size, struct error *err);

#endif
