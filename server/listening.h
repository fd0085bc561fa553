/* A socket to listen on, and the file that one has in the file system.
 *
 * Such a file is made for who may use it (mode), stays as long as somebody listens, and is removed by
 * whoever made it. One that was left by a daemon that was killed is replaced; one on which somebody
 * listens, and a file of another kind, never.
 *
 * Thread: loop.
 */
#ifndef SERVER_LISTENING_H
#define SERVER_LISTENING_H

#include "config/address.h"

#include <stdbool.h>
#include <sys/types.h>

struct error;

struct listening {
    int socket;
    char text
        [ADDRESS_TEXT_BYTES]; /* the address, with the port that the system chose where it was 0 */
    bool adopted;             /* whoever waits there when we go is let in by the next one */
    bool local;               /* it has a file: */
    dev_t device;
    ino_t inode;
};

/* Binds and listens. mode: of the file. The text of an error names the address alone. 0, -EINVAL,
 * -EADDRINUSE or -errno. */
int listening_open(const char *address, mode_t mode, struct listening *out, struct error *err);

/* A socket that listens already, from elsewhere: taken on success. 0, or -EINVAL where it is none. */
int listening_adopt(int fd, struct listening *out, struct error *err);

/* And removes its file, unless another has its name by now. */
void listening_close(const struct listening *l);

#endif
