/* Files that programs write where they are told to. */
#ifndef TOOLS_OUTPUT_H
#define TOOLS_OUTPUT_H

#include <stdbool.h>

struct error;

/* Whether a file of this name can be written, before the work for it: 0, what whole_file_try() returns,
 * or -EEXIST where one is there and not to be replaced, which --force is for. */
int output_try(const char *path, bool force, struct error *err);

#endif
