/* Tables of kernel choices as text, what a device makes of them, and the id that they enter. */
#include "engine/choices.h"
#include "engine/base/error.h"
#include "engine/device.h"
#include "engine/identity.h"
#include "tests/unit/model/files.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEADER  "softdiff choices 1\n"
#define LINE    "convolution 16x16x64 64x64x3x3 64 -> 16x16x64 stride 1 pad 1"
#define MACHINE "machine abacus 7\n"

static struct tensor_desc images(int side, int c, enum dtype dtype)
{
    return (struct tensor_desc){
        .dtype = dtype,
        .shape = {.batched = true, .n_dims = 3, .dims = {side, side, c}},
        .n = 2,
    };
}

/* A convolution that the cpu device cuts into bands, and thus has two algorithms for. */
static struct kernel_spec convolution(int c, enum dtype dtype)
{
    struct kernel_spec spec = {.kind = OP_CONVOLUTION, .n_inputs = 3, .n_outputs = 1};

    spec.attributes.window.stride = 1;
    spec.attributes.window.pad = 1;
    spec.inputs[0] = images(16, c, dtype);
    spec.inputs[1] = (struct tensor_desc){.parameter = true,
                                          .shape = {.n_dims = 4, .dims = {c, c, 3, 3}},
                                          .n = 1};
    spec.inputs[2] =
        (struct tensor_desc){.parameter = true, .shape = {.n_dims = 1, .dims = {c}}, .n = 1};
    spec.outputs[0] = images(16, c, dtype);
    return spec;
}

static struct choices *new_choices(void)
{
    struct choices *c;

    assert_int_equal(choices_create(&c, NULL), 0);
    return c;
}

static struct choices *read_text(const char *text)
{
    struct choices *c = new_choices();
    struct error err;

    files_write("table", text, strlen(text));
    if (choices_read(c, files_path("table"), &err) < 0)
        fail_msg("%s", err.text);
    return c;
}

static void keys_say_all_that_matters(void **state)
{
    struct kernel_spec spec = convolution(64, DTYPE_BF16);
    char key[CHOICES_KEY_BYTES], other[CHOICES_KEY_BYTES];

    assert_int_equal(choices_key(&spec, key, NULL), 0);
    assert_string_equal(key,
                        "convolution 16x16x64:bf16 64x64x3x3 64 -> 16x16x64:bf16 stride 1 pad 1");

    spec.inputs[0].n = spec.outputs[0].n = 64; /* but not how many images there are */
    assert_int_equal(choices_key(&spec, other, NULL), 0);
    assert_string_equal(other, key);

    spec.inputs[2].absent = true;
    spec.attributes.window.pad = 0;
    assert_int_equal(choices_key(&spec, other, NULL), 0);
    assert_string_equal(other,
                        "convolution 16x16x64:bf16 64x64x3x3 - -> 16x16x64:bf16 stride 1 pad 0");

    spec = (struct kernel_spec){.kind = OP_LINEAR, .n_inputs = 2, .n_outputs = 1};
    spec.attributes.linear.in_first = true;
    spec.inputs[0] = images(4, 8, DTYPE_F32);
    spec.inputs[1] =
        (struct tensor_desc){.parameter = true, .shape = {.n_dims = 2, .dims = {8, 3}}, .n = 1};
    spec.outputs[0] = images(4, 3, DTYPE_F32);
    assert_int_equal(choices_key(&spec, key, NULL), 0);
    assert_string_equal(key, "linear 4x4x8 8x3 -> 4x4x3 in_first");
}

static void a_table_is_read(void **state)
{
    struct choices *c = read_text(HEADER "# a comment\n\n" MACHINE LINE " = whole\n"
                                         "  machine   other\tone  \n" LINE "   =  direct");
    struct kernel_spec spec = convolution(64, DTYPE_F32), narrow = convolution(44, DTYPE_F32);
    struct kernel_spec bf16 = convolution(64, DTYPE_BF16);

    assert_string_equal(choices_find(c, "abacus 7", &spec), "whole");
    assert_string_equal(choices_find(c, "other one", &spec), "direct");
    assert_null(choices_find(c, "abacus 8", &spec));
    assert_null(choices_find(c, "abacus 7", &narrow));
    assert_null(choices_find(c, "abacus 7", &bf16));
    assert_null(choices_find(NULL, "abacus 7", &spec));
    choices_destroy(c);
}

static void mistakes_are_told(void **state)
{
    static const struct {
        const char *text, *wanted;
    } rows[] = {
        {"", "line 1: a table of choices begins with \"softdiff choices 1\""},
        {"softdiff choices 2\n", "line 1: a table of choices begins"},
        {HEADER LINE " = whole\n", "line 2: no line \"machine ...\""},
        {HEADER "machine \n", "line 2: expected the name of a machine"},
        {HEADER MACHINE "convolutoin 4x4x3 -> 4x4x3 = a\n",
         "line 3: unknown operation \"convolutoin\""},
        {HEADER MACHINE "silu = a\n", "line 3: expected inputs"},
        {HEADER MACHINE "silu 4x4x3 = a\n", "then ->, at \"=\""},
        {HEADER MACHINE "silu 4x4x3 -> = a\n", "expected outputs like 16x16x48:bf16 at \"=\""},
        {HEADER MACHINE "silu 4x4x -> 4x4x3 = a\n", "expected inputs"},
        {HEADER MACHINE "silu 4x0x3 -> 4x4x3 = a\n", "expected inputs"},
        {HEADER MACHINE "silu 4x4x3x2x2 -> 4x4x3 = a\n", "expected inputs"},
        {HEADER MACHINE "silu 4x4x3:fp16 -> 4x4x3 = a\n", "expected inputs"},
        {HEADER MACHINE "silu 4x4x3 -> 4x4x3 fast = a\n", "unknown attribute \"fast\""},
        {HEADER MACHINE "silu 4x4x3 -> 4x4x3 stride = a\n", "unknown attribute \"stride\""},
        {HEADER MACHINE "silu 4x4x3 -> 4x4x3 =\n", "expected = and the name of an algorithm"},
        {HEADER MACHINE "silu 4x4x3 -> 4x4x3 a\n", "unknown attribute \"a\""},
        {HEADER MACHINE "silu 4x4x3 -> 4x4x3 = A\n", "expected = and the name of an algorithm"},
        {HEADER MACHINE "silu 4x4x3 -> 4x4x3 = a b\n", "expected = and the name of an algorithm"},
        {HEADER MACHINE LINE " = whole\n" LINE "  = direct\n",
         "line 4: the same has a choice already"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct choices *c = new_choices();
        struct error err;

        files_write("wrong", rows[i].text, strlen(rows[i].text));
        assert_int_equal(choices_read(c, files_path("wrong"), &err), -EINVAL);
        if (!strstr(err.text, rows[i].wanted) || !strstr(err.text, "/wrong\", line "))
            fail_msg("row %zu: \"%s\" does not say \"%s\"", i, err.text, rows[i].wanted);
        choices_destroy(c);
    }
}

static void bytes_that_are_no_text_are_refused(void **state)
{
    static const char zero[] = HEADER "machine a\0b\n";
    char *line = malloc(4096);
    struct choices *c = new_choices();
    struct error err;

    files_write("zero", zero, sizeof(zero) - 1);
    assert_int_equal(choices_read(c, files_path("zero"), &err), -EINVAL);
    assert_non_null(strstr(err.text, "line 2: no line of text"));
    assert_non_null(line);
    memset(line, 'a', 4096);
    memcpy(line, HEADER, strlen(HEADER));
    files_write("long", line, 4096);
    assert_int_equal(choices_read(c, files_path("long"), &err), -EINVAL);
    assert_non_null(strstr(err.text, "line 2: no line of text"));
    assert_int_equal(choices_read(c, files_path("absent"), &err), -ENOENT);
    assert_non_null(strstr(err.text, "/absent\""));
    free(line);
    choices_destroy(c);
}

static void what_is_written_is_read(void **state)
{
    struct kernel_spec a = convolution(64, DTYPE_F32), b = convolution(64, DTYPE_BF16);
    struct choices *c = new_choices(), *again = new_choices();
    unsigned char *first, *second;
    size_t first_size, second_size;
    struct error err;

    assert_int_equal(choices_set(c, "abacus 7", &b, "direct", NULL), 0);
    assert_int_equal(choices_set(c, "abacus 7", &a, "direct", NULL), 0);
    assert_int_equal(choices_set(c, "a loom", &a, "warp-2", NULL), 0);
    assert_int_equal(choices_set(c, "abacus 7", &a, "whole", NULL), 0); /* instead */
    assert_int_equal(choices_set(c, "abacus 7", &a, "Whole", &err), -EINVAL);
    assert_int_equal(choices_set(c, "", &a, "whole", &err), -EINVAL);
    assert_int_equal(choices_write(c, files_path("one"), &err), 0);
    assert_int_equal(choices_read(again, files_path("one"), &err), 0);
    assert_string_equal(choices_find(again, "abacus 7", &a), "whole");
    assert_string_equal(choices_find(again, "abacus 7", &b), "direct");
    assert_string_equal(choices_find(again, "a loom", &a), "warp-2");
    assert_int_equal(choices_write(again, files_path("two"), &err), 0);
    first = files_read("one", &first_size);
    second = files_read("two", &second_size);
    assert_int_equal(first_size, second_size);
    assert_memory_equal(first, second, first_size);
    free(first);
    free(second);
    choices_destroy(c);
    choices_destroy(again);
}

static uint64_t hash_of(const char *text)
{
    struct choices *c = read_text(text);
    uint64_t hash = choices_hash(c, "abacus 7");

    choices_destroy(c);
    return hash;
}

/* Only what is said of a machine counts, not where and among what it is said. */
static void the_hash_is_of_the_lines_for_a_machine(void **state)
{
    static const char *const one = "silu 4x4x3 -> 4x4x3 = a\n", *const two = LINE " = whole\n";
    uint64_t empty = choices_hash(NULL, "abacus 7"), both;
    char text[1024];

    assert_true(hash_of(HEADER) == empty);
    assert_true(hash_of(HEADER "machine other\n" LINE " = whole\n") == empty);
    snprintf(text, sizeof(text), HEADER MACHINE "%s%s", one, two);
    both = hash_of(text);
    assert_true(both != empty);
    snprintf(text, sizeof(text), HEADER MACHINE "%s# why\nmachine other\n%s" MACHINE "%s", two, one,
             one);
    assert_true(hash_of(text) == both);
    snprintf(text, sizeof(text), HEADER MACHINE "%s", two);
    assert_true(hash_of(text) != both);
    snprintf(text, sizeof(text), HEADER MACHINE "%s" LINE " = direct\n", one);
    assert_true(hash_of(text) != both);
}

/* A file with one line for the convolution on this machine. */
static const char *table_for(struct device *device, const char *algorithm)
{
    struct kernel_spec spec = convolution(64, DTYPE_F32);
    struct choices *c = new_choices();
    char machine[DEVICE_MACHINE_BYTES];

    device_machine(device, machine);
    assert_int_equal(choices_set(c, machine, &spec, algorithm, NULL), 0);
    assert_int_equal(choices_write(c, files_path("device"), NULL), 0);
    choices_destroy(c);
    return files_path("device");
}

static struct device *open_device(const char *name, int n_threads, const char *choices)
{
    struct device *device;
    struct error err;

    if (device_open(name, n_threads, choices, &device, &err) < 0)
        fail_msg("%s", err.text);
    return device;
}

/* Parts of the convolution's kernel per image: bands, or 1 for a whole image. */
static int count_bands(struct device *device, const char *algorithm)
{
    struct kernel_spec spec = convolution(64, DTYPE_F32);
    struct kernel *kernel;
    struct error err;
    int n;

    spec.algorithm = algorithm;
    if (kernel_create(device, &spec, &kernel, &err) < 0)
        fail_msg("%s", err.text);
    n = kernel->n_parts[0] / spec.inputs[0].n;
    kernel->ops->destroy(kernel);
    return n;
}

static void a_device_takes_what_its_table_says(void **state)
{
    struct kernel_spec spec = convolution(64, DTYPE_F32);
    const char *names[DEVICE_ALGORITHMS_MAX];
    struct device *plain = open_device("cpu", 1, NULL), *told;

    assert_int_equal(device_algorithms(plain, &spec, names), 2);
    assert_string_equal(names[0], "direct");
    assert_string_equal(names[1], "whole");
    assert_true(count_bands(plain, NULL) > 1);
    assert_int_equal(count_bands(plain, "whole"), 1);

    told = open_device("cpu", 1, table_for(plain, "whole"));
    assert_int_equal(count_bands(told, NULL), 1);
    assert_true(count_bands(told, "direct") > 1); /* the spec knows best */
    device_close(told);
    device_close(plain);
}

static void a_device_refuses_what_it_does_not_have(void **state)
{
    struct kernel_spec spec = convolution(64, DTYPE_F32);
    struct device *plain = open_device("cpu", 1, NULL), *told;
    struct kernel *kernel;
    struct error err;

    told = open_device("cpu", 1, table_for(plain, "abacus"));
    assert_int_equal(kernel_create(told, &spec, &kernel, &err), -EINVAL);
    assert_string_equal(err.text, LINE ": unknown algorithm \"abacus\": known are direct, whole");
    device_close(told);

    spec = (struct kernel_spec){.kind = OP_SILU, .n_inputs = 1, .n_outputs = 1};
    spec.inputs[0] = spec.outputs[0] = images(4, 8, DTYPE_F32);
    spec.algorithm = "quick";
    assert_int_equal(device_algorithms(plain, &spec, (const char *[DEVICE_ALGORITHMS_MAX]){0}), 0);
    assert_int_equal(kernel_create(plain, &spec, &kernel, &err), -EINVAL);
    assert_string_equal(err.text, "silu has one algorithm, which is not called \"quick\"");
    device_close(plain);

    files_write("wrong", "abc", 3);
    assert_int_equal(device_open("cpu", 1, files_path("wrong"), &told, &err), -EINVAL);
    assert_int_equal(device_open("cpu", 1, files_path("absent"), &told, &err), -ENOENT);
}

static void the_id_is_of_all_that_bytes_depend_on(void **state)
{
    const char *empty = files_path("empty");
    struct device *a, *b, *reference = open_device("reference", 1, NULL), *told;
    char id[IDENTITY_BYTES], other[IDENTITY_BYTES];
    struct error err;

    files_write("empty", HEADER, strlen(HEADER));
    a = open_device("cpu", 1, empty);
    b = open_device("cpu", 3, empty);
    assert_int_equal(identity_of(a, PRECISION_FP32, id, &err), 0);
    assert_int_equal(strlen(id), 16);
    assert_int_equal(strspn(id, "0123456789abcdef"), 16);
    assert_int_equal(identity_of(b, PRECISION_FP32, other, &err), 0);
    assert_string_equal(other, id);
    assert_int_equal(identity_of(reference, PRECISION_FP32, other, &err), 0);
    assert_string_not_equal(other, id);
    if (identity_of(a, PRECISION_BF16, other, &err) == 0)
        assert_string_not_equal(other, id);
    assert_int_equal(identity_of(reference, PRECISION_BF16, other, &err), -ENOTSUP);

    told = open_device("cpu", 1, table_for(a, "whole"));
    assert_int_equal(identity_of(told, PRECISION_FP32, other, &err), 0);
    assert_string_not_equal(other, id);
    device_close(told);
    told = open_device("cpu", 1, table_for(reference, "whole")); /* not for this machine */
    assert_int_equal(identity_of(told, PRECISION_FP32, other, &err), 0);
    assert_string_equal(other, id);
    device_close(told);
    device_close(reference);
    device_close(b);
    device_close(a);
}

/* What comes with the program is found by a program in its build folder. */
static void the_shipped_tables_are_read(void **state)
{
    static const char machine[] = "cpu oneDNN-2.6.3 avx512_core_bf16 avx512_bf16 L1d-48K L2-1024K";
    struct kernel_spec spec = convolution(48, DTYPE_BF16);
    struct choices *c = new_choices();
    struct error err;

    if (choices_read_shipped(c, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(choices_find(c, machine, &spec), "winograd-padded");
    choices_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_say_all_that_matters),
        cmocka_unit_test(a_table_is_read),
        cmocka_unit_test(mistakes_are_told),
        cmocka_unit_test(bytes_that_are_no_text_are_refused),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(the_hash_is_of_the_lines_for_a_machine),
        cmocka_unit_test(a_device_takes_what_its_table_says),
        cmocka_unit_test(a_device_refuses_what_it_does_not_have),
        cmocka_unit_test(the_id_is_of_all_that_bytes_depend_on),
        cmocka_unit_test(the_shipped_tables_are_read),
    };

    return cmocka_run_group_tests_name("choices", tests, files_set_up, files_tear_down);
}
