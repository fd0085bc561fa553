/* The Prefer header of a request (RFC 7240). */
#ifndef API_PREFER_H
#define API_PREFER_H

#include <stdbool.h>

/* Whether it names this preference, in whatever case, with a value, parameters or without. prefer NULL:
 * there is no header. What is not as the RFC has it names nothing. Thread: any. */
bool prefer_has(const char *prefer, const char *name);

#endif
