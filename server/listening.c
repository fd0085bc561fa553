#include "server/listening.h"

#include "engine/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BACKLOG = 511 };

static int open_socket(const struct address *a)
{
    return socket(a->socket.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* 0 or -errno. */
static int bind_port(int fd, struct address *a)
{
    int on = 1;

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        (a->socket.any.sa_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
        bind(fd, &a->socket.any, a->size) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, &a->socket.any, &a->size) < 0)
        return -errno;
    return 0;
}

/* Whether the name is that of a socket on which nobody listens. */
static bool is_left(const struct address *a)
{
    struct stat found;
    bool refused;
    int fd;

    if (lstat(a->socket.local.sun_path, &found) < 0 || !S_ISSOCK(found.st_mode))
        return false;
    fd = open_socket(a);
    if (fd < 0)
        return false;
    refused = connect(fd, &a->socket.any, a->size) < 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

/* Nobody can connect before listen(), so that the mode holds from the beginning. 0 or -errno. */
static int bind_file(int fd, const struct address *a, mode_t mode, struct listening *out)
{
    const char *path = a->socket.local.sun_path;
    struct stat made;
    int rc = 0;

    if (bind(fd, &a->socket.any, a->size) < 0) {
        rc = -errno;
        if (rc == -EADDRINUSE && is_left(a) && unlink(path) == 0)
            rc = bind(fd, &a->socket.any, a->size) < 0 ? -errno : 0;
    }
    if (rc < 0)
        return rc;
    if (chmod(path, mode) < 0 || listen(fd, BACKLOG) < 0 || lstat(path, &made) < 0) {
        rc = -errno;
        unlink(path);
        return rc;
    }
    out->local = true;
    out->device = made.st_dev;
    out->inode = made.st_ino;
    return 0;
}

/* Those who begin at the same time do so one after the other: a socket that is bound and not yet
 * listened on looks like one that was left. 0, or -errno: -EWOULDBLOCK where another begins. */
static int bind_file_alone(int fd, const struct address *a, mode_t mode, struct listening *out)
{
    char path[sizeof(a->socket.local.sun_path)];
    int folder, rc;

    memcpy(path, a->socket.local.sun_path, sizeof(path));
    folder = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return -errno;
    rc = flock(folder, LOCK_EX | LOCK_NB) < 0 ? -errno : bind_file(fd, a, mode, out);
    close(folder);
    return rc;
}

int listening_open(const char *text, mode_t mode, struct listening *out, struct error *err)
{
    struct address a;
    int rc;

    rc = address_parse(text, &a, err);
    if (rc < 0)
        return rc;
    *out = (struct listening){.socket = open_socket(&a)};
    if (out->socket < 0)
        return error_set(err, -errno, "could not open a socket: %s", strerror(errno));
    rc = a.socket.any.sa_family == AF_UNIX ? bind_file_alone(out->socket, &a, mode, out)
                                           : bind_port(out->socket, &a);
    if (rc < 0) {
        close(out->socket);
        return error_set(err, rc, "could not listen on %s: %s", text, strerror(-rc));
    }
    address_format(&a, out->text);
    return 0;
}

int listening_adopt(int fd, struct listening *out, struct error *err)
{
    struct address a = {.size = sizeof(a.socket)};
    socklen_t size = sizeof(int);
    int listens = 0, flags = fcntl(fd, F_GETFL);

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0 || !listens || flags < 0 ||
        fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || getsockname(fd, &a.socket.any, &a.size) < 0 ||
        (a.socket.any.sa_family != AF_INET && a.socket.any.sa_family != AF_INET6))
        return error_set(err, -EINVAL,
                         "descriptor %d, which was handed over, is no TCP socket that listens", fd);
    *out = (struct listening){.socket = fd, .adopted = true};
    address_format(&a, out->text);
    return 0;
}

void listening_close(const struct listening *l)
{
    struct address a;
    struct stat found;

    /* While it is listened on nobody takes its name. */
    if (l->local && address_parse(l->text, &a, NULL) == 0 &&
        lstat(a.socket.local.sun_path, &found) == 0 && found.st_dev == l->device &&
        found.st_ino == l->inode)
        unlink(a.socket.local.sun_path);
    close(l->socket);
}
