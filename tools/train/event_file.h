/* Event files of TensorBoard: numbers and pictures by step, which it draws while they grow.
 *
 * A file is a sequence of records (TFRecord: length, its checksum, bytes, their checksum; CRC-32C,
 * masked) that are each a protobuf message Event. Only what is used of it is written here. What a process
 * writes is in a file of its own; that it begins at a step lets TensorBoard forget later ones, of steps that
 * were lost with a crash.
 * Thread: one.
 */
#ifndef TOOLS_TRAIN_EVENT_FILE_H
#define TOOLS_TRAIN_EVENT_FILE_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct event_file;

struct event_number {
    const char *tag; /* "loss", or "loss_t/0.1" to be shown among others of "loss_t" */
    double value;
};

/* A new file in the folder. step: what has been done before. 0, -ENOMEM or -errno. */
int event_file_create(const char *folder, uint64_t step, struct event_file **out,
                      struct error *err);
void event_file_close(struct event_file *f); /* NULL is fine */

/* Numbers that are not finite are left out. 0, -ENOMEM or -errno. */
int event_file_add_numbers(struct event_file *f, uint64_t step, int n,
                           const struct event_number *numbers, struct error *err);
/* png: a file's bytes. 0, -EINVAL (they are none), -ENOMEM or -errno. */
int event_file_add_picture(struct event_file *f, uint64_t step, const char *tag,
                           const unsigned char *png, size_t size, struct error *err);

#endif
