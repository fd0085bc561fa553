/* Numbers come out as qsort() brings them into order, bit by bit. */
#include "engine/base/philox.h"
#include "tools/eval/number_sort.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 3000 };

static int rising(const void *a, const void *b)
{
    const double *x = a, *y = b;

    if (*x == 0 && *y == 0)
        return !!signbit(*y) - !!signbit(*x);
    return (*x > *y) - (*x < *y);
}

static void check(int n, const double *x)
{
    static double expected[N], got[N];
    static uint64_t scratch[2 * N];

    memcpy(expected, x, (size_t)n * sizeof(*x));
    memcpy(got, x, (size_t)n * sizeof(*x));
    qsort(expected, (size_t)n, sizeof(*expected), rising);
    number_sort(n, got, scratch);
    assert_memory_equal(got, expected, (size_t)n * sizeof(*x));
}

static void normals(void **state)
{
    static const int counts[] = {0, 1, 2, 3, 255, 256, 257, N};
    struct philox_key key = philox_key(1, 0, 0);
    static float drawn[N];
    static double x[N];

    philox_normals(&key, PHILOX_STREAM_ETA, N, drawn);
    for (int i = 0; i < N; i++)
        x[i] = (double)drawn[i] / 3;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        check(counts[i], x);
}

/* Every exponent, both signs, and many that are the same. */
static void numbers_of_all_sizes(void **state)
{
    static double x[N];

    for (int i = 0; i < N; i++)
        x[i] = ldexp(i % 7 % 2 ? -1.25 : 1 + i % 3, (i * 37 % 2098) - 1074);
    x[17] = -INFINITY;
    x[18] = INFINITY;
    x[19] = x[23] = 0;
    x[20] = x[22] = -0.0;
    x[21] = -DBL_TRUE_MIN;
    check(N, x);
}

static void what_is_in_order_stays(void **state)
{
    static double x[N];

    for (int i = 0; i < N; i++)
        x[i] = i - i % 2; /* pairs */
    check(N, x);
    for (int i = 0; i < N; i++)
        x[i] = -x[i];
    check(N, x);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(normals),
        cmocka_unit_test(numbers_of_all_sizes),
        cmocka_unit_test(what_is_in_order_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
