/* A text file that is printed to and put in place whole, or not at all (engine/base/whole_file.h).
 *
 *     rc = text_file_begin(&f, path, err);
 *     if (rc == 0) {
 *         fprintf(f.out, ...);
 *         rc = text_file_end(&f, err);
 *     }
 */
#ifndef TOOLS_TEXT_FILE_H
#define TOOLS_TEXT_FILE_H

#include <stdio.h>

struct error;

struct text_file {
    const char *path; /* borrowed */
    FILE *out;
    char *text; /* until the end it is in memory */
    size_t size;
};

/* 0 or -ENOMEM. */
int text_file_begin(struct text_file *f, const char *path, struct error *err);
/* 0, -ENOMEM or -errno of the file, which is then as it was. */
int text_file_end(struct text_file *f, struct error *err);

#endif
