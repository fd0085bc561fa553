/* What is played, written down: a letter for an image of that job that begins, its capital for one that is
 * finished, and in between how often the images that have lanes evaluate. */
#include "server/queue/player.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { TEXT_BYTES = 64, NOW = PRIORITY_INTERACTIVE, LATER = PRIORITY_BACKGROUND };

struct arrival {
    int after; /* so many evaluations of those that are there */
    int n, evaluations, priority, n_begun, done;
};

static void add(struct player *p, int i, const struct arrival *a)
{
    const struct player_job job = {.n = a->n,
                                   .evaluations = a->evaluations,
                                   .priority = (enum priority)a->priority,
                                   .n_begun = a->n_begun,
                                   .done = a->done};

    player_add(p, i, &job);
}

/* From one finished image, or arrival of the second job, to the next. */
static void play(int lanes, const struct arrival arrivals[2], char text[TEXT_BYTES])
{
    struct player *p = player_create(2, lanes);
    int n_added = 0, time = 0, n = 0, due, steps, job;

    assert_non_null(p);
    for (;;) {
        while (n_added < 2 && arrivals[n_added].after <= time) {
            add(p, n_added, &arrivals[n_added]);
            n_added++;
        }
        while ((job = player_begin(p)) >= 0)
            text[n++] = (char)('a' + job);
        if (player_busy(p) == 0)
            break;
        assert_true(player_busy(p) <= lanes);
        due = n_added < 2 ? arrivals[n_added].after - time : INT_MAX;
        steps = player_until_end(p);
        steps = steps < due ? steps : due;
        player_evaluate(p, steps);
        time += steps;
        n += snprintf(text + n, (size_t)(TEXT_BYTES - n), "%d", steps);
        while ((job = player_end(p)) >= 0)
            text[n++] = (char)('A' + job);
        assert_in_range(n, 1, TEXT_BYTES / 2);
    }
    text[n] = '\0';
    assert_int_equal(n_added, 2);
    player_destroy(p);
}

static void test_games(void **state)
{
    static const struct {
        const char *want;
        int lanes;
        struct arrival arrivals[2];
    } cases[] = {
        /* One lane is shared image by image, */
        {"a3Ab2Ba3A", 1, {{0, 2, 3, NOW, 0, 0}, {0, 1, 2, NOW, 0, 0}}},
        /* and where there are more nobody is parked for who comes. */
        {"a2b1A9B", 2, {{0, 1, 3, NOW, 0, 0}, {2, 1, 10, NOW, 0, 0}}},
        /* Who comes gets one of two lanes, and the image that was parked goes on. */
        {"aa2b1B2A1A", 2, {{0, 2, 5, NOW, 0, 0}, {2, 1, 1, NOW, 0, 0}}},
        /* That with the most left is parked, */
        {"aa3Aa1b2A3B2A", 2, {{0, 3, 6, NOW, 1, 3}, {4, 1, 5, NOW, 0, 0}}},
        /* and of two that are parked that with the fewest goes on. */
        {"aa1bb1B2A1B4A", 2, {{0, 2, 6, LATER, 1, 3}, {1, 2, 4, NOW, 1, 3}}},
        /* What is done already counts for those alone that get lanes first. */
        {"a1Ab5Ba5A", 1, {{0, 2, 5, NOW, 1, 4}, {0, 1, 5, NOW, 0, 0}}},
        /* The background gives way, down to the last lane, */
        {"a2b3B3A", 1, {{0, 1, 5, LATER, 0, 0}, {2, 1, 3, NOW, 0, 0}}},
        /* and takes none from its equals. */
        {"a23Ab3B", 1, {{0, 1, 5, LATER, 0, 0}, {2, 1, 3, LATER, 0, 0}}},
    };
    char text[TEXT_BYTES];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        play(cases[i].lanes, cases[i].arrivals, text);
        assert_string_equal(text, cases[i].want);
    }
}

/* As many looks as a game takes are counted: twice the images cost more than that. */
static void test_looks(void **state)
{
    long long looks[2];

    for (int i = 0; i < 2; i++) {
        struct player *p = player_create(1, 4);
        const struct player_job job = {.n = 40 << i, .evaluations = 3};

        assert_non_null(p);
        assert_int_equal(player_looks(p), 0);
        player_add(p, 0, &job);
        for (int n = 0; n < job.n;) {
            while (player_begin(p) >= 0)
                ;
            player_evaluate(p, 1);
            while (player_end(p) >= 0)
                n++;
        }
        looks[i] = player_looks(p);
        player_destroy(p);
    }
    assert_true(looks[0] >= 40 * 3 && looks[1] >= 2 * looks[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_games),
        cmocka_unit_test(test_looks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
