/* softdiffd --check: whether these settings would start. */
#ifndef SERVER_CHECK_H
#define SERVER_CHECK_H

#include <stdio.h>

struct error;
struct settings;

/* Opens the device and loads every checkpoint, a line about each to file; listens nowhere.
 * 0, or the first error. */
int check_settings(const struct settings *s, FILE *file, struct error *err);

#endif
