/* The JSON of an architecture: strict, with defaults, and the same after a round trip. */
#include "model/architecture.h"
#include "engine/base/error.h"

#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

static void defaults_are_the_reference_s(void **state)
{
    struct architecture a;

    assert_int_equal(architecture_parse("{\"image_size\": 32, \"nf\": 128,"
                                        " \"ch_mult\": [1, 2, 2, 2], \"num_res_blocks\": 4}",
                                        &a, NULL),
                     0);
    assert_int_equal(a.network, NETWORK_NCSNPP);
    assert_int_equal(a.image_size, 32);
    assert_int_equal(a.num_channels, 3);
    assert_int_equal(a.nf, 128);
    assert_int_equal(a.n_levels, 4);
    assert_int_equal(a.ch_mult[0], 1);
    assert_int_equal(a.ch_mult[3], 2);
    assert_int_equal(a.num_res_blocks, 4);
    assert_int_equal(a.n_attn, 1);
    assert_int_equal(a.attn_resolutions[0], 16);
    assert_int_equal(a.embedding_type, EMBEDDING_FOURIER);
    assert_int_equal(a.n_labels, 0);
    assert_true(a.fourier_scale == 16 && !a.centered && a.dropout == 0.1f);
}

static void a_round_trip_changes_nothing(void **state)
{
    static const char text[] =
        "{\"network\": \"ddpm\", \"image_size\": 24, \"num_channels\": 1, \"nf\": 16, \"ch_mult\": "
        "[1, 2],"
        " \"num_res_blocks\": 1, \"attn_resolutions\": [], \"embedding_type\": \"positional\","
        " \"fourier_scale\": 7.25, \"centered\": true, \"dropout\": 0.2, \"n_labels\": 7}";
    struct architecture a, b;
    json_t *json;
    char *dump;

    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    assert_int_equal(architecture_parse(text, &a, NULL), 0);
    assert_true(a.embedding_type == EMBEDDING_POSITIONAL && a.centered && a.n_attn == 0);
    json = architecture_to_json(&a);
    dump = json_dumps(json, 0);
    assert_non_null(strstr(dump, "\"dropout\": 0.20000000000000001")); /* 0.2, not 0.2f */
    assert_int_equal(architecture_from_json(json, &b, NULL), 0);
    assert_int_equal(b.network, NETWORK_DDPM);
    assert_int_equal(b.image_size, 24);
    assert_int_equal(b.num_channels, 1);
    assert_int_equal(b.n_attn, 0);
    assert_int_equal(b.n_labels, 7);
    assert_true(b.embedding_type == EMBEDDING_POSITIONAL && b.centered);
    assert_true(b.fourier_scale == 7.25f && b.dropout == 0.2f);
    json_decref(json);
    free(dump);
}

/* A good architecture with one member replaced. */
static void mistakes_are_named(void **state)
{
    static const struct {
        const char *key, *value; /* NULL: removed */
        const char *why;
    } rows[] = {
        {"network", "\"unet\"", "unknown network \"unet\""},
        {"image_size", NULL, "\"image_size\" is missing"},
        {"image_size", "0", "\"image_size\" is 0"},
        {"image_size", "-32", "\"image_size\" is -32"},
        {"image_size", "2048", "\"image_size\" is 2048"},
        {"image_size", "32.0", "\"image_size\" is not an integer"},
        {"image_size", "\"32\"", "\"image_size\" is not an integer"},
        {"image_size", "30", "\"image_size\" is 30, not divisible by 2^2"},
        {"image_size", "4294967328", "\"image_size\" is 4294967328"},
        {"num_channels", "0", "\"num_channels\" is 0"},
        {"num_channels", "17", "\"num_channels\" is 17"},
        {"n_labels", "-1", "\"n_labels\" is -1"},
        {"n_labels", "1001", "\"n_labels\" is 1001"},
        {"nf", NULL, "\"nf\" is missing"},
        {"nf", "6", "\"nf\" is 6, not a multiple of 4"},
        {"nf", "2048", "\"nf\" is 2048"},
        {"ch_mult", NULL, "\"ch_mult\" is missing"},
        {"ch_mult", "[]", "\"ch_mult\" is not an array"},
        {"ch_mult", "2", "\"ch_mult\" is not an array"},
        {"ch_mult", "[1,1,1,1,1,1,1,1,1]", "\"ch_mult\" is not an array"},
        {"ch_mult", "[1,0]", "\"ch_mult\": element 1"},
        {"ch_mult", "[1,17]", "\"ch_mult\": element 1"},
        {"ch_mult", "[1,2.0]", "\"ch_mult\": element 1"},
        {"num_res_blocks", NULL, "\"num_res_blocks\" is missing"},
        {"num_res_blocks", "17", "\"num_res_blocks\" is 17"},
        {"attn_resolutions", "[1,2,3,4,5,6,7,8,9]", "\"attn_resolutions\" is not an array"},
        {"attn_resolutions", "[0]", "\"attn_resolutions\": element 0"},
        {"embedding_type", "\"sinus\"", "unknown embedding_type \"sinus\""},
        {"embedding_type", "1", "\"embedding_type\" is not a string"},
        {"fourier_scale", "0", "\"fourier_scale\" is 0"},
        {"centered", "1", "\"centered\" is neither true nor false"},
        {"dropout", "1", "\"dropout\" is 1"},
        {"dropout", "-0.1", "\"dropout\" is -0.1"},
        {"dropout", "null", "\"dropout\" is not a number"},
        {"nF", "16", "unknown key \"nF\""},
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        json_t *json = json_loads("{\"image_size\": 32, \"nf\": 16, \"ch_mult\": [1, 2, 2],"
                                  " \"num_res_blocks\": 2}",
                                  0, NULL);
        struct architecture a = {.image_size = -1};
        struct error err = {""};
        int rc;

        if (rows[i].value)
            json_object_set_new(json, rows[i].key,
                                json_loads(rows[i].value, JSON_DECODE_ANY, NULL));
        else
            json_object_del(json, rows[i].key);
        rc = architecture_from_json(json, &a, &err);
        if (rc != -EINVAL || !strstr(err.text, rows[i].why) || a.image_size != -1)
            fail_msg("row %zu: %d \"%s\", expected \"%s\"", i, rc, err.text, rows[i].why);
        json_decref(json);
    }
}

static void text_that_is_no_object_is_refused(void **state)
{
    static const char *const rows[] = {"", "[]", "3", "{", "{\"nf\": 4, \"nf\": 4}", "{} {}"};

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        struct architecture a;
        struct error err = {""};

        assert_int_equal(architecture_parse(rows[i], &a, &err), -EINVAL);
        assert_non_null(strstr(err.text, "architecture"));
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_reference_s),
        cmocka_unit_test(a_round_trip_changes_nothing),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(text_that_is_no_object_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
