#include "config/address.h"

#include "engine/base/error.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_port(const char *text, in_port_t *out)
{
    char *end;
    unsigned long port;

    if (*text < '0' || *text > '9')
        return -EINVAL;
    port = strtoul(text, &end, 10);
    if (*end || port > 65535)
        return -EINVAL;
    *out = htons((in_port_t)port);
    return 0;
}

static const char unix_prefix[] = "unix:";
static const size_t unix_size = sizeof(unix_prefix) - 1;

static int parse_path(const char *path, struct address *out, struct error *err)
{
    struct address a = {.size = sizeof(a.socket.local)};
    size_t n = strlen(path);

    if (n == 0 || n >= sizeof(a.socket.local.sun_path))
        return error_set(err, -EINVAL, "\"unix:%s\" is not an address; a path has 1 to %zu bytes",
                         path, sizeof(a.socket.local.sun_path) - 1);
    a.socket.local.sun_family = AF_UNIX;
    memcpy(a.socket.local.sun_path, path, n);
    *out = a;
    return 0;
}

int address_parse(const char *text, struct address *out, struct error *err)
{
    const char *colon = strrchr(text, ':');
    struct address a = {.size = 0};
    char host[ADDRESS_TEXT_BYTES];
    size_t n = colon ? (size_t)(colon - text) : 0;
    in_port_t port;

    if (strncmp(text, unix_prefix, unix_size) == 0)
        return parse_path(text + unix_size, out, err);
    if (n == 0 || n >= sizeof(host) || read_port(colon + 1, &port) < 0)
        goto invalid;
    memcpy(host, text, n);
    host[n] = '\0';
    if (host[0] == '[' && host[n - 1] == ']') {
        host[n - 1] = '\0';
        a.socket.v6.sin6_family = AF_INET6;
        a.socket.v6.sin6_port = port;
        a.size = sizeof(a.socket.v6);
        if (inet_pton(AF_INET6, host + 1, &a.socket.v6.sin6_addr) != 1)
            goto invalid;
    } else {
        a.socket.v4.sin_family = AF_INET;
        a.socket.v4.sin_port = port;
        a.size = sizeof(a.socket.v4);
        if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host,
                      &a.socket.v4.sin_addr) != 1)
            goto invalid;
    }
    *out = a;
    return 0;

invalid:
    return error_set(err, -EINVAL,
                     "\"%s\" is not an address; expected e.g. 127.0.0.1:8080, 0.0.0.0:8080, "
                     "[::1]:8080 or unix:/run/softdiff/http",
                     text);
}

void address_format(const struct address *a, char out[ADDRESS_TEXT_BYTES])
{
    char host[INET6_ADDRSTRLEN] = "?";

    if (a->socket.any.sa_family == AF_UNIX) {
        snprintf(out, ADDRESS_TEXT_BYTES, "%s%s", unix_prefix, a->socket.local.sun_path);
    } else if (a->socket.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a->socket.v6.sin6_addr, host, sizeof(host));
        snprintf(out, ADDRESS_TEXT_BYTES, "[%s]:%u", host, ntohs(a->socket.v6.sin6_port));
    } else {
        inet_ntop(AF_INET, &a->socket.v4.sin_addr, host, sizeof(host));
        snprintf(out, ADDRESS_TEXT_BYTES, "%s:%u", host, ntohs(a->socket.v4.sin_port));
    }
}
