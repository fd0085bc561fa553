/* Log lines for programs: "time level key=value ..." on standard error.
 *
 * server/ and tools/ log, once, where an error stops travelling; library folders stay silent.
 * What cannot be printed is escaped (printable.h), so that no name from a file or a client can end
 * a line or drive a terminal.
 * Thread: any. A line is written with one call, so lines never mix. In a daemon a thread of its own
 * writes (log_writer.h).
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

/* A text as a value: in quotes, with a backslash before quotes and backslashes, cut where it is long.
 * Returns out. Every value that may hold a space or a quote goes through it:
 * log_write(LOG_ERROR, "event=failed error=%s", LOG_TEXT(err.text)) */
enum { LOG_TEXT_BYTES = 520 };
const char *log_text(const char *text, char out[LOG_TEXT_BYTES]);
#define LOG_TEXT(text) log_text(text, (char[LOG_TEXT_BYTES]){""})

#endif
