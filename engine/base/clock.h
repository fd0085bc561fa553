/* Time that only moves forward, for how long things take and when they are due.
 *
 * Thread: any.
 */
#ifndef ENGINE_BASE_CLOCK_H
#define ENGINE_BASE_CLOCK_H

/* Seconds since some fixed moment. */
double clock_seconds(void);

#endif
