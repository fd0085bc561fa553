/* Seeds on the wire: 0 .. 2^64 - 1, of which JSON numbers hold the lesser half in most clients.
 *
 * Taken as a number or as a decimal string; given as a number up to 2^53 - 1, which every client holds
 * exactly, and as a decimal string from there on. Thread: any.
 */
#ifndef API_SEED_H
#define API_SEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_t;

/* New reference; NULL without memory. */
struct json_t *seed_to_json(uint64_t seed);

/* 0 or -EINVAL. Numbers with a point or an exponent count where they are whole and below 2^53. */
int seed_from_json(const struct json_t *value, uint64_t *out);

/* n decimal digits. 0 or -EINVAL. */
int seed_from_text(const char *text, size_t n, uint64_t *out);

/* A JSON text whose seeds can be read: jansson's integers end at 2^63 - 1, so the numbers from there
 * on that stand behind the keys "seed" and "seed_b" of the outermost object are put into quotes. What is no JSON
 * stays none. everywhere: all such numbers are. out: malloc'ed, owned by the caller; NULL: the text is good
 * as it is. 0 or -ENOMEM. */
int seed_quote_large(const char *text, size_t size, bool everywhere, char **out, size_t *out_size);

#endif
