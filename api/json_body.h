/* Bodies of requests that are JSON objects.
 *
 * Thread: any.
 */
#ifndef API_JSON_BODY_H
#define API_JSON_BODY_H

#include <stdbool.h>
#include <stddef.h>

struct json_t;
struct problem;

/* A new reference to the object. Seeds that jansson's integers do not hold come as strings, everywhere:
 * all such numbers do (seed_quote_large()). NULL: the problem is filled in: 400 for what is no JSON, 422 for a
 * number out of range and for what is no object, 503 without memory. */
struct json_t *json_body_read(const char *body, size_t size, bool everywhere,
                              struct problem *problem);

#endif
