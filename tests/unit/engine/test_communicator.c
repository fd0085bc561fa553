/* What ranks agree on, with neighbours that say what a test wants. */
#include "engine/communicator/communicator.h"
#include "engine/base/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { RANKS = 3, PART_MAX = 1024 };

/* What the others have to say in the next exchange, as they would have filled it in; NULL: what this rank
 * says. And whether it arrives. */
static const char *said[RANKS];
static bool lost;

static int fake_gather(struct communicator *c, void *parts, size_t bytes, struct error *err)
{
    assert_true(bytes <= PART_MAX);
    if (lost)
        return error_set(err, -EIO, "lost");
    for (int i = 0; i < c->n_ranks; i++) {
        const char *from = said[i] ? said[i] : (const char *)parts + (size_t)c->rank * bytes;

        if (i != c->rank)
            memmove((char *)parts + (size_t)i * bytes, from, bytes);
    }
    return 0;
}

static const struct communicator_ops fake_ops = {.name = "fake", .gather = fake_gather};

/* A rank's word about itself: code and text. */
static void put_word(int code, const char *text, char word[PART_MAX])
{
    memset(word, 0, PART_MAX);
    memcpy(word, &code, sizeof(code));
    snprintf(word + sizeof(code), PART_MAX - sizeof(code), "%s", text);
}

static int agree(int rank, int code, const char *text, struct error *err)
{
    struct communicator c = {.ops = &fake_ops, .rank = rank, .n_ranks = RANKS};

    snprintf(err->text, sizeof(err->text), "%s", text);
    return communicator_agree(&c, code, err);
}

static void the_first_that_failed_is_told(void **state)
{
    static char well[PART_MAX], badly[PART_MAX];
    struct error err = {""};

    put_word(0, "", well);
    put_word(-EINVAL, "has no pictures", badly);
    said[0] = said[1] = well;
    said[2] = badly;
    assert_int_equal(agree(0, 0, "", &err), -EINVAL);
    assert_string_equal(err.text, "rank 2: has no pictures");
    assert_int_equal(agree(1, -ENOMEM, "out of memory", &err), -ENOMEM);
    assert_string_equal(err.text, "rank 1: out of memory");
    said[2] = well;
    assert_int_equal(agree(1, 0, "", &err), 0);
}

static void what_all_say_names_nobody(void **state)
{
    struct error err = {""};

    memset(said, 0, sizeof(said)); /* the same as this one */
    assert_int_equal(agree(1, -EINVAL, "rank 2: has no pictures", &err), -EINVAL);
    assert_string_equal(err.text, "rank 2: has no pictures");
}

static void a_lost_message_is_the_end(void **state)
{
    struct communicator c = {.ops = &fake_ops, .rank = 0, .n_ranks = RANKS};
    struct error err = {""};

    memset(said, 0, sizeof(said));
    lost = true;
    assert_int_equal(communicator_agree(&c, 0, &err), -EIO);
    assert_string_equal(err.text, "lost");
    assert_true(c.broken);
    lost = false; /* nobody is asked any more */
    assert_int_equal(communicator_agree(&c, -EINVAL, &err), -EINVAL);
}

static void a_rank_alone_agrees_with_itself(void **state)
{
    struct communicator *c;
    float values[2] = {1, 2};
    struct error err = {""};

    unsetenv("OMPI_COMM_WORLD_SIZE");
    unsetenv("PMI_SIZE");
    unsetenv("PMIX_RANK");
    assert_int_equal(communicator_open(&c, &err), 0);
    assert_int_equal(c->n_ranks, 1);
    assert_int_equal(communicator_sum(c, values, 2, &err), 0);
    assert_true(values[0] == 1 && values[1] == 2);
    error_set(&err, -EIO, "why");
    assert_int_equal(communicator_agree(c, -EIO, &err), -EIO);
    assert_string_equal(err.text, "why");
    communicator_close(c);
    communicator_close(NULL);
}

static void launchers_are_heard(void **state)
{
    static const char *const variables[][2] = {{"OMPI_COMM_WORLD_SIZE", "2"},
                                               {"PMI_SIZE", "64"},
                                               {"PMIX_RANK", "0"}};
    struct communicator *c;
    struct error err = {""};

    setenv("SOFTDIFF_MODULE_DIR", "/nowhere", 1);
    for (size_t i = 0; i < 3; i++) {
        setenv(variables[i][0], variables[i][1], 1);
        assert_int_equal(communicator_open(&c, &err), -ENOTSUP);
        assert_non_null(strstr(err.text, "softdiff-mpi.so is not installed"));
        unsetenv(variables[i][0]);
    }
    setenv("OMPI_COMM_WORLD_SIZE", "1", 1); /* mpirun -n 1 */
    assert_int_equal(communicator_open(&c, &err), 0);
    communicator_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_that_failed_is_told),
        cmocka_unit_test(what_all_say_names_nobody),
        cmocka_unit_test(a_lost_message_is_the_end),
        cmocka_unit_test(a_rank_alone_agrees_with_itself),
        cmocka_unit_test(launchers_are_heard),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
