/* GET /metrics: the daemon's counters and gauges as Prometheus reads them (text format 0.0.4).
 *
 * Thread: loop.
 */
#ifndef SERVER_METRICS_H
#define SERVER_METRICS_H

struct daemon;

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* malloc'ed; NULL without memory. */
char *metrics_text(const struct daemon *d);

#endif
