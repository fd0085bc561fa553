/* Memory that is left, asked for before calling libraries that die without: C++ under a C interface,
 * code that is generated, thread pools that cannot say no.
 */
#ifndef ENGINE_BASE_HEADROOM_H
#define ENGINE_BASE_HEADROOM_H

#include <stddef.h>

struct error;

/* Whether so many bytes could be mapped now; none of them are kept. 0, or -ENOMEM with a text that
 * says what it is for and names the limit of address space, if there is one. A few microseconds.
 * Thread: any. */
int headroom_check(size_t bytes, const char *what, struct error *err);

#endif
