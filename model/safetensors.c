/* The header is JSON from strangers: it is scanned for its number of values before the parser may
 * spend memory on it, and every number in it is bounded by the file's size before it is used.
 */
#include "model/safetensors.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "engine/base/bf16.h"
#include "engine/base/f16.h"
#include "engine/base/error.h"
#include "engine/base/json_memory.h"
#include "engine/base/whole_file.h"
#include "engine/device.h"
#include "model/json_fields.h"

enum { DTYPES = 7, LENGTH_BYTES = 8, ALIGNMENT = 8, TEXT_MAX = 128 };

static const size_t header_max = (size_t)64 << 20;
static const size_t values_max = (size_t)1 << 20;

static const char *const dtype_names[DTYPES] = {
    [SAFETENSORS_BF16] = "BF16", [SAFETENSORS_F16] = "F16", [SAFETENSORS_F32] = "F32",
    [SAFETENSORS_F64] = "F64",   [SAFETENSORS_I32] = "I32", [SAFETENSORS_I64] = "I64",
    [SAFETENSORS_U8] = "U8",
};

static const size_t dtype_sizes[DTYPES] = {
    [SAFETENSORS_BF16] = 2, [SAFETENSORS_F16] = 2, [SAFETENSORS_F32] = 4, [SAFETENSORS_F64] = 8,
    [SAFETENSORS_I32] = 4,  [SAFETENSORS_I64] = 8, [SAFETENSORS_U8] = 1,
};

struct safetensors {
    unsigned char *bytes; /* the whole file; owned */
    size_t size;
    size_t data; /* where the tensors begin in it */
    json_t *header;
    const json_t *metadata; /* in header; may be NULL */
    int n;
    struct safetensors_tensor *tensors; /* owned, names in header, sorted by data */
};

size_t safetensors_dtype_size(enum safetensors_dtype dtype)
{
    return dtype_sizes[dtype];
}

const char *safetensors_dtype_name(enum safetensors_dtype dtype)
{
    return dtype_names[dtype];
}

size_t safetensors_count(const struct safetensors_tensor *tensor)
{
    size_t count = 1;

    for (int i = 0; i < tensor->n_dims; i++)
        count *= tensor->dims[i];
    return count;
}

/* Bytes of a tensor; false if they overflow. */
static bool tensor_bytes(const struct safetensors_tensor *tensor, size_t *bytes)
{
    *bytes = dtype_sizes[tensor->dtype];
    for (int i = 0; i < tensor->n_dims; i++) {
        if (__builtin_mul_overflow(*bytes, tensor->dims[i], bytes))
            return false;
    }
    return true;
}

/* Reads an array of n_min .. n_max integers >= 0. */
static int read_sizes(const json_t *json, int n_min, int n_max, size_t *out, int *n)
{
    size_t length = json_array_size(json);

    if (!json_is_array(json) || length < (size_t)n_min || length > (size_t)n_max)
        return -EINVAL;
    for (size_t i = 0; i < length; i++) {
        const json_t *item = json_array_get(json, i);

        if (!json_is_integer(item) || json_integer_value(item) < 0)
            return -EINVAL;
        out[i] = (size_t)json_integer_value(item);
    }
    *n = (int)length;
    return 0;
}

static int read_tensor(const struct safetensors *file, const char *name, const json_t *json,
                       struct safetensors_tensor *out, struct error *err)
{
    const json_t *shape = NULL, *offsets = NULL;
    struct safetensors_tensor tensor = {.name = name};
    char what[TEXT_MAX];
    size_t bytes, range[2];
    int dtype = 0, n, rc;
    struct json_fields f;

    snprintf(what, sizeof(what), "tensor \"%.100s\"", name);
    json_fields_begin(&f, json, what, err);
    json_fields_choice(&f, "dtype", JSON_REQUIRED, DTYPES, dtype_names, &dtype);
    json_fields_value(&f, "shape", JSON_REQUIRED, &shape);
    json_fields_value(&f, "data_offsets", JSON_REQUIRED, &offsets);
    rc = json_fields_end(&f);
    if (rc < 0)
        return rc;
    tensor.dtype = (enum safetensors_dtype)dtype;
    if (read_sizes(shape, 0, SAFETENSORS_DIMS_MAX, tensor.dims, &tensor.n_dims) < 0)
        return error_set(err, -EINVAL, "%s: \"shape\" is not an array of up to %d sizes", what,
                         SAFETENSORS_DIMS_MAX);
    if (read_sizes(offsets, 2, 2, range, &n) < 0 || range[0] > range[1])
        return error_set(err, -EINVAL, "%s: \"data_offsets\" are not two rising offsets", what);
    if (range[1] > file->size - file->data)
        return error_set(err, -EINVAL, "%s ends after the end of the file", what);
    if (!tensor_bytes(&tensor, &bytes) || bytes != range[1] - range[0])
        return error_set(err, -EINVAL, "%s: its shape does not fill its %zu bytes", what,
                         range[1] - range[0]);
    tensor.data = file->bytes + file->data + range[0];
    *out = tensor;
    return 0;
}

static int read_metadata(struct safetensors *file, const json_t *json, struct error *err)
{
    const char *key;
    json_t *value;

    if (!json_is_object(json))
        return error_set(err, -EINVAL, "\"__metadata__\" is not a JSON object");
    json_object_foreach((json_t *)json, key, value)
    {
        if (!json_is_string(value))
            return error_set(err, -EINVAL, "metadata \"%.100s\" is not a string", key);
    }
    file->metadata = json;
    return 0;
}

static size_t offset(const struct safetensors_tensor *tensor)
{
    return (size_t)(uintptr_t)tensor->data;
}

/* By the place of the data; of two at one place the empty one comes first. */
static int compare_tensors(const void *a, const void *b)
{
    const struct safetensors_tensor *x = a, *y = b;

    if (offset(x) != offset(y))
        return offset(x) < offset(y) ? -1 : 1;
    return (safetensors_count(x) > 0) - (safetensors_count(y) > 0);
}

/* Sorted tensors must follow each other from the header to the end of the file. */
static int check_tiling(const struct safetensors *file, struct error *err)
{
    const unsigned char *end = file->bytes + file->data;

    for (int i = 0; i < file->n; i++) {
        const struct safetensors_tensor *tensor = &file->tensors[i];
        const unsigned char *data = tensor->data;

        if (data != end)
            return error_set(err, -EINVAL, "tensor \"%.100s\": %s", tensor->name,
                             data < end ? "its data overlap with another's"
                                        : "there is a hole before its data");
        end = data + safetensors_count(tensor) * dtype_sizes[tensor->dtype];
    }
    if (end != file->bytes + file->size)
        return error_set(err, -EINVAL, "%zu bytes follow the last tensor",
                         (size_t)(file->bytes + file->size - end));
    return 0;
}

static int read_tensors(struct safetensors *file, struct error *err)
{
    const char *name;
    json_t *value;
    int rc = 0;

    file->tensors = calloc(json_object_size(file->header) + 1, sizeof(*file->tensors));
    if (!file->tensors)
        return error_set(err, -ENOMEM, "out of memory for the list of tensors");
    json_object_foreach(file->header, name, value)
    {
        if (strcmp(name, "__metadata__") == 0)
            rc = read_metadata(file, value, err);
        else
            rc = read_tensor(file, name, value, &file->tensors[file->n++], err);
        if (rc < 0)
            return rc;
    }
    qsort(file->tensors, (size_t)file->n, sizeof(*file->tensors), compare_tensors);
    return check_tiling(file, err);
}

/* An upper bound of the number of values in a JSON text, without parsing it. */
static size_t count_values(const unsigned char *text, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < size; i++)
        n += text[i] == ',' || text[i] == ':' || text[i] == '[' || text[i] == '{';
    return n;
}

static int read_header(struct safetensors *file, struct error *err)
{
    uint64_t length = 0;
    const unsigned char *text = file->bytes + LENGTH_BYTES;
    json_error_t where;

    for (int i = 0; i < LENGTH_BYTES; i++)
        length |= (uint64_t)file->bytes[i] << (8 * i);
    if (length > file->size - LENGTH_BYTES || length > header_max)
        return error_set(err, -EINVAL, "a header of %llu bytes does not fit a file of %zu bytes",
                         (unsigned long long)length, file->size);
    if (count_values(text, (size_t)length) > values_max)
        return error_set(err, -EINVAL, "the header has more than %zu values", values_max);
    file->header =
        json_memory_load((const char *)text, (size_t)length, JSON_REJECT_DUPLICATES, &where);
    if (!file->header)
        return json_refuse(&where, "the header", err);
    if (!json_is_object(file->header))
        return error_set(err, -EINVAL, "the header is not a JSON object");
    file->data = LENGTH_BYTES + (size_t)length;
    return 0;
}

/* What is often found where a model should be, by how it begins; NULL for what is unknown, and for a
 * safetensors file with something wrong in it, whose header begins after its length. */
static const char *other_kind(const unsigned char *bytes, size_t size)
{
    static const struct {
        const char *begin, *kind;
    } kinds[] = {
        {"version https://git-lfs", "a Git LFS pointer: fetch the file itself, git lfs pull"},
        {"<!DOCTYPE", "an HTML page: the download answered with a page instead of the file"},
        {"<html", "an HTML page: the download answered with a page instead of the file"},
        {"<?xml", "an XML document: the download answered with a page instead of the file"},
        {"PK\3\4", "a zip archive, such as PyTorch's .pth and .ckpt: save it as safetensors"},
        {"\x80\2", "a Python pickle: save it as safetensors"},
        {"\x80\3", "a Python pickle: save it as safetensors"},
        {"\x80\4", "a Python pickle: save it as safetensors"},
        {"\x80\5", "a Python pickle: save it as safetensors"},
        {"\x89HDF", "an HDF5 file: save it as safetensors"},
        {"GGUF", "a GGUF file: save it as safetensors"},
        {"\x1f\x8b", "a gzip archive: unpack it"},
        {"\x89PNG", "a picture"},
        {"{", "a JSON text"},
    };

    if (size > LENGTH_BYTES && bytes[LENGTH_BYTES] == '{')
        return NULL;
    while (size > 0 && (*bytes == ' ' || *bytes == '\n' || *bytes == '\r' || *bytes == '\t')) {
        bytes++;
        size--;
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        size_t n = strlen(kinds[i].begin);

        if (size >= n && strncasecmp((const char *)bytes, kinds[i].begin, n) == 0)
            return kinds[i].kind;
    }
    return NULL;
}

/* The header; what has none is told by its kind. */
static int read_beginning(struct safetensors *file, struct error *err)
{
    const char *kind;
    int rc;

    if (file->size == 0)
        return error_set(err, -EINVAL, "not a safetensors file but empty");
    rc = file->size < LENGTH_BYTES ? error_set(err, -EINVAL, "not a safetensors file")
                                   : read_header(file, err);
    kind = rc == -EINVAL ? other_kind(file->bytes, file->size) : NULL;
    return kind ? error_set(err, -EINVAL, "not a safetensors file but %s", kind) : rc;
}

bool safetensors_begins(const char *path)
{
    char beginning[LENGTH_BYTES + 1] = {0};
    struct stat status;
    FILE *file = stat(path, &status) == 0 && S_ISREG(status.st_mode) ? fopen(path, "rb") : NULL;
    bool whole = file && fread(beginning, sizeof(beginning), 1, file) == 1;

    if (file)
        fclose(file);
    return whole && beginning[LENGTH_BYTES] == '{';
}

int safetensors_open(const char *path, struct safetensors **out, struct error *err)
{
    struct safetensors *file = calloc(1, sizeof(*file));
    int rc;

    if (!file)
        return error_set(err, -ENOMEM, "out of memory opening \"%s\"", path);
    rc = whole_file_read(path, SIZE_MAX / 2, &file->bytes, &file->size, err);
    if (rc == 0)
        rc = read_beginning(file, err);
    if (rc == 0)
        rc = read_tensors(file, err);
    if (rc < 0) {
        error_prefix(err, "could not read \"%s\": ", path);
        safetensors_close(file);
        return rc;
    }
    *out = file;
    return 0;
}

void safetensors_close(struct safetensors *file)
{
    if (!file)
        return;
    free(file->bytes);
    json_decref(file->header);
    free(file->tensors);
    free(file);
}

const void *safetensors_bytes(const struct safetensors *file, size_t *size)
{
    *size = file->size;
    return file->bytes;
}

int safetensors_n(const struct safetensors *file)
{
    return file->n;
}

const struct safetensors_tensor *safetensors_at(const struct safetensors *file, int i)
{
    return &file->tensors[i];
}

const struct safetensors_tensor *safetensors_find(const struct safetensors *file, const char *name)
{
    for (int i = 0; i < file->n; i++) {
        if (strcmp(file->tensors[i].name, name) == 0)
            return &file->tensors[i];
    }
    return NULL;
}

const char *safetensors_metadata(const struct safetensors *file, const char *key)
{
    return json_string_value(json_object_get(file->metadata, key));
}

/* Element i; the data may be unaligned, which memcpy() of a known size does not mind. */
static double element(const struct safetensors_tensor *tensor, size_t i)
{
    const unsigned char *p = (const unsigned char *)tensor->data + i * dtype_sizes[tensor->dtype];
    uint16_t half;
    float single;
    double twice;
    int32_t integer;
    int64_t large;

    switch (tensor->dtype) {
    case SAFETENSORS_BF16:
        memcpy(&half, p, sizeof(half));
        return (double)bf16_to_float(half);
    case SAFETENSORS_F16:
        memcpy(&half, p, sizeof(half));
        return (double)f16_to_float(half);
    case SAFETENSORS_F32:
        memcpy(&single, p, sizeof(single));
        return (double)single;
    case SAFETENSORS_F64:
        memcpy(&twice, p, sizeof(twice));
        return twice;
    case SAFETENSORS_I32:
        memcpy(&integer, p, sizeof(integer));
        return integer;
    case SAFETENSORS_I64:
        memcpy(&large, p, sizeof(large));
        return (double)large;
    case SAFETENSORS_U8:
        return *p;
    }
    return (double)NAN;
}

static int not_finite(const struct safetensors_tensor *tensor, size_t i, struct error *err)
{
    return error_set(err, -EINVAL, "tensor \"%.100s\": element %zu is not a finite number",
                     tensor->name, i);
}

int safetensors_read_floats(const struct safetensors_tensor *tensor, float *out, struct error *err)
{
    size_t n = safetensors_count(tensor);

    for (size_t i = 0; i < n; i++) {
        out[i] = (float)element(tensor, i);
        if (!isfinite(out[i]))
            return not_finite(tensor, i, err);
    }
    return 0;
}

int safetensors_read_doubles(const struct safetensors_tensor *tensor, double *out,
                             struct error *err)
{
    size_t n = safetensors_count(tensor);

    for (size_t i = 0; i < n; i++) {
        out[i] = element(tensor, i);
        if (!isfinite(out[i]))
            return not_finite(tensor, i, err);
    }
    return 0;
}

static int append_tensor(json_t *header, const struct safetensors_tensor *tensor, size_t *end,
                         struct error *err)
{
    json_t *shape, *description;
    size_t bytes;

    if (!tensor_bytes(tensor, &bytes) || json_object_get(header, tensor->name))
        return error_set(err, -EINVAL, "tensor \"%.100s\" is too large or comes twice",
                         tensor->name);
    shape = json_array();
    for (int i = 0; shape && i < tensor->n_dims; i++) {
        if (json_array_append_new(shape, json_integer((json_int_t)tensor->dims[i])) < 0) {
            json_decref(shape);
            shape = NULL;
        }
    }
    /* The calls that build JSON take NULL for lack of memory and pass it on. */
    description = json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype_names[tensor->dtype], "shape",
                            shape, "data_offsets", (json_int_t)*end, (json_int_t)(*end + bytes));
    if (json_object_set_new(header, tensor->name, description) < 0)
        return error_set(err, -ENOMEM, "out of memory for the header");
    *end += bytes;
    return 0;
}

/* The header's JSON, new: metadata first, then the tensors in the order of their data. */
static int header_text(int n, const struct safetensors_tensor *tensors, int n_metadata,
                       const char *const (*metadata)[2], char **out, struct error *err)
{
    json_t *header = json_object(), *pairs = json_object();
    size_t end = 0;
    int rc = 0;

    for (int i = 0; i < n_metadata; i++)
        json_object_set_new(pairs, metadata[i][0], json_string(metadata[i][1]));
    if (n_metadata > 0)
        json_object_set(header, "__metadata__", pairs);
    for (int i = 0; rc == 0 && i < n; i++)
        rc = append_tensor(header, &tensors[i], &end, err);
    if (rc == 0 && json_object_size(pairs) == (size_t)n_metadata)
        *out = json_memory_dump(json_incref(header), JSON_COMPACT);
    if (rc == 0 && !*out)
        rc = error_set(err, -ENOMEM, "out of memory for the header");
    json_decref(header);
    json_decref(pairs);
    return rc;
}

static void write_content(struct whole_file *file, const char *header, int n,
                          const struct safetensors_tensor *tensors)
{
    static const char spaces[ALIGNMENT + 1] = "        ";
    size_t length = strlen(header), padding = (ALIGNMENT - length % ALIGNMENT) % ALIGNMENT;
    unsigned char prefix[LENGTH_BYTES];

    for (int i = 0; i < LENGTH_BYTES; i++)
        prefix[i] = (unsigned char)((uint64_t)(length + padding) >> (8 * i));
    whole_file_write(file, prefix, sizeof(prefix));
    whole_file_write(file, header, length);
    whole_file_write(file, spaces, padding);
    for (int i = 0; i < n; i++)
        whole_file_write(file, tensors[i].data,
                         safetensors_count(&tensors[i]) * dtype_sizes[tensors[i].dtype]);
}

int safetensors_write(const char *path, int n, const struct safetensors_tensor *tensors,
                      int n_metadata, const char *const (*metadata)[2], struct error *err)
{
    struct whole_file *file;
    char *header = NULL;
    int rc = header_text(n, tensors, n_metadata, metadata, &header, err);

    if (rc < 0) {
        error_prefix(err, "could not write \"%s\": ", path);
        return rc;
    }
    rc = whole_file_create(path, &file, err);
    if (rc == 0) {
        write_content(file, header, n, tensors);
        rc = whole_file_end(file, true, err);
    }
    free(header);
    return rc;
}
