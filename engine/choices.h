/* Tables of kernel choices: which algorithm computes an operation of a shape, on machines where a
 * device has more than one.
 *
 * A table is a text file, made by softdiff-bench --tune and fit to be read and edited:
 *
 *     softdiff choices 1
 *     # what follows is for machines that call themselves so (device_machine())
 *     machine cpu oneDNN-2.6.3 avx512_core_bf16 avx512_bf16 L1d-48K L2-2048K
 *     convolution 16x16x48:bf16 48x48x3x3 48 -> 16x16x48:bf16 stride 1 pad 1 = whole
 *
 * A line names an operation and its inputs and outputs without the batch, float32 unless marked,
 * "-" where one is absent; then its attributes, and behind the = the algorithm. What has no line
 * is computed by the first algorithm that the device lists. A line holds for all numbers of images; of
 * a GPU it names a configuration of cuDNN, such as e41-2_0-13_1, or "direct". Nothing is ever timed while a program
 * runs: the same tables give the same bytes.
 *
 * A table is read-only once it is shared. Thread: any, while nobody calls choices_set().
 */
#ifndef ENGINE_CHOICES_H
#define ENGINE_CHOICES_H

#include "engine/op.h"

#include <stddef.h>
#include <stdint.h>

struct choices;
struct error;

enum { CHOICES_KEY_BYTES = 320 };

int choices_create(struct choices **out, struct error *err); /* an empty table; 0 or -ENOMEM */
void choices_destroy(struct choices *choices);               /* NULL is fine */

/* Adds what a file says. 0, -EINVAL naming file and line (a word that is not understood, a shape
 * that has a line already), -ENOENT and the like, -EFBIG, -ENOMEM; after an error the table is only
 * good for being destroyed. */
int choices_read(struct choices *choices, const char *path, struct error *err);
/* The same of a file's content; path stands in messages. */
int choices_parse(struct choices *choices, const char *path, const char *text, size_t size,
                  struct error *err);
/* Adds the files *.choices that come with the program: of the checkout, for a program in its build
 * folder, else of the installation. A folder that is not there holds none. Errors as above. */
int choices_read_shipped(struct choices *choices, struct error *err);

/* Writes a file that choices_read() takes: all lines, in the order of their text. 0, -errno. */
int choices_write(const struct choices *choices, const char *path, struct error *err);

/* The algorithm for a spec, until the table changes; NULL: no line, or choices is NULL. */
const char *choices_find(const struct choices *choices, const char *machine,
                         const struct kernel_spec *spec);
/* Adds a line or changes one. 0, -EINVAL (no such text could be read back), -ENOMEM. */
int choices_set(struct choices *choices, const char *machine, const struct kernel_spec *spec,
                const char *algorithm, struct error *err);

/* A hash of the lines for a machine; the same for the same lines, wherever they stand. */
uint64_t choices_hash(const struct choices *choices, const char *machine);

/* What stands in a line in front of the =. 0, or -EINVAL if it is too long. */
int choices_key(const struct kernel_spec *spec, char key[CHOICES_KEY_BYTES], struct error *err);

#endif
