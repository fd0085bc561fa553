/* Where to listen: "127.0.0.1:8080", "[::1]:8080", "localhost:8080", "unix:/run/softdiff/http". */
#ifndef CONFIG_ADDRESS_H
#define CONFIG_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

struct error;

enum { ADDRESS_TEXT_BYTES = 128 };

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    } socket;
    socklen_t size; /* of the member in use */
};

/* Numeric hosts and "localhost" (127.0.0.1) only: nothing is looked up. Port 0 lets the system
 * choose. What follows "unix:" is the path of a socket, of less than 108 bytes. 0, or -EINVAL saying what is expected. Thread: any. */
int address_parse(const char *text, struct address *out, struct error *err);

/* The same form, NUL terminated. */
void address_format(const struct address *a, char out[ADDRESS_TEXT_BYTES]);

#endif
