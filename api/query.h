/* The query of a target, name by name: "sampler=pf-2m&nfe=20".
 *
 * Percent-encoding is undone, "+" is a space (as forms send it), a name without "=" has an empty
 * value, and empty pieces between "&" are passed over. Thread: any.
 */
#ifndef API_QUERY_H
#define API_QUERY_H

#include <stddef.h>

enum { QUERY_TEXT_BYTES = 256 };

struct query_pair {
    char name[QUERY_TEXT_BYTES], value[QUERY_TEXT_BYTES];
};

/* Takes the next pair off *query, which NULL ends. 1, 0 at the end, or -EINVAL: half an escape,
 * what is not printable ASCII, or a text of QUERY_TEXT_BYTES and more. */
int query_next(const char **query, struct query_pair *out);

/* n bytes of a path or query with their escapes undone; plus_is_space in queries. out: NUL
 * terminated. 0 or -EINVAL, as above. */
int query_unescape(const char *text, size_t n, int plus_is_space, char *out, size_t size);

#endif
