/* A text file that grows by whole lines: a log, a table.
 *
 * A process that is killed leaves half a line, a disk that is full does, too, and what is appended
 * to it later would be glued on. Here a line is there whole or not at all: what is torn is taken
 * out when the file is opened, and a line that could not be written is taken back.
 * Thread: one at a time.
 */
#ifndef TOOLS_LINE_FILE_H
#define TOOLS_LINE_FILE_H

#include <stdbool.h>

struct error;
struct line_file;

/* Decides about one line of a file that is opened: 1 it stays, 0 it goes, or a negative error code,
 * with which opening fails and the file is left alone. line: without its line feed; number: from 1;
 * whole: false for the last line if no line feed ends it, and for one with NULs in it, as a
 * filesystem leaves them after a power failure: such a line may only go. */
typedef int line_file_judge(void *arg, const char *line, int number, bool whole, struct error *err);

/* Opens the file. One that is not there is made with its first line; that it can be is tried here. 0,
 * -errno of the system, -EINVAL (not a regular file), -ENOMEM, or what judge returned. */
int line_file_open(const char *path, line_file_judge *judge, void *arg, struct line_file **out,
                   struct error *err);
void line_file_close(struct line_file *f);

/* Appends a line, which has no line feed, or several that have one in between. 0 or -errno of the system; the file is then as before. */
int line_file_add(struct line_file *f, const char *line, struct error *err);

#endif
