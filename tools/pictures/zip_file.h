/* ZIP archives of files, read member by member (APPNOTE.TXT of PKWARE, 6.3.3): stored or deflated, also
 * of more than 65,535 members or 4 GiB. Nothing is mapped, and every offset and size that the archive says is
 * compared with the file's before it is used. Thread: any, but for opening and closing.
 */
#ifndef TOOLS_PICTURES_ZIP_FILE_H
#define TOOLS_PICTURES_ZIP_FILE_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct zip_file;

enum { ZIP_HEAD_BYTES = 16 };

/* 0, -errno of the system, -EINVAL (no archive, damaged, or in several parts), -ENOMEM. The text has the
 * path. */
int zip_file_open(const char *path, struct zip_file **out, struct error *err);
void zip_file_close(struct zip_file *z);

/* Members that are files, in the order of their names' bytes. */
int zip_file_n(const struct zip_file *z);
const char *zip_file_name(const struct zip_file *z, int i);

/* The first bytes of a member, ZIP_HEAD_BYTES of them if it is so long; returns how many, 0 also where it
 * cannot be read. */
size_t zip_file_head(const struct zip_file *z, int i, uint8_t head[ZIP_HEAD_BYTES]);

/* A member, malloc'ed. 0, -errno, -EINVAL (damaged, encrypted, or of another method), -EFBIG (more than
 * size_max bytes), -ENOMEM. The text has no name. */
int zip_file_read(const struct zip_file *z, int i, size_t size_max, uint8_t **out, size_t *size,
                  struct error *err);

#endif
