/* Log lines for programs: "time level key=value ..." on standard error.
 *
 * server/ and tools/ log, once, where an error stops travelling; library folders stay silent.
 * What cannot be printed is escaped (printable.h), so that no name from a file or a client can end
 * a line or drive a terminal.
 * Thread: any. A line is written with one call, so lines never mix.
 */
#ifndef ENGINE_BASE_LOG_H
#define ENGINE_BASE_LOG_H

enum log_level {
    LOG_DEBUG, /* off by default */
    LOG_INFO,  /* start, stop, one per job */
    LOG_WARN,  /* degraded */
    LOG_ERROR, /* someone must act */
};

/* Lines below level are dropped. Call before other threads start. Default LOG_INFO. */
void log_set_level(enum log_level level);

/* Writes one line, e.g. log_write(LOG_INFO, "event=start port=%d", port). */
__attribute__((format(printf, 2, 3))) void log_write(enum log_level level, const char *fmt, ...);

#endif
