/* What a request is called, in its answer and in the log. Thread: any. */
#ifndef SERVER_REQUEST_ID_H
#define SERVER_REQUEST_ID_H

#include "api/limits.h"

enum { REQUEST_ID_MADE_BYTES = 17, REQUEST_ID_BYTES = LIMITS_REQUEST_ID_BYTES + 1 };

/* A new one: 16 hexadecimal digits. */
void request_id_make(char out[REQUEST_ID_MADE_BYTES]);

/* The client's, where it has 1 to LIMITS_REQUEST_ID_BYTES letters, digits, ".", "_" or "-"; else a
 * new one. given may be NULL. */
void request_id_take(const char *given, char out[REQUEST_ID_BYTES]);

#endif
