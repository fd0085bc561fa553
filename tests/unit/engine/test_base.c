#include "engine/base/bf16.h"
#include "engine/base/choice.h"
#include "engine/base/error.h"
#include "engine/base/f16.h"
#include "engine/base/philox.h"
#include "engine/base/pool.h"
#include "engine/base/printable.h"
#include "engine/device.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

/* The vectors of Random123's kat_vectors for philox4x32 with 10 rounds. */
static void philox_gives_the_published_vectors(void **state)
{
    static const struct {
        uint32_t counter[4], key[2], words[4];
    } rows[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        /* counter = {block, stream, step, image}, key = the seed */
        const struct philox_key key = {
            .seed_low = rows[i].key[0],
            .seed_high = rows[i].key[1],
            .step = rows[i].counter[2],
            .image = rows[i].counter[3],
        };
        uint32_t words[4];

        philox_block(&key, rows[i].counter[1], rows[i].counter[0], words);
        assert_memory_equal(words, rows[i].words, sizeof(words));
    }
}

static void philox_key_splits_the_seed(void **state)
{
    const struct philox_key key = philox_key(0x0123456789abcdef, 7, 9);

    assert_int_equal(key.seed_low, 0x89abcdef);
    assert_int_equal(key.seed_high, 0x01234567);
    assert_int_equal(key.image, 7);
    assert_int_equal(key.step, 9);
}

static void uniforms_come_from_the_words_in_order(void **state)
{
    const struct philox_key key = philox_key(5, 1, 2);
    float uniforms[10];

    philox_uniforms(&key, 3, N_ELEMENTS(uniforms), uniforms);
    for (size_t i = 0; i < N_ELEMENTS(uniforms); i++) {
        uint32_t words[4];
        float want;

        philox_block(&key, 3, (uint32_t)(i / 4), words);
        want = ((float)(words[i % 4] >> 8) + 0.5f) / 16777216.0f;
        assert_true(uniforms[i] == want);
        assert_true(uniforms[i] > 0 && uniforms[i] <= 1);
    }
}

/* A shorter draw is the start of a longer one, also where it ends inside a block. */
static void normals_do_not_depend_on_the_length(void **state)
{
    const struct philox_key key = philox_key(5, 1, 2);
    float all[23];

    philox_normals(&key, 4, N_ELEMENTS(all), all);
    for (size_t n = 1; n < N_ELEMENTS(all); n++) {
        float some[24];

        some[n] = 42;
        philox_normals(&key, 4, n, some);
        assert_memory_equal(some, all, n * sizeof(float));
        assert_true(some[n] == 42);
    }
}

enum { N_DRAWS = 200000 };

static void draw_normals(const struct philox_key *key, uint32_t stream, float **out)
{
    *out = malloc(N_DRAWS * sizeof(float));
    assert_non_null(*out);
    philox_normals(key, stream, N_DRAWS, *out);
}

/* Moments within five standard errors; the draws are fixed, so this never flickers. */
static void normals_are_standard(void **state)
{
    const struct philox_key key = philox_key(11, 0, 0);
    double m1 = 0, m2 = 0, m3 = 0, m4 = 0, within_one = 0, neighbours = 0;
    const double unit = 5 / sqrt(N_DRAWS);
    float *x;

    draw_normals(&key, PHILOX_STREAM_ETA, &x);
    for (int i = 0; i < N_DRAWS; i++) {
        const double v = (double)x[i];

        m1 += v / N_DRAWS;
        m2 += v * v / N_DRAWS;
        m3 += v * v * v / N_DRAWS;
        m4 += v * v * v * v / N_DRAWS;
        within_one += (fabs(v) < 1) / (double)N_DRAWS;
        if (i > 0)
            neighbours += v * (double)x[i - 1] / N_DRAWS;
    }
    free(x);
    assert_true(fabs(m1) < unit);
    assert_true(fabs(m2 - 1) < sqrt(2) * unit);
    assert_true(fabs(m3) < sqrt(15) * unit);
    assert_true(fabs(m4 - 3) < sqrt(96) * unit);
    assert_true(fabs(within_one - 0.6826895) < 0.4655 * unit);
    assert_true(fabs(neighbours) < unit);
}

/* Draws that differ in one part of their address are uncorrelated. */
static void normals_of_other_addresses_are_independent(void **state)
{
    const struct philox_key key = philox_key(11, 3, 4);
    const struct {
        struct philox_key key;
        uint32_t stream;
    } others[] = {
        {philox_key(12, 3, 4), PHILOX_STREAM_ETA}, /* seed, low half */
        {philox_key(11 + (1ULL << 32), 3, 4), PHILOX_STREAM_ETA},
        {philox_key(11, 4, 4), PHILOX_STREAM_ETA},
        {philox_key(11, 3, 5), PHILOX_STREAM_ETA},
        {philox_key(11, 4, 3), PHILOX_STREAM_ETA}, /* image and step exchanged */
        {philox_key(11, 3, 4), PHILOX_STREAM_START},
    };
    float *x;

    draw_normals(&key, PHILOX_STREAM_ETA, &x);
    for (size_t i = 0; i < N_ELEMENTS(others); i++) {
        double correlation = 0;
        float *y;

        draw_normals(&others[i].key, others[i].stream, &y);
        for (int j = 0; j < N_DRAWS; j++)
            correlation += (double)x[j] * (double)y[j] / N_DRAWS;
        free(y);
        assert_true(fabs(correlation) < 5 / sqrt(N_DRAWS));
    }
    free(x);
}

static void error_keeps_code_and_text(void **state)
{
    struct error err;

    assert_int_equal(error_set(&err, -EINVAL, "no %s in \"%d\"", "x", 7), -EINVAL);
    assert_string_equal(err.text, "no x in \"7\"");
    error_prefix(&err, "file \"%s\": ", "a.b");
    assert_string_equal(err.text, "file \"a.b\": no x in \"7\"");
}

static void error_may_be_null(void **state)
{
    assert_int_equal(error_set(NULL, -ENOMEM, "text"), -ENOMEM);
    error_prefix(NULL, "prefix");
}

static void error_cuts_what_is_too_long(void **state)
{
    char longer[2 * sizeof(((struct error *)NULL)->text)];
    struct error err;

    memset(longer, 'a', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    error_set(&err, -EIO, "%s", longer);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    error_prefix(&err, "b");
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    assert_int_equal(err.text[0], 'b');
    assert_int_equal(err.text[1], 'a');
    error_prefix(&err, "%s", longer);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

enum { N_TASKS_MAX = 257, N_THREADS = 4 };

struct tally {
    _Atomic int calls[N_TASKS_MAX];
    _Atomic int active[N_THREADS]; /* tasks a worker is in */
    _Atomic int wrong_worker;
};

static void count_task(void *arg, int i, int worker)
{
    struct tally *tally = arg;

    if (worker < 0 || worker >= N_THREADS) {
        tally->wrong_worker++;
        return;
    }
    /* Two threads never share a number. */
    if (tally->active[worker]++ != 0)
        tally->wrong_worker++;
    tally->calls[i]++;
    tally->active[worker]--;
}

static void pool_runs_every_task_once(void **state)
{
    static const int sizes[] = {0, 1, 2, 3, 4, 5, 31, N_TASKS_MAX};

    for (int n_threads = 1; n_threads <= N_THREADS; n_threads++) {
        struct pool *pool;

        assert_int_equal(pool_create(n_threads, &pool, NULL), 0);
        assert_int_equal(pool_threads(pool), n_threads);
        for (int run = 0; run < 2000; run++) {
            const int n_tasks = sizes[(size_t)run % N_ELEMENTS(sizes)];
            struct tally tally = {0};

            pool_run(pool, n_tasks, count_task, &tally);
            assert_int_equal(tally.wrong_worker, 0);
            for (int i = 0; i < N_TASKS_MAX; i++)
                assert_int_equal(tally.calls[i], i < n_tasks);
        }
        pool_destroy(pool);
    }
}

struct meeting {
    pthread_barrier_t barrier;
    _Atomic int workers[N_THREADS];
};

static void meet_task(void *arg, int i, int worker)
{
    struct meeting *meeting = arg;

    meeting->workers[worker]++;
    pthread_barrier_wait(
        &meeting->barrier); /* returns once as many tasks run as there are threads */
}

static void pool_uses_all_its_threads(void **state)
{
    struct meeting meeting = {0};
    struct pool *pool;

    assert_int_equal(pthread_barrier_init(&meeting.barrier, NULL, N_THREADS), 0);
    assert_int_equal(pool_create(N_THREADS, &pool, NULL), 0);
    pool_run(pool, N_THREADS, meet_task, &meeting);
    for (int i = 0; i < N_THREADS; i++)
        assert_int_equal(meeting.workers[i], 1);
    pool_destroy(pool);
    pthread_barrier_destroy(&meeting.barrier);
}

static void pool_refuses_no_threads(void **state)
{
    struct pool *pool = NULL;
    struct error err = {""};

    assert_int_equal(pool_create(0, &pool, &err), -EINVAL);
    assert_null(pool);
    assert_true(strlen(err.text) > 0);
    pool_destroy(NULL);
    assert_true(pool_available_threads() >= 1);
}

static float float_of(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof(x));
    return x;
}

static void bf16_rounds_to_nearest_even(void **state)
{
    static const struct {
        uint32_t bits;
        uint16_t want;
    } rows[] = {
        {0x3f800000, 0x3f80},                       /* 1 */
        {0x3f807fff, 0x3f80},                       /* below the middle */
        {0x3f808000, 0x3f80},                       /* the middle goes to even, down */
        {0x3f808001, 0x3f81},                       /* above it */
        {0x3f818000, 0x3f82},                       /* the middle goes to even, up */
        {0xbf818000, 0xbf82},                       /* and so for negative numbers */
        {0x3fffffff, 0x4000},                       /* carries into the exponent */
        {0x7f7fffff, 0x7f80},                       /* the largest float becomes infinity */
        {0x7f800000, 0x7f80},                       /* infinities stay */
        {0xff800000, 0xff80}, {0x00000000, 0x0000}, /* zeros keep their sign */
        {0x80000000, 0x8000}, {0x00018000, 0x0002}, /* denormals round alike */
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++)
        assert_int_equal(bf16_from_float(float_of(rows[i].bits)), rows[i].want);
}

static void bf16_keeps_nan(void **state)
{
    /* Quiet and signalling, also where the payload lies in the bits that are cut off. */
    static const uint32_t nans[] = {0x7fc00000, 0xffc00000, 0x7f800001, 0xff80ffff, 0x7fffffff};

    for (size_t i = 0; i < N_ELEMENTS(nans); i++)
        assert_true(isnan(bf16_to_float(bf16_from_float(float_of(nans[i])))));
}

static void bf16_survives_the_way_to_float_and_back(void **state)
{
    for (uint32_t bits = 0; bits <= 0xffff; bits++) {
        const float x = bf16_to_float((uint16_t)bits);

        if (!isnan(x))
            assert_int_equal(bf16_from_float(x), bits);
    }
}

static void f16_rounds_to_nearest_even(void **state)
{
    static const struct {
        uint32_t bits;
        uint16_t want;
    } rows[] = {
        {0x3f800000, 0x3c00}, /* 1 */
        {0x3f800fff, 0x3c00}, /* below the middle */
        {0x3f801000, 0x3c00}, /* the middle goes to even, down */
        {0x3f801001, 0x3c01}, /* above it */
        {0x3f803000, 0x3c02}, /* the middle goes to even, up */
        {0xbf803000, 0xbc02}, /* and so for negative numbers */
        {0x3fffffff, 0x4000}, /* carries into the exponent */
        {0x477fe000, 0x7bff}, /* 65504, the largest */
        {0x477fefff, 0x7bff}, /* below 65520 */
        {0x477ff000, 0x7c00}, /* 65520 becomes infinity */
        {0xff7fffff, 0xfc00}, /* and so does all that is larger */
        {0x7f800000, 0x7c00}, /* infinities stay */
        {0x80000000, 0x8000}, /* zeros keep their sign */
        {0x38800000, 0x0400}, /* 2^-14, the smallest normal number */
        {0x387fffff, 0x0400}, /* just below it */
        {0x33800000, 0x0001}, /* 2^-24, the smallest */
        {0x33000000, 0x0000}, /* half of it goes to even */
        {0xb3000001, 0x8001}, /* more than half */
        {0x33c00000, 0x0002}, /* 1.5 of it goes to even */
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++)
        assert_int_equal(f16_from_float(float_of(rows[i].bits)), rows[i].want);
}

static void f16_keeps_nan(void **state)
{
    static const uint32_t nans[] = {0x7fc00000, 0xffc00000, 0x7f800001, 0xff80ffff, 0x7fffffff};

    for (size_t i = 0; i < N_ELEMENTS(nans); i++)
        assert_true(isnan(f16_to_float(f16_from_float(float_of(nans[i])))));
}

/* By the definition of the format, in double. */
static double f16_value(uint32_t bits)
{
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double size = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);

    if (exponent == 31)
        size = fraction ? (double)NAN : (double)INFINITY;
    return bits & 0x8000 ? -size : size;
}

static void f16_is_the_number_it_says(void **state)
{
    for (uint32_t bits = 0; bits <= 0xffff; bits++) {
        const float x = f16_to_float((uint16_t)bits);
        const double want = f16_value(bits);

        assert_true(isnan(want) ? isnan(x) : (double)x == want && !signbit(x) == !signbit(want));
        if (!isnan(x))
            assert_int_equal(f16_from_float(x), bits);
    }
}

static void choice_is_found_or_told(void **state)
{
    static const char *const names[] = {"spiral", "random", "rows"};
    struct error err;

    assert_int_equal(choice_parse("order", "spiral", 3, names, NULL), 0);
    assert_int_equal(choice_parse("order", "rows", 3, names, &err), 2);
    assert_int_equal(choice_parse("order", "rows", 2, names, NULL), -EINVAL);
    assert_int_equal(choice_parse("order", "row", 3, names, &err), -EINVAL);
    assert_string_equal(err.text, "unknown order \"row\": known are spiral, random, rows");
}

/* What was attempted and why it failed, however long the path between them. */
static void long_errors_lose_their_middle(void **state)
{
    char path[5000];
    struct error err;

    for (size_t n = 0; n < 300; n++) {
        memset(path, 'x', sizeof(path));
        path[n] = '\0';
        assert_int_equal(error_set(&err, -ENOENT, "could not open \"%s\": no such file", path),
                         -ENOENT);
        assert_memory_equal(err.text, "could not open \"", 16);
        assert_string_equal(err.text + strlen(err.text) - 14, ": no such file");
        assert_true((strstr(err.text, "...") != NULL) == (n + 31 >= sizeof(err.text)));
        error_prefix(&err, "model \"%s\": ", path);
        assert_memory_equal(err.text, "model \"", 7);
        assert_string_equal(err.text + strlen(err.text) - 14, ": no such file");
    }
    /* Characters stay whole. */
    for (size_t n = 0; n < 4; n++) {
        memset(path, 'x', n);
        for (size_t i = 0; i + 4 < sizeof(path) - n; i += 3)
            memcpy(path + n + i, "\xe2\x82\xac", 4);
        error_set(&err, -ENOENT, "%s: no such file", path);
        assert_null(strstr(err.text, "\\x"));
        assert_true(printable_is(err.text));
        assert_true(strlen(err.text) < sizeof(err.text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(long_errors_lose_their_middle),
        cmocka_unit_test(philox_gives_the_published_vectors),
        cmocka_unit_test(philox_key_splits_the_seed),
        cmocka_unit_test(uniforms_come_from_the_words_in_order),
        cmocka_unit_test(normals_do_not_depend_on_the_length),
        cmocka_unit_test(normals_are_standard),
        cmocka_unit_test(normals_of_other_addresses_are_independent),
        cmocka_unit_test(error_keeps_code_and_text),
        cmocka_unit_test(error_may_be_null),
        cmocka_unit_test(error_cuts_what_is_too_long),
        cmocka_unit_test(pool_runs_every_task_once),
        cmocka_unit_test(pool_uses_all_its_threads),
        cmocka_unit_test(pool_refuses_no_threads),
        cmocka_unit_test(choice_is_found_or_told),
        cmocka_unit_test(bf16_rounds_to_nearest_even),
        cmocka_unit_test(bf16_keeps_nan),
        cmocka_unit_test(f16_rounds_to_nearest_even),
        cmocka_unit_test(f16_keeps_nan),
        cmocka_unit_test(f16_is_the_number_it_says),
        cmocka_unit_test(bf16_survives_the_way_to_float_and_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
