/* How many connections the system's limit of open files leaves, so that a flood of clients takes no
 * descriptor from the probes or from the daemon itself.
 */
#ifndef SERVER_FILE_LIMIT_H
#define SERVER_FILE_LIMIT_H

struct error;

enum { FILE_LIMIT_CONNECTIONS_MIN = 16 };

/* Raises the soft limit of open files as far as wanted connections beside n_others need it. out:
 * as many connections as fit, at most wanted; a warning is logged where they are fewer.
 * 0, or -EMFILE when not even FILE_LIMIT_CONNECTIONS_MIN (or the fewer that are wanted) fit. */
int file_limit_connections(int wanted, int n_others, int *out, struct error *err);

#endif
