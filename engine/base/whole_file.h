/* Files as a whole: read into memory of our own, or replaced in one step.
 *
 * A file that is mapped, or trusted to be as long as it said, kills the process when somebody cuts
 * it meanwhile; here that is an error. What is written goes to a part file in the same folder
 * first, so that the file of that name is the old one or the new one, never half of one. The part
 * file has a short name made from the file's own ("<folder>/.<16 digits>.part") and is locked while
 * it is written: what a killed writer left is taken over and replaced by the next one, and two
 * writers of one file wait for each other. A link is followed; a pipe or a device, such as /dev/stdout,
 * has nothing to replace and is written to.
 * Thread: any, one at a time per object.
 */
#ifndef ENGINE_BASE_WHOLE_FILE_H
#define ENGINE_BASE_WHOLE_FILE_H

#include <stdbool.h>
#include <stddef.h>

struct error;
struct whole_file; /* being written */

/* Reads a regular file of at most size_max bytes. *bytes: malloc'ed, aligned for any type, with a NUL
 * after the last byte that *size does not count. 0, -errno of the system, -EINVAL (not a regular file, or it changed while it was
 * read), -EFBIG (longer than size_max or than the memory of this machine), -ENOMEM. The text has no
 * path. */
int whole_file_read(const char *path, size_t size_max, unsigned char **bytes, size_t *size,
                    struct error *err);

/* Begins to write the file of this name, which may be there. 0, -errno of the system, -EISDIR,
 * -ENOMEM. The text names the file. */
int whole_file_create(const char *path, struct whole_file **out, struct error *err);

/* Appends. 0, or -errno of the system, which is also kept for the end. */
int whole_file_write(struct whole_file *f, const void *bytes, size_t size);

/* Frees f and puts what was written in place, unless a write failed; then, and where this fails, the
 * older file is as it was and the part file is gone. durable: also after a power failure; costs a
 * wait for the disk. 0 or -errno of the system. */
int whole_file_end(struct whole_file *f, bool durable, struct error *err);

/* Whether a file of this name can be written, so that this is known before the work for it is done;
 * leaves everything as it was. As whole_file_create(). */
int whole_file_try(const char *path, struct error *err);

/* Frees f and leaves everything as it was. NULL is fine. */
void whole_file_abandon(struct whole_file *f);

/* All of that for one piece of memory. */
int whole_file_put(const char *path, const void *bytes, size_t size, bool durable,
                   struct error *err);

#endif
