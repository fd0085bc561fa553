/* What Prometheus' own client libraries tell of a process, under the same names: processor time, memory,
 * descriptors, start. From /proc; what cannot be read is left out.
 *
 * Thread: any.
 */
#ifndef SERVER_PROCESS_METRICS_H
#define SERVER_PROCESS_METRICS_H

#include <stdio.h>

void process_metrics_write(FILE *out);

#endif
