/* Pages of other origins (CORS): which of them may read answers, and what they may send.
 *
 * Nobody but those of the setting cors-origin, or all with "*"; never with credentials of the browser,
 * which means nothing here.
 *
 * Thread: loop.
 */
#ifndef SERVER_CROSS_ORIGIN_H
#define SERVER_CROSS_ORIGIN_H

#include <stdbool.h>

struct exchange;
struct settings;

/* To be called with the head: says who may read the answer. True: it is a preflight, which
 * cross_origin_preflight() answers. */
bool cross_origin_begin(const struct settings *s, struct exchange *x);

/* methods: of the address, NULL: nothing is there. */
void cross_origin_preflight(const struct settings *s, struct exchange *x, const char *methods);

#endif
