#include "server/probe.h"

#include "config/address.h"
#include "engine/base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static const char request[] = "GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n";

/* A daemon that listens everywhere is asked at the loopback. */
static void use_loopback(struct address *a)
{
    if (a->socket.any.sa_family == AF_INET && a->socket.v4.sin_addr.s_addr == htonl(INADDR_ANY))
        a->socket.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else if (a->socket.any.sa_family == AF_INET6 &&
             IN6_IS_ADDR_UNSPECIFIED(&a->socket.v6.sin6_addr))
        a->socket.v6.sin6_addr = in6addr_loopback;
}

static int talk(int fd, const struct address *address, char *reply, size_t size, struct error *err)
{
    const struct timeval timeout = {PROBE_TIMEOUT_MS / 1000, PROBE_TIMEOUT_MS % 1000 * 1000};
    size_t used = 0;
    ssize_t n;

    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0)
        return error_set(err, -errno, "could not connect: %s", strerror(errno));
    /* With a time limit they are interrupted where the process halts and goes on, without a handler, too. */
    if (TEMP_FAILURE_RETRY(connect(fd, &address->socket.any, address->size)) < 0)
        return error_set(err, -errno, "could not connect: %s", strerror(errno));
    n = TEMP_FAILURE_RETRY(send(fd, request, strlen(request), MSG_NOSIGNAL));
    if (n != (ssize_t)strlen(request))
        return error_set(err, -EIO, "could not send a request");
    do {
        n = TEMP_FAILURE_RETRY(recv(fd, reply + used, size - used - 1, 0));
        if (n < 0)
            return error_set(err, errno == EAGAIN ? -ETIMEDOUT : -errno, "got no answer: %s",
                             errno == EAGAIN ? "timed out" : strerror(errno));
        used += (size_t)n;
    } while (n > 0 && used + 1 < size);
    reply[used] = '\0';
    return 0;
}

int probe_ready(const char *text, char *answer, size_t size, struct error *err)
{
    struct address address;
    char reply[4096];
    const char *body;
    int status, fd, rc;

    rc = address_parse(text, &address, err);
    if (rc < 0)
        return rc;
    use_loopback(&address);
    fd = socket(address.socket.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set(err, -errno, "could not open a socket: %s", strerror(errno));
    rc = talk(fd, &address, reply, sizeof(reply), err);
    close(fd);
    if (rc < 0) {
        error_prefix(err, "probe of %s: ", text);
        return rc;
    }
    body = strstr(reply, "\r\n\r\n");
    if (!body || sscanf(reply, "HTTP/1.%*1[01] %3d", &status) != 1)
        return error_set(err, -EPROTO, "probe of %s: the answer is not HTTP", text);
    snprintf(answer, size, "%s", body + 4);
    return status == 200 ? 0 : -EAGAIN;
}
