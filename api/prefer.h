/* The Prefer header of a request (RFC 7240). */
#ifndef API_PREFER_H
#define API_PREFER_H

#include <stdbool.h>

/* Whether it names this preference, in whatever case, with a value, parameters or without. prefer NULL:
 * there is no header. What is not as the RFC has it names nothing. Thread: any. */
bool prefer_has(const char *prefer, const char *name);

/* The whole number, 0 to PREFER_NUMBER_MAX, that the first preference of this name has as its value, as in
 * "wait=10"; what is more counts as the most. -1: there is none, or it is no number. */
int prefer_number(const char *prefer, const char *name);

enum { PREFER_NUMBER_MAX = 1000000 };

#endif
