/* The forecast: when a request will be done if it is taken on now, from the pace of the models and what
 * is there already.
 *
 * It counts in ticks of the model. Alone, n images of so many evaluations take as many ticks as these
 * where they fit into the lanes together, and beside others no fewer; nor fewer than the evaluations
 * that come before its last one, of which each lane does one a tick: its own and, as lanes are shared
 * evenly, up to as many of every other request that somebody waits for, or half of that where it has
 * begun. Where another model is asked for, a tick of that comes between any two. Devices share the images
 * evenly, but for those of a restoration, which has one.
 *
 * Thread: loop.
 */
#ifndef SERVER_FORECAST_H
#define SERVER_FORECAST_H

struct drawing_order;
struct drawings;

struct forecast {
    double alone_ms; /* 0: the pace is not known, nor is anything else */
    double first_ms; /* until its first evaluation is done */
    double done_ms;
};

/* lanes: of each model, on each of so many devices that work. */
void forecast_make(const struct drawings *all, const struct drawing_order *order, int lanes,
                   int devices, struct forecast *out);

#endif
