/* Packed data sets: what is written is read, and whatever is changed in one is found. */
#include "engine/base/error.h"
#include "tests/unit/model/files.h"
#include "tools/pictures/pack.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 4, BYTES = SIDE * SIDE * 3, N = 5 };

static uint8_t pixels[N * BYTES];

static void write_pack(const char *name, bool labelled)
{
    static char cat[] = "cat", dog[] = "dog", *names[] = {cat, dog};
    static const uint16_t labels[N] = {1, 2, 2, 1, 2};
    struct pack_about about = {.crop = 3, .n_skipped = 1, .name = "x", .source = "folder"};
    struct pack_writer *w;
    struct error err;

    for (int i = 0; i < N * BYTES; i++)
        pixels[i] = (uint8_t)(i * 7 + i / BYTES);
    if (labelled) {
        about.n_labels = 2;
        about.label_names = names;
    }
    if (pack_create(files_path(name), SIDE, &w, &err) < 0 ||
        pack_add(w, 2, pixels, labelled ? labels : NULL, &err) < 0 ||
        pack_add(w, 3, pixels + 2 * BYTES, labelled ? labels + 2 : NULL, &err) < 0 ||
        pack_finish(w, &about, &err) < 0)
        fail_msg("%s", err.text);
}

static void test_round_trip(void **state)
{
    for (int labelled = 0; labelled < 2; labelled++) {
        const struct pack_about *a;
        uint8_t image[BYTES];
        struct pack *p;
        struct error err;

        write_pack("p", labelled);
        assert_true(pack_is(files_path("p")));
        if (pack_open(files_path("p"), &p, &err) < 0)
            fail_msg("%s", err.text);
        a = pack_about(p);
        assert_int_equal(a->n, N);
        assert_int_equal(a->side, SIDE);
        assert_int_equal(a->crop, 3);
        assert_int_equal(a->n_skipped, 1);
        assert_string_equal(a->source, "folder");
        assert_int_equal(a->n_labels, labelled ? 2 : 0);
        if (labelled) {
            assert_string_equal(a->label_names[1], "dog");
            assert_int_equal(a->labels[3], 1);
        }
        for (int i = N - 1; i >= 0; i--) {
            assert_int_equal(pack_read(p, i, image, &err), 0);
            assert_memory_equal(image, pixels + i * BYTES, BYTES);
        }
        assert_false(pack_all_alike(p));
        pack_close(p);
    }
}

/* Any byte that changes is found: when the file is opened, or when the picture is read. */
static void test_every_byte_counts(void **state)
{
    unsigned char *bytes;
    size_t size;

    write_pack("p", true);
    bytes = files_read("p", &size);
    for (size_t i = 0; i < size; i++) {
        uint8_t image[BYTES];
        struct pack *p = NULL;
        int bad = 0, rc;

        bytes[i] ^= 0x20;
        files_write("q", bytes, size);
        rc = pack_open(files_path("q"), &p, NULL);
        for (int k = 0; rc == 0 && k < N; k++)
            bad += pack_read(p, k, image, NULL) == -EIO;
        assert_true(rc == -EINVAL || bad == 1);
        assert_true((i >= 64 && i < 64 + N * BYTES) == (rc == 0));
        pack_close(p);
        bytes[i] ^= 0x20;
    }
    for (size_t cut = 0; cut < size; cut++) {
        struct pack *p = NULL;

        files_write("q", bytes, cut);
        assert_int_equal(pack_open(files_path("q"), &p, NULL), -EINVAL);
        assert_null(p);
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_every_byte_counts),
    };

    return cmocka_run_group_tests_name("pack", tests, files_set_up, files_tear_down);
}
