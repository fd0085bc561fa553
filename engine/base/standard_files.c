#include "engine/base/standard_files.h"

#include <fcntl.h>
#include <unistd.h>

void standard_files_open(void)
{
    /* open() gives the lowest number that is free, which is the one that was looked at. */
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
            return;
    }
}
