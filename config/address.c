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

int address_parse(const char *text, struct address *out, struct error *err)
{
    const char *colon = strrchr(text, ':');
    struct address a = {.size = 0};
    char host[ADDRESS_TEXT_BYTES];
    size_t n = colon ? (size_t)(colon - text) : 0;
    in_port_t port;

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
                     "\"%s\" is not an address; expected e.g. 127.0.0.1:8080, 0.0.0.0:8080 or "
                     "[::1]:8080",
                     text);
}

void address_format(const struct address *a, char out[ADDRESS_TEXT_BYTES])
{
    char host[INET6_ADDRSTRLEN] = "?";

    if (a->socket.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a->socket.v6.sin6_addr, host, sizeof(host));
        snprintf(out, ADDRESS_TEXT_BYTES, "[%s]:%u", host, ntohs(a->socket.v6.sin6_port));
    } else {
        inet_ntop(AF_INET, &a->socket.v4.sin_addr, host, sizeof(host));
        snprintf(out, ADDRESS_TEXT_BYTES, "%s:%u", host, ntohs(a->socket.v4.sin_port));
    }
}
