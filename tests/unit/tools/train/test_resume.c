/* The resume state comes back as it was written, or not at all. */
#include "tools/train/resume.h"
#include "engine/base/error.h"
#include "tests/unit/model/files.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 5 };

static const char recipe_text[] =
    "{\"name\": \"x\", \"architecture\": {\"image_size\": 16, \"nf\": 16, \"ch_mult\": [1],"
    " \"num_res_blocks\": 1}, \"corruption\": {\"name\": \"noise\"}, \"schedule\": {},"
    " \"output\": \"wiener\", \"time_embed\": \"fourier_t\","
    " \"training\": {\"batch\": 4, \"steps\": 10, \"lr\": 1e-3}}";

static float weights[N] = {1, -2, 3, 0, 5}, ema[N] = {1e-9f, 2, 3, 4, 5}, m[N] = {0.5f},
             v[N] = {1e-30f, 1};

static const struct optimizer_state written = {.n = N,
                                               .weights = weights,
                                               .ema = ema,
                                               .m = m,
                                               .v = v};

static void write_state(const char *name)
{
    struct resume_counters c = {.step = 1234567,
                                .seconds = 98.5,
                                .n_images = 4000,
                                .data_digest = 0xfedcba9876543210,
                                .start_digest = "0123456789abcdef"};
    struct recipe recipe;

    assert_int_equal(recipe_parse(recipe_text, &recipe, NULL), 0);
    assert_int_equal(resume_write(files_path(name), &c, &recipe, &written, NULL), 0);
    recipe_fini(&recipe);
}

/* Opens and reads all: 0 if everything went well. */
static int read_state(const char *name, struct resume_counters *counters, float arrays[4][N],
                      struct error *err)
{
    struct optimizer_state state = {.n = N,
                                    .weights = arrays[0],
                                    .ema = arrays[1],
                                    .m = arrays[2],
                                    .v = arrays[3]};
    struct resume *r;
    int rc = resume_open(files_path(name), &r, err);

    if (rc < 0)
        return rc;
    *counters = *resume_counters(r);
    rc = resume_read(r, &state, err);
    resume_close(r);
    return rc;
}

static void what_is_written_is_read(void **state)
{
    struct resume_counters c;
    float arrays[4][N];

    write_state("state");
    assert_int_equal(read_state("state", &c, arrays, NULL), 0);
    assert_int_equal(c.step, 1234567);
    assert_true(c.seconds == 98.5);
    assert_int_equal(c.n_images, 4000);
    assert_true(c.data_digest == 0xfedcba9876543210);
    assert_string_equal(c.start_digest, "0123456789abcdef");
    assert_memory_equal(arrays[0], weights, sizeof(weights));
    assert_memory_equal(arrays[1], ema, sizeof(ema));
    assert_memory_equal(arrays[2], m, sizeof(m));
    assert_memory_equal(arrays[3], v, sizeof(v));
}

static void a_bit_that_flipped_is_found(void **state)
{
    unsigned char *bytes;
    size_t size;

    write_state("state");
    bytes = files_read("state", &size);
    for (size_t bit = 0; bit < 8 * size; bit += 3) { /* all places of a byte, in three bytes */
        struct resume_counters c;
        float arrays[4][N];

        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        files_write("flipped", bytes, size);
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        if (read_state("flipped", &c, arrays, NULL) == 0)
            fail_msg("bit %zu of %zu", bit, 8 * size);
    }
    free(bytes);
}

static void damage_is_told_as_such(void **state)
{
    struct resume_counters c;
    struct error err = {""};
    unsigned char *bytes;
    float arrays[4][N];
    size_t size;

    write_state("state");
    bytes = files_read("state", &size);
    bytes[size - 2] ^= 1; /* a number, still finite */
    files_write("flipped", bytes, size);
    assert_int_equal(read_state("flipped", &c, arrays, &err), -EINVAL);
    assert_non_null(strstr(err.text, "flipped"));
    assert_non_null(strstr(err.text, "damaged"));
    free(bytes);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_bit_that_flipped_is_found),
        cmocka_unit_test(damage_is_told_as_such),
    };

    return cmocka_run_group_tests(tests, files_set_up, files_tear_down);
}
