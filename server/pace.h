/* The pace of a model: how long its ticks take, by the number of lanes in them.
 *
 * What was not measured is known in part: a tick takes no less time with more lanes in it, and the time
 * per lane is no more. Where there is a choice the least that is possible is told, so that who is turned
 * away by it would have been late in any case.
 *
 * Thread: pace_add() the engine's, pace_tick_s() any.
 */
#ifndef SERVER_PACE_H
#define SERVER_PACE_H

#include <stdatomic.h>

enum { PACE_SIZES = 13 }; /* lanes up to 1, 2, 4, .., 4096 */

/* All zero: nothing is measured. */
struct pace {
    _Atomic float tick_s[PACE_SIZES]; /* smoothed; 0: not measured */
};

/* A tick with so many lanes, >= 1, has taken so many seconds. */
void pace_add(struct pace *p, int lanes, double seconds);

/* The seconds of a tick with so many lanes, >= 1; 0: nothing is known. */
double pace_tick_s(const struct pace *p, int lanes);

#endif
