/* JSON files: recipes, solvers, what another program has measured. */
#ifndef TOOLS_JSON_FILE_H
#define TOOLS_JSON_FILE_H

struct error;
struct json_t;

/* out: new. 0, -errno of the system, -EINVAL (no JSON), -EFBIG or -ENOMEM; the text names the file. */
int json_file_read(const char *path, struct json_t **out, struct error *err);

#endif
