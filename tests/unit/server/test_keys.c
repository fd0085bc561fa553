/* Who is let in, and how often. Digests: printf %s WORD | sha256sum. */
#include "server/keys.h"

#include "api/problem.h"
#include "engine/base/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ALICE  "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90" /* alice */
#define BOB    "81b637d8fcd2c6da6359e6963113a1170de795e4b725b84d1e0b4cfd9ec58ce9" /* bob */
#define SECOND UINT64_C(1000000000)

static char path[] = "/tmp/keys.XXXXXX";

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    int fd = mkstemp(path);

    return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
    return unlink(path);
}

/* The status of the refusal, 0: let in and gone again. */
static int try(struct keys *all, const char *authorization, uint64_t now_ns)
{
    struct problem problem = {0};
    struct key *key;

    if (keys_enter(all, authorization, true, &key, &problem) < 0)
        return problem.status;
    assert_non_null(key);
    keys_charge(key, 1, now_ns, &problem);
    keys_leave(key, true);
    return problem.status;
}

static void what_is_a_key(void **state)
{
    static const struct {
        const char *authorization;
        int status;
    } rows[] = {
        {"Bearer alice", 0},     {"bearer alice", 0}, {"Bearer   alice  ", 0},
        {"Bearer alice x", 401}, {"Bearer", 401},     {"Bearer ", 401},
        {"Beareralice", 401},    {"alice", 401},      {"Basic alice", 401},
        {"Bearer Alice", 401},   {"", 401},           {NULL, 401},
        {"Bearer " ALICE, 401}, /* whoever reads the file has no key */
    };
    struct keys *all;

    write_file("alice " ALICE "\n");
    assert_int_equal(keys_create(path, &all, NULL), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(try(all, rows[i].authorization, SECOND), rows[i].status);
    keys_destroy(all);
}

static void without_a_file(void **state)
{
    struct problem problem = {0};
    struct keys *all;
    struct key *key;

    assert_int_equal(keys_create("", &all, NULL), 0);
    assert_int_equal(keys_enter(all, NULL, true, &key, &problem), 0);
    assert_null(key);
    keys_destroy(all);
    assert_int_equal(keys_create("/nowhere", &all, NULL), -ENOENT);
    write_file("# nobody\n");
    assert_int_equal(keys_create(path, &all, NULL), 0);
    assert_int_equal(keys_enter(all, "Bearer alice", true, &key, &problem), -EINVAL);
    assert_int_equal(problem.status, 401);
    keys_destroy(all);
}

static void how_often(void **state)
{
    struct problem problem = {0};
    struct keys *all;
    struct key *key;

    write_file("alice " ALICE " rate=3/m\nbob " BOB "\n");
    assert_int_equal(keys_create(path, &all, NULL), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(try(all, "Bearer alice", SECOND), 0);
    assert_int_equal(keys_enter(all, "Bearer alice", true, &key, &problem), 0);
    assert_int_equal(keys_charge(key, 1, SECOND, &problem), -EINVAL);
    keys_leave(key, true);
    assert_int_equal(problem.status, 429);
    assert_int_equal(problem.retry_after_s, 20);
    assert_int_equal(try(all, "Bearer bob", SECOND), 0);
    assert_int_equal(try(all, "Bearer alice", 20 * SECOND), 429);
    assert_int_equal(try(all, "Bearer alice", 21 * SECOND), 0);
    assert_int_equal(try(all, "Bearer alice", 21 * SECOND), 429);
    /* Whoever comes back after long has no more than the first time. */
    for (int i = 0; i < 3; i++)
        assert_int_equal(try(all, "Bearer alice", 9999 * SECOND), 0);
    assert_int_equal(try(all, "Bearer alice", 9999 * SECOND), 429);
    /* Many images at once are paid back: seven of three make one again after 100 s. */
    assert_int_equal(keys_enter(all, "Bearer alice", true, &key, &problem), 0);
    assert_int_equal(keys_charge(key, 7, 99999 * SECOND, &problem), 0);
    assert_int_equal(keys_charge(key, 1, 99999 * SECOND, &problem), -EINVAL);
    assert_int_equal(problem.retry_after_s, 100);
    assert_int_equal(keys_charge(key, 1, 100098 * SECOND, &problem), -EINVAL);
    assert_int_equal(keys_charge(key, 1, 100099 * SECOND, &problem), 0);
    keys_leave(key, true);
    assert_int_equal(keys_charge(NULL, 7, SECOND, &problem), 0);
    /* What is used up stays so when the file is read again. */
    assert_int_equal(keys_reload(all, NULL), 0);
    assert_int_equal(try(all, "Bearer alice", 100100 * SECOND), 429);
    keys_destroy(all);
}

static void how_many(void **state)
{
    struct key *first, *second, *third;
    struct problem problem = {0};
    struct keys *all;

    write_file("alice " ALICE " concurrent=2\n");
    assert_int_equal(keys_create(path, &all, NULL), 0);
    assert_int_equal(keys_enter(all, "Bearer alice", true, &first, &problem), 0);
    assert_int_equal(keys_enter(all, "Bearer alice", true, &second, &problem), 0);
    assert_int_equal(keys_enter(all, "Bearer alice", true, &third, &problem), -EINVAL);
    assert_int_equal(problem.status, 429);
    assert_int_equal(problem.retry_after_s, 0);
    /* What does not draw does not count. */
    assert_int_equal(keys_enter(all, "Bearer alice", false, &third, &problem), 0);
    keys_leave(third, false);
    keys_leave(first, true);
    assert_int_equal(try(all, "Bearer alice", 0), 0);
    /* A job goes on after its request. */
    keys_stay(second);
    keys_leave(second, true);
    assert_int_equal(keys_enter(all, "Bearer alice", true, &first, &problem), 0);
    assert_int_equal(try(all, "Bearer alice", 0), 429);
    keys_leave(second, true);
    assert_int_equal(try(all, "Bearer alice", 0), 0);
    keys_leave(first, true);
    keys_destroy(all);
}

static void another_file(void **state)
{
    struct problem problem = {0};
    struct keys *all;
    struct error err;
    struct key *key;

    write_file("alice " ALICE "\n");
    assert_int_equal(keys_create(path, &all, NULL), 0);
    assert_int_equal(keys_enter(all, "Bearer alice", true, &key, &problem), 0);
    write_file("alice " ALICE "\nbob " BOB " rate=1\n");
    assert_int_equal(keys_reload(all, &err), -EINVAL); /* all of it, or nothing */
    assert_non_null(strstr(err.text, "line 2"));
    assert_int_equal(try(all, "Bearer bob", 0), 401);
    assert_int_equal(try(all, "Bearer alice", 0), 0);
    write_file("bob " BOB "\n");
    assert_int_equal(keys_reload(all, NULL), 0);
    assert_int_equal(try(all, "Bearer alice", 0), 401);
    assert_int_equal(try(all, "Bearer bob", 0), 0);
    assert_string_equal(key_name(key), "alice"); /* whose request goes on */
    keys_leave(key, true);
    /* The name stays, the key is another. */
    write_file("bob " ALICE "\n");
    assert_int_equal(keys_reload(all, NULL), 0);
    assert_int_equal(try(all, "Bearer bob", 0), 401);
    assert_int_equal(try(all, "Bearer alice", 0), 0);
    keys_destroy(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_a_key), cmocka_unit_test(without_a_file),
        cmocka_unit_test(how_often),     cmocka_unit_test(how_many),
        cmocka_unit_test(another_file),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
