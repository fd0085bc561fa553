/* A folder of temporary files for one test program. A mistake fails the test at once. */
#ifndef TESTS_UNIT_MODEL_FILES_H
#define TESTS_UNIT_MODEL_FILES_H

#include <stddef.h>

/* Group fixtures: make the folder and remove it with what is in it. */
int files_set_up(void **state);
int files_tear_down(void **state);

const char *files_path(const char *name); /* "<folder>/<name>", until the fourth next call */
int files_count(void);                    /* entries of the folder */

void files_write(const char *name, const void *data, size_t size);
unsigned char *files_read(const char *name, size_t *size); /* malloc'ed */

/* From here on writing past so many bytes of a file fails like a full disk; 0: no limit again. */
void files_limit(size_t bytes);

#endif
