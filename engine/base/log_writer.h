/* A thread that writes the log, so that whoever logs never waits for whoever reads: a pipe that
 * nobody empties blocks this thread alone.
 *
 * Lines go through a ring of LOG_WRITER_BYTES; where it is full they are dropped and counted.
 * Without a writer log_write() writes by itself. One per process. Thread: any, but where said.
 */
#ifndef ENGINE_BASE_LOG_WRITER_H
#define ENGINE_BASE_LOG_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

enum { LOG_WRITER_BYTES = 1 << 20, LOG_WRITER_TIME_BYTES = 24 };

/* 0, -ENOMEM or -EAGAIN. Thread: the main one, once. */
int log_writer_start(struct error *err);

/* Ends the thread once all lines are written. What blocks longer than patience_ms is left behind:
 * the thread stays, further lines are dropped, and the process can end. Thread: the main one. */
void log_writer_stop(int patience_ms);

/* Takes a line that begins with its LOG_WRITER_TIME_BYTES of time and ends with its only line feed.
 * The first one after some were dropped is preceded by one that tells how many:
 * "TIME level=warn event=log_dropped lines=N". False: there is no writer. */
bool log_writer_put(const char *line, size_t size);

uint64_t log_writer_dropped(void); /* lines since the start of the process */

#endif
