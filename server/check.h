/* softdiffd --check: whether these settings would start. */
#ifndef SERVER_CHECK_H
#define SERVER_CHECK_H

#include <stdio.h>

struct error;
struct settings;

/* Does what the daemon does until it is ready, and ends: binds the addresses, opens the device, loads
 * every checkpoint and generates with it; a line about each to file. 0, or the first error. */
int check_settings(const struct settings *s, FILE *file, struct error *err);

#endif
