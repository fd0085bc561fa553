/* Where to listen: "127.0.0.1:8080", "[::1]:8080", "localhost:8080". */
#ifndef CONFIG_ADDRESS_H
#define CONFIG_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>

struct error;

enum { ADDRESS_TEXT_BYTES = 64 };

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } socket;
    socklen_t size; /* of the member in use */
};

/* Numeric hosts and "localhost" (127.0.0.1) only: nothing is looked up. Port 0 lets the system
 * choose. 0, or -EINVAL saying what is expected. Thread: any. */
int address_parse(const char *text, struct address *out, struct error *err);

/* The same form, NUL terminated. */
void address_format(const struct address *a, char out[ADDRESS_TEXT_BYTES]);

#endif
