/* safetensors files: strict reading into memory of our own, atomic writing.
 *
 * Layout: u64 little-endian length of the header, JSON header, raw little-endian tensors.
 * Reading refuses: a header longer than the file or than 64 MiB or with more than a million JSON
 * values, malformed JSON, duplicate or unknown keys, unknown dtypes, shapes whose size overflows or
 * is not that of the data, offsets out of order, overlapping, with holes, or past the end, bytes
 * after the last tensor. The text names the tensor. What is no such file at all (a web page, a Git LFS
 * pointer, a pickle) is called by its name.
 */
#ifndef MODEL_SAFETENSORS_H
#define MODEL_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

enum { SAFETENSORS_DIMS_MAX = 8 };

enum safetensors_dtype {
    SAFETENSORS_BF16,
    SAFETENSORS_F16,
    SAFETENSORS_F32,
    SAFETENSORS_F64,
    SAFETENSORS_I32,
    SAFETENSORS_I64,
    SAFETENSORS_U8,
};

struct safetensors_tensor {
    const char *name; /* reading: owned by the file object */
    enum safetensors_dtype dtype;
    int n_dims; /* 0 .. SAFETENSORS_DIMS_MAX */
    size_t dims[SAFETENSORS_DIMS_MAX];
    const void *data; /* reading: into the file object, maybe unaligned */
};

struct safetensors;

/* Whether the path is a file that begins as these do, a length and a "{", readable and whole or not. */
bool safetensors_begins(const char *path);

/* Reads all of it; what others do to the file afterwards does not matter, and while it is read it is
 * an error. 0, -errno of the system, -EINVAL (not a valid file), -EFBIG, -ENOMEM. */
int safetensors_open(const char *path, struct safetensors **out, struct error *err);
void safetensors_close(struct safetensors *file);

/* The whole file, header included; until safetensors_close(). */
const void *safetensors_bytes(const struct safetensors *file, size_t *size);

/* Tensors in the order of their data. */
int safetensors_n(const struct safetensors *file);
const struct safetensors_tensor *safetensors_at(const struct safetensors *file, int i);
const struct safetensors_tensor *safetensors_find(const struct safetensors *file,
                                                  const char *name);               /* NULL: none */
const char *safetensors_metadata(const struct safetensors *file, const char *key); /* or NULL */

size_t safetensors_count(const struct safetensors_tensor *tensor); /* elements */
size_t safetensors_dtype_size(enum safetensors_dtype dtype);
const char *safetensors_dtype_name(enum safetensors_dtype dtype); /* "F32" */

/* Converts the elements to float32 or float64. Values that are not finite: -EINVAL naming the
 * tensor. */
int safetensors_read_floats(const struct safetensors_tensor *tensor, float *out, struct error *err);
int safetensors_read_doubles(const struct safetensors_tensor *tensor, double *out,
                             struct error *err);

/* Writes tensors in the given order. metadata: n_metadata pairs key, value; all text UTF-8. The file appears whole
 * or not at all, and lasts (engine/base/whole_file.h).
 * 0, -EINVAL (a name twice, a size that overflows), -ENOMEM or -errno of the system. */
int safetensors_write(const char *path, int n, const struct safetensors_tensor *tensors,
                      int n_metadata, const char *const (*metadata)[2], struct error *err);

#endif
