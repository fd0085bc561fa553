/* safetensors files: what is written is read back, everything else is refused with a reason. */
#include "model/safetensors.h"
#include "engine/base/error.h"
#include "tests/unit/model/files.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

/* Writes a file with this header and so many bytes of data. length: what the file says about the
 * header's length, or 0 for the truth. */
static void write_file(const char *name, const char *header, uint64_t length, size_t n_data)
{
    size_t size = strlen(header), all = 8 + size + n_data;
    unsigned char *file = calloc(1, all + 1);

    length = length ? length : size;
    for (int i = 0; i < 8; i++)
        file[i] = (unsigned char)(length >> (8 * i));
    memcpy(file + 8, header, size);
    files_write(name, file, all);
    free(file);
}

/* Expects -EINVAL with a text that has `why` in it. */
static void refuse(const char *name, const char *what, const char *why)
{
    struct safetensors *file = NULL;
    struct error err = {""};
    int rc = safetensors_open(files_path(name), &file, &err);

    if (rc != -EINVAL || !strstr(err.text, why) || file)
        fail_msg("%s: %d \"%s\", expected \"%s\"", what, rc, err.text, why);
}

#define F32_AT(shape, offsets) \
    "{\"a\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void hostile_files_are_refused(void **state)
{
    static const struct {
        const char *what, *header;
        uint64_t length;
        size_t n_data;
        const char *why;
    } rows[] = {
        {"a header longer than the file", "{}", 1000, 0, "does not fit"},
        {"a header of 2^64 - 1 bytes", "{}", UINT64_MAX, 0, "does not fit"},
        {"a header of 2^63 bytes", "{}", (uint64_t)1 << 63, 0, "does not fit"},
        {"no JSON", "nonsense", 0, 0, "not valid JSON"},
        {"half a JSON", "{\"a\":", 0, 0, "not valid JSON"},
        {"something after the JSON", "{}{}", 0, 0, "not valid JSON"},
        {"an array", "[]", 0, 0, "not a JSON object"},
        {"a tensor that is no object", "{\"a\":1}", 0, 0, "tensor \"a\" is not a JSON object"},
        {"a NUL in a name", "{\"a\\u0000b\":1}", 0, 0, "not valid JSON"},
        {"a broken character", "{\"\xff\":1}", 0, 0, "not valid JSON"},
        {"a name twice",
         "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
         0, 2, "duplicate"},
        {"no dtype", "{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 0, 4,
         "tensor \"a\": \"dtype\" is missing"},
        {"no shape", "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 0, 4,
         "tensor \"a\": \"shape\" is missing"},
        {"no offsets", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 0, 4,
         "tensor \"a\": \"data_offsets\" is missing"},
        {"an unknown dtype", "{\"a\":{\"dtype\":\"F8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 0,
         1, "tensor \"a\": unknown dtype \"F8\""},
        {"a dtype that is no text", "{\"a\":{\"dtype\":1,\"shape\":[1],\"data_offsets\":[0,1]}}", 0,
         1, "\"dtype\" is not a string"},
        {"an unknown key",
         "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"stride\":1}}", 0, 1,
         "unknown key \"stride\""},
        {"a negative size", F32_AT("[-1]", "[0,4]"), 0, 4, "\"shape\" is not"},
        {"a size that is no integer", F32_AT("[1.0]", "[0,4]"), 0, 4, "\"shape\" is not"},
        {"a shape that is no array", F32_AT("{}", "[0,4]"), 0, 4, "\"shape\" is not"},
        {"nine dimensions", F32_AT("[1,1,1,1,1,1,1,1,1]", "[0,4]"), 0, 4, "\"shape\" is not"},
        {"a size past 2^63", F32_AT("[9223372036854775808]", "[0,4]"), 0, 4, "not valid JSON"},
        {"a product that wraps to 4", F32_AT("[4611686018427387905]", "[0,4]"), 0, 4,
         "its shape does not fill"},
        {"a product that wraps to 0", F32_AT("[4294967296,4294967296]", "[0,0]"), 0, 0,
         "its shape does not fill"},
        {"too little data for the shape", F32_AT("[2]", "[0,4]"), 0, 4, "its shape does not fill"},
        {"too much data for the shape", F32_AT("[1]", "[0,8]"), 0, 8, "its shape does not fill"},
        {"falling offsets", F32_AT("[1]", "[4,0]"), 0, 4, "two rising offsets"},
        {"a negative offset", F32_AT("[1]", "[-4,0]"), 0, 4, "two rising offsets"},
        {"one offset", F32_AT("[1]", "[0]"), 0, 4, "two rising offsets"},
        {"three offsets", F32_AT("[1]", "[0,4,8]"), 0, 8, "two rising offsets"},
        {"data past the end", F32_AT("[1]", "[0,4]"), 0, 3, "ends after the end of the file"},
        {"data far past the end", F32_AT("[1]", "[9223372036854775800,9223372036854775804]"), 0, 4,
         "ends after the end of the file"},
        {"a hole in front", F32_AT("[1]", "[4,8]"), 0, 8, "hole"},
        {"bytes after the last tensor", F32_AT("[1]", "[0,4]"), 0, 5, "1 bytes follow"},
        {"bytes without tensors", "{}", 0, 5, "5 bytes follow"},
        {"a hole between",
         "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]}}",
         0, 3, "tensor \"b\": there is a hole"},
        {"an overlap",
         "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
         0, 3, "tensor \"b\": its data overlap"},
        {"two tensors on the same data",
         "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}",
         0, 2, "its data overlap"},
        {"metadata that are no object", "{\"__metadata__\":1}", 0, 0, "\"__metadata__\" is not"},
        {"metadata that are no text", "{\"__metadata__\":{\"k\":1}}", 0, 0, "metadata \"k\""},
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        write_file("hostile", rows[i].header, rows[i].length, rows[i].n_data);
        refuse("hostile", rows[i].what, rows[i].why);
    }
    write_file("hostile", "{\"\xff\":1}                           ", 0, 3);
    refuse("hostile", "a header of as many bytes as '{' has", "not valid JSON");
    files_write("hostile", "\0\0\0\0\0\0\0", 7);
    refuse("hostile", "seven bytes", "not a safetensors file");
    files_write("hostile", "", 0);
    refuse("hostile", "no bytes", "not a safetensors file but empty");
}

static void what_is_something_else_is_told_so(void **state)
{
    static const struct {
        const char *begin, *why;
    } rows[] = {
        {"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
         "but a Git LFS pointer"},
        {"<!doctype html>\n<html><head><title>404", "but an HTML page"},
        {"\n  <html lang=\"en\">", "but an HTML page"},
        {"<?xml version=\"1.0\"?><Error><Code>NoSuchKey", "but an XML document"},
        {"PK\3\4\0\0\0\0\0\0archive/data.pkl", "but a zip archive"},
        {"\x80\2\x8a\nl\xfc\x9c\x46\xf9 j\xa8P\x19.", "but a Python pickle"},
        {"\x80\4\x95\0\0\0\0\0\0\0\0}", "but a Python pickle"},
        {"\x89HDF\r\n\x1a\n", "but an HDF5 file"},
        {"GGUF\3\0\0\0", "but a GGUF file"},
        {"\x1f\x8b\x08\0\0\0\0\0", "but a gzip archive"},
        {"\x89PNG\r\n\x1a\n", "but a picture"},
        {"{\"metadata\": {\"total_size\": 1}}", "but a JSON text"},
        {"short", "not a safetensors file"},
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        char bytes[64] = "";

        snprintf(bytes, sizeof(bytes), "%s", rows[i].begin);
        files_write("other", bytes, i + 1 < N_ELEMENTS(rows) ? sizeof(bytes) : strlen(bytes));
        refuse("other", rows[i].begin, rows[i].why);
    }
}

/* Mapped, the file would end this process here with a bus error. */
static void a_file_cut_after_opening_does_no_harm(void **state)
{
    static float large[100000], got[100000];
    struct safetensors_tensor tensor = {"x", SAFETENSORS_F32, 1, {N_ELEMENTS(large)}, large};
    struct safetensors *file;

    for (size_t i = 0; i < N_ELEMENTS(large); i++)
        large[i] = (float)i;
    assert_int_equal(safetensors_write(files_path("cut"), 1, &tensor, 0, NULL, NULL), 0);
    assert_int_equal(safetensors_open(files_path("cut"), &file, NULL), 0);
    files_write("cut", "", 0);
    assert_int_equal(safetensors_read_floats(safetensors_at(file, 0), got, NULL), 0);
    assert_memory_equal(got, large, sizeof(large));
    safetensors_close(file);
}

/* A text of n times `part`, malloc'ed. */
static char *repeat(const char *part, size_t n)
{
    size_t length = strlen(part);
    char *text = malloc(n * length + 1);

    assert_non_null(text);
    for (size_t i = 0; i < n; i++)
        memcpy(text + i * length, part, length);
    text[n * length] = '\0';
    return text;
}

static void json_that_eats_memory_or_stack_is_refused(void **state)
{
    char *deep = repeat("[", 100000), *wide = repeat("0,", 1100000);

    write_file("deep", deep, 0, 0);
    refuse("deep", "100,000 brackets", "not valid JSON");
    write_file("wide", wide, 0, 0);
    refuse("wide", "a million values", "has more than");
    free(deep);
    free(wide);
}

static void other_kinds_of_files_are_refused(void **state)
{
    struct safetensors *file;
    struct error err;

    assert_int_equal(safetensors_open(files_path("."), &file, &err), -EINVAL);
    assert_int_equal(safetensors_open("/dev/null", &file, &err), -EINVAL);
    assert_int_equal(mkfifo(files_path("pipe"), 0600), 0);
    assert_int_equal(safetensors_open(files_path("pipe"), &file, &err), -EINVAL);
    assert_non_null(strstr(err.text, "not a regular file"));
    assert_int_equal(safetensors_open(files_path("nothing"), &file, &err), -ENOENT);
    assert_non_null(strstr(err.text, "nothing"));
}

/* PyTorch's writer pads the header with spaces and lists tensors in any order. */
static void order_padding_and_empty_tensors_are_free(void **state)
{
    struct safetensors *file;

    write_file("free",
               "{\"b\":{\"data_offsets\":[1,3],\"shape\":[2],\"dtype\":\"U8\"},"
               "\"empty\":{\"dtype\":\"F32\",\"shape\":[3,0],\"data_offsets\":[1,1]},"
               "\"__metadata__\":{\"format\":\"pt\"},"
               "\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}       ",
               0, 3);
    assert_int_equal(safetensors_open(files_path("free"), &file, NULL), 0);
    assert_int_equal(safetensors_n(file), 3);
    assert_string_equal(safetensors_at(file, 0)->name, "a");
    assert_string_equal(safetensors_at(file, 1)->name, "empty");
    assert_string_equal(safetensors_at(file, 2)->name, "b");
    assert_int_equal(safetensors_count(safetensors_find(file, "a")), 1);
    assert_int_equal(safetensors_count(safetensors_find(file, "empty")), 0);
    assert_null(safetensors_find(file, "c"));
    assert_string_equal(safetensors_metadata(file, "format"), "pt");
    assert_null(safetensors_metadata(file, "softdiff"));
    safetensors_close(file);

    write_file("free", "{}", 0, 0);
    assert_int_equal(safetensors_open(files_path("free"), &file, NULL), 0);
    assert_int_equal(safetensors_n(file), 0);
    assert_null(safetensors_metadata(file, "format"));
    safetensors_close(file);
}

/* One tensor of each type with the values 1, -2 and 3 where it has signs. */
static const float f32[] = {1, -2, 3};
static const double f64[] = {1, -2, 3};
static const uint16_t bf16[] = {0x3f80, 0xc000, 0x4040};
static const uint16_t f16[] = {0x3c00, 0xc000, 0x4200};
static const int32_t i32[] = {1, -2, 3};
static const int64_t i64[] = {1, -2, 3};
static const uint8_t u8[] = {1, 2, 3};

static const struct safetensors_tensor written[] = {
    {"u8", SAFETENSORS_U8, 1, {3}, u8},       {"f64", SAFETENSORS_F64, 2, {3, 1}, f64},
    {"bf16", SAFETENSORS_BF16, 1, {3}, bf16}, {"f16", SAFETENSORS_F16, 1, {3}, f16},
    {"i32", SAFETENSORS_I32, 1, {3}, i32},    {"i64", SAFETENSORS_I64, 3, {1, 3, 1}, i64},
    {"f32", SAFETENSORS_F32, 1, {3}, f32},
};

static const char *const metadata[][2] = {{"key", "v\"al\nue \u00e9"}, {"other", ""}};

static int write_it(const char *name, struct error *err)
{
    return safetensors_write(files_path(name), N_ELEMENTS(written), written, 2, metadata, err);
}

static void what_is_written_is_read_back(void **state)
{
    struct safetensors *file;

    assert_int_equal(write_it("round", NULL), 0);
    assert_int_equal(safetensors_open(files_path("round"), &file, NULL), 0);
    assert_int_equal(safetensors_n(file), N_ELEMENTS(written));
    for (int i = 0; i < safetensors_n(file); i++) {
        const struct safetensors_tensor *tensor = safetensors_at(file, i);
        float floats[3];
        double doubles[3];

        assert_string_equal(tensor->name, written[i].name);
        assert_int_equal(tensor->dtype, written[i].dtype);
        assert_int_equal(tensor->n_dims, written[i].n_dims);
        assert_memory_equal(tensor->dims, written[i].dims, sizeof(tensor->dims));
        assert_int_equal(safetensors_read_floats(tensor, floats, NULL), 0);
        assert_int_equal(safetensors_read_doubles(tensor, doubles, NULL), 0);
        for (int j = 0; j < 3; j++) {
            float want = tensor->dtype == SAFETENSORS_U8 ? (float)(j + 1) : f32[j];

            assert_true(floats[j] == want);
            assert_true(doubles[j] == (double)want);
        }
    }
    assert_string_equal(safetensors_metadata(file, "key"), metadata[0][1]);
    assert_string_equal(safetensors_metadata(file, "other"), "");
    safetensors_close(file);
}

static void half_precision_is_exact(void **state)
{
    static const struct {
        uint16_t bits;
        double value;
    } rows[] = {
        {0x0000, 0},       {0x8000, -0.0},  {0x0001, 0x1p-24},        {0x03ff, 1023 * 0x1p-24},
        {0x0400, 0x1p-14}, {0x7bff, 65504}, {0x3555, 1365 * 0x1p-12},
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        struct safetensors_tensor tensor = {"x", SAFETENSORS_F16, 0, {0}, &rows[i].bits};
        double got;

        assert_int_equal(safetensors_read_doubles(&tensor, &got, NULL), 0);
        assert_true(got == rows[i].value && signbit(got) == signbit(rows[i].value));
    }
}

static void numbers_that_are_not_finite_are_refused(void **state)
{
    static const uint16_t half[] = {0x7c00, 0xfe00}, brain[] = {0x7f80, 0xffc0};
    static const float single[] = {INFINITY, NAN};
    static const double twice[] = {-INFINITY, NAN};
    static const struct safetensors_tensor rows[] = {
        {"half", SAFETENSORS_F16, 0, {0}, &half[0]},
        {"half", SAFETENSORS_F16, 0, {0}, &half[1]},
        {"brain", SAFETENSORS_BF16, 0, {0}, &brain[0]},
        {"brain", SAFETENSORS_BF16, 0, {0}, &brain[1]},
        {"single", SAFETENSORS_F32, 0, {0}, &single[0]},
        {"single", SAFETENSORS_F32, 0, {0}, &single[1]},
        {"twice", SAFETENSORS_F64, 0, {0}, &twice[0]},
        {"twice", SAFETENSORS_F64, 0, {0}, &twice[1]},
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        struct error err = {""};
        double d;
        float f;

        assert_int_equal(safetensors_read_floats(&rows[i], &f, &err), -EINVAL);
        assert_non_null(strstr(err.text, rows[i].name));
        assert_int_equal(safetensors_read_doubles(&rows[i], &d, NULL), -EINVAL);
    }
}

static void a_name_twice_is_not_written(void **state)
{
    struct safetensors_tensor twice[2] = {written[0], written[0]};

    assert_int_equal(safetensors_write(files_path("twice"), 2, twice, 0, NULL, NULL), -EINVAL);
    assert_int_equal(safetensors_open(files_path("twice"), NULL, NULL), -ENOENT);
}

/* Whichever byte the disk is full at, the old file stays and nothing else is left behind. */
static void a_full_disk_leaves_the_old_file(void **state)
{
    size_t size, limit;
    unsigned char *before;

    assert_int_equal(write_it("full", NULL), 0);
    before = files_read("full", &size);
    for (limit = 1; limit < size; limit += 13) {
        int n = files_count(), rc;
        struct error err = {""};
        size_t size_after;
        unsigned char *after;

        files_limit(limit);
        rc = write_it("full", &err);
        files_limit(0);
        assert_int_equal(rc, -EFBIG);
        assert_non_null(strstr(err.text, "full"));
        assert_int_equal(files_count(), n);
        after = files_read("full", &size_after);
        assert_int_equal(size_after, size);
        assert_memory_equal(after, before, size);
        free(after);
    }
    free(before);
}

static void a_missing_folder_is_reported(void **state)
{
    struct error err;

    assert_int_equal(write_it("no/such/folder", &err), -ENOENT);
    assert_non_null(strstr(err.text, "no/such/folder"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_files_are_refused),
        cmocka_unit_test(what_is_something_else_is_told_so),
        cmocka_unit_test(a_file_cut_after_opening_does_no_harm),
        cmocka_unit_test(json_that_eats_memory_or_stack_is_refused),
        cmocka_unit_test(other_kinds_of_files_are_refused),
        cmocka_unit_test(order_padding_and_empty_tensors_are_free),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(half_precision_is_exact),
        cmocka_unit_test(numbers_that_are_not_finite_are_refused),
        cmocka_unit_test(a_name_twice_is_not_written),
        cmocka_unit_test(a_full_disk_leaves_the_old_file),
        cmocka_unit_test(a_missing_folder_is_reported),
    };

    return cmocka_run_group_tests(tests, files_set_up, files_tear_down);
}
