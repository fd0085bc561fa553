/* Any request head through the guard: a status of HTTP's with its reason, and whatever it lets
 * through is framed in one way only.
 *
 * The bytes are lines: method, target, version, then "name:value" for every field. What is read
 * from them is all that libmicrohttpd can tell the guard: names and values may hold any byte but
 * the line feed, and the first three no NUL.
 */
#include "tests/fuzz/target.h"

#include "server/guard.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { FIELDS_MAX = 64 };

/* Cuts the next line off: its size; *rest is behind its line feed. */
static size_t next_line(const char **rest, size_t *n_rest, const char **line)
{
    const char *end = memchr(*rest, '\n', *n_rest);
    size_t size = end ? (size_t)(end - *rest) : *n_rest;
    size_t used = end ? size + 1 : size;

    *line = *rest;
    *rest += used;
    *n_rest -= used;
    return size;
}

/* The next line as a string of its own. */
static char *next_word(const char **rest, size_t *n_rest)
{
    const char *line;
    size_t size = next_line(rest, n_rest, &line);
    char *word = strndup(line, size);

    if (!word)
        abort();
    return word;
}

static int count(const struct guard_request *r, const char *name)
{
    int n = 0;

    for (size_t i = 0; i < r->n_fields; i++)
        n += r->fields[i].name_size == strlen(name) &&
             strncasecmp(r->fields[i].name, name, r->fields[i].name_size) == 0;
    return n;
}

static void check(const struct guard_request *r)
{
    const char *why = NULL;
    int status = guard_check(r, &why);
    int lengths = count(r, "Content-Length"), codings = count(r, "Transfer-Encoding");

    if (status != 0) {
        if (status < 400 || status > 599 || !why || !*why)
            abort();
        return;
    }
    if (lengths + codings > 1 || count(r, "Host") > 1 || strpbrk(r->target, " \t\r"))
        abort();
    if ((lengths + codings == 1) != guard_is_framed(r) || !guard_knows_method(r->method))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *rest = (const char *)data, *line;
    struct guard_field fields[FIELDS_MAX];
    struct guard_request r = {.fields = fields};
    char *words[3];

    for (int i = 0; i < 3; i++)
        words[i] = next_word(&rest, &size);
    while (size > 0 && r.n_fields < FIELDS_MAX) {
        size_t n = next_line(&rest, &size, &line);
        const char *colon = memchr(line, ':', n);
        size_t name_size = colon ? (size_t)(colon - line) : n;

        fields[r.n_fields++] = (struct guard_field){
            .name = line,
            .name_size = name_size,
            .value = colon ? colon + 1 : NULL,
            .value_size = colon ? n - name_size - 1 : 0,
        };
    }
    r.method = words[0];
    r.target = words[1];
    r.version = words[2];
    check(&r);
    for (int i = 0; i < 3; i++)
        free(words[i]);
    return 0;
}
