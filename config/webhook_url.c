#include "config/webhook_url.h"

#include "engine/base/error.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Parts of an address, in it. */
struct parts {
    bool secure;
    const char *host; /* with the brackets of one in IPv6 */
    size_t host_n;
    int port;
    const char *path; /* with the query; "": none */
};

static const char digits[] = "0123456789";

static int read_port(const char *text, size_t n, int *out)
{
    if (n == 0 || n > 5 || *text == '0' || strspn(text, digits) < n)
        return -EINVAL;
    *out = (int)strtol(text, NULL, 10);
    return *out >= 1 && *out <= 65535 ? 0 : -EINVAL;
}

/* host, host:port, [address] or [address]:port */
static int read_authority(const char *text, size_t n, struct parts *out)
{
    const char *letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    const char *end;

    out->host = text;
    if (*text == '[') {
        out->host_n = 1 + strspn(text + 1, "0123456789abcdefABCDEF:.");
        if (out->host_n < 3 || out->host_n >= n || text[out->host_n] != ']')
            return -EINVAL;
        out->host_n++;
    } else {
        out->host_n = strspn(text, letters);
        if (out->host_n == 0 || *text == '.' || *text == '-')
            return -EINVAL;
    }
    end = text + out->host_n;
    out->port = out->secure ? 443 : 80;
    if (out->host_n == n)
        return 0;
    if (out->host_n > n || *end != ':')
        return -EINVAL;
    return read_port(end + 1, n - out->host_n - 1, &out->port);
}

/* Whether a path may be read in two ways. */
static bool is_ambiguous(const char *path)
{
    static const char *const escapes[] = {"%2e", "%2f", "%5c", "%00"};
    size_t path_n = strcspn(path, "?"), n;

    for (size_t i = 0; i < path_n; i++)
        for (size_t k = 0; path[i] == '%' && k < sizeof(escapes) / sizeof(escapes[0]); k++)
            if (strncasecmp(path + i, escapes[k], 3) == 0)
                return true;
    for (const char *p = path; p < path + path_n; p += n) {
        p++;
        n = strcspn(p, "/?");
        if ((n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
            return true;
    }
    return false;
}

static int parse(const char *url, size_t size, struct parts *out)
{
    size_t n;

    for (size_t i = 0; i < size; i++)
        if (!isgraph((unsigned char)url[i]) || strchr("\\\"<>^`{|}#,", url[i]))
            return -EINVAL;
    out->secure = strncmp(url, "https://", 8) == 0;
    if (!out->secure && strncmp(url, "http://", 7) != 0)
        return -EINVAL;
    url += out->secure ? 8 : 7;
    n = strcspn(url, "/?,");
    out->path = url + n;
    if (*out->path == '?' || read_authority(url, n, out) < 0)
        return -EINVAL;
    return *out->path == '/' && is_ambiguous(out->path) ? -EINVAL : 0;
}

int webhook_url_check(const char *url, struct error *err)
{
    struct parts parts;
    size_t n = strlen(url);

    if (n < WEBHOOK_URL_BYTES && parse(url, n, &parts) == 0)
        return 0;
    return error_set(err, -EINVAL,
                     "is not an http:// or https:// address of less than %d bytes in its plain "
                     "spelling, without user, fragment or dots as parts of its path",
                     WEBHOOK_URL_BYTES);
}

/* The next rule, copied; false: there is none. */
static bool next_rule(const char **rules, char out[WEBHOOK_URL_BYTES])
{
    size_t n = strcspn(*rules, ",");

    if (!**rules)
        return false;
    /* One that is too long is refused by its check, and fits nothing. */
    snprintf(out, WEBHOOK_URL_BYTES, "%.*s", n < WEBHOOK_URL_BYTES ? (int)n : 0, *rules);
    *rules += n + ((*rules)[n] == ',');
    return true;
}

int webhook_rules_check(const char *rules, struct error *err)
{
    char rule[WEBHOOK_URL_BYTES];

    while (next_rule(&rules, rule))
        if (webhook_url_check(rule, err) < 0 || strchr(rule, '?'))
            return error_set(err, -EINVAL,
                             "\"%.100s\" is not how addresses of webhooks begin, such as "
                             "https://hooks.example.com/softdiff/",
                             rule);
    return 0;
}

static bool is_below(const char *path, const char *rule)
{
    size_t n = strlen(rule);

    if (n == 0)
        return true;
    path = *path ? path : "/";
    if (strncmp(path, rule, n) != 0)
        return false;
    return rule[n - 1] == '/' || !path[n] || path[n] == '/' || path[n] == '?';
}

bool webhook_url_is_allowed(const char *url, const char *rules)
{
    char rule[WEBHOOK_URL_BYTES];
    struct parts wanted, allowed;

    if (parse(url, strlen(url), &wanted) < 0)
        return false;
    while (next_rule(&rules, rule))
        if (parse(rule, strlen(rule), &allowed) == 0 && wanted.secure == allowed.secure &&
            wanted.port == allowed.port && wanted.host_n == allowed.host_n &&
            strncasecmp(wanted.host, allowed.host, wanted.host_n) == 0 &&
            is_below(wanted.path, allowed.path))
            return true;
    return false;
}
