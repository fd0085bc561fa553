/* The forecast: when a request will be done if it is taken on now, from the pace of the models and what
 * is there already.
 *
 * Its model's queue is played to its end (server/lookahead.h) with those that wait there for an answer and, for
 * what is in the background, with all. Where another model is asked for, a tick of that comes between any
 * two. Devices share the images evenly, but for those of a restoration, which has one.
 *
 * Thread: loop.
 */
#ifndef SERVER_FORECAST_H
#define SERVER_FORECAST_H

struct drawing_order;
struct drawings;

struct forecast {
    double alone_ms; /* 0: the pace is not known, nor is anything else, or there is no memory */
    double first_ms; /* until its first evaluation is done */
    double done_ms;
};

/* lanes: of each model, on each of so many devices that work. */
void forecast_make(const struct drawings *all, const struct drawing_order *order, int lanes,
                   int devices, struct forecast *out);

#endif
