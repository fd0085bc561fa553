/* The numbers of a network from a JSON file. */
#ifndef TOOLS_ARCHITECTURE_FILE_H
#define TOOLS_ARCHITECTURE_FILE_H

struct architecture;
struct error;

/* 0, -errno of the system, -EINVAL or -ENOMEM; the text names the file. */
int architecture_file_read(const char *path, struct architecture *out, struct error *err);

#endif
