#include "api/seed.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Digits of 2^63, the least number that jansson refuses. */
enum { LARGE_DIGITS = 19 };

static const uint64_t exact_max = (UINT64_C(1) << 53) - 1; /* of a client's numbers */

struct json_t *seed_to_json(uint64_t seed)
{
    char text[24];

    if (seed <= exact_max)
        return json_integer((json_int_t)seed);
    snprintf(text, sizeof(text), "%" PRIu64, seed);
    return json_string(text);
}

int seed_from_text(const char *text, size_t size, uint64_t *out)
{
    uint64_t value = 0, digit;

    if (size == 0 || size > 20)
        return -EINVAL;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -EINVAL;
        digit = (uint64_t)(text[i] - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return -EINVAL;
        value = value * 10 + digit;
    }
    *out = value;
    return 0;
}

int seed_from_json(const struct json_t *value, uint64_t *out)
{
    double real = json_real_value(value);

    if (json_is_string(value))
        return seed_from_text(json_string_value(value), json_string_length(value), out);
    if (json_is_integer(value) && json_integer_value(value) >= 0)
        *out = (uint64_t)json_integer_value(value);
    else if (json_is_real(value) && real >= 0 && real <= (double)exact_max &&
             real == (double)(uint64_t)real)
        *out = (uint64_t)real;
    else
        return -EINVAL;
    return 0;
}

/* The end of the string that begins with the quote at p. */
static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++)
        if (*p == '\\')
            p++;
    return p < end ? p + 1 : end;
}

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && strchr(" \t\r\n", *p) && *p)
        p++;
    return p;
}

/* The end of the digits at p; *large: they are a number of LARGE_DIGITS or more, and nothing else. */
static const char *skip_digits(const char *p, const char *end, bool *large)
{
    const char *value = p;

    while (p < end && *p >= '0' && *p <= '9')
        p++;
    *large = p - value >= LARGE_DIGITS && *value != '0' && (p == end || !strchr(".eE+-", *p));
    return p;
}

/* What follows the colon behind the key that ends at p, NULL: it is none. */
static const char *value_of_key(const char *p, const char *end)
{
    p = skip_space(p, end);
    return p < end && *p == ':' ? skip_space(p + 1, end) : NULL;
}

/* Whether the n bytes are a key with a seed behind. */
static bool is_seed(const char *key, size_t n)
{
    static const char *const keys[] = {"\"seed\"", "\"seed_b\""};

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (n == strlen(keys[i]) && memcmp(key, keys[i], n) == 0)
            return true;
    return false;
}

/* The next large number after *p with its depth that is the outermost object's value of "seed" or "seed_b", or
 * that stands anywhere; its digits, 0: there is none. */
static size_t find_large(const char **at, const char *end, bool everywhere, int *depth)
{
    const char *p = *at, *value, *start;
    bool large = false;

    while (p < end) {
        start = p;
        value = NULL;
        if (*p == '"') {
            p = skip_string(p, end);
            if (!everywhere && *depth == 1 && is_seed(start, (size_t)(p - start)))
                value = value_of_key(p, end);
        } else if (*p >= '0' && *p <= '9') {
            if (everywhere && (p == *at || !strchr(".eE+-", p[-1])))
                value = p;
            else
                p = skip_digits(p, end, &large);
        } else {
            *depth += *p == '{' || *p == '[' ? 1 : *p == '}' || *p == ']' ? -1 : 0;
            p++;
        }
        if (!value)
            continue;
        p = skip_digits(value, end, &large);
        if (large) {
            *at = value;
            return (size_t)(p - value);
        }
    }
    return 0;
}

int seed_quote_large(const char *text, size_t size, bool everywhere, char **out, size_t *out_size)
{
    const char *end = text + size, *copied = text, *at = text;
    char *quoted = NULL;
    size_t digits, used = 0, n = 0;
    int depth = 0;

    *out = NULL;
    while ((digits = find_large(&at, end, everywhere, &depth)) > 0) {
        if (!quoted) /* a quote more before and behind each: they are LARGE_DIGITS apart */
            quoted = malloc(size + 2 * (size / LARGE_DIGITS + 1));
        if (!quoted)
            return -ENOMEM;
        n = (size_t)(at - copied);
        memcpy(quoted + used, copied, n);
        used += n;
        quoted[used++] = '"';
        memcpy(quoted + used, at, digits);
        used += digits;
        quoted[used++] = '"';
        at += digits;
        copied = at;
    }
    if (!quoted)
        return 0;
    memcpy(quoted + used, copied, (size_t)(end - copied));
    *out = quoted;
    *out_size = used + (size_t)(end - copied);
    return 0;
}
