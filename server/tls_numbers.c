/* The reserve is handed out in units that lie beside each other: numbers are short, and live no longer than a step of a
 * handshake, so that what is free is soon in one piece again. */
#include "server/tls_numbers.h"

#include <gmp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UNIT_BYTES = 128, UNITS = TLS_NUMBERS_RESERVE_BYTES / UNIT_BYTES };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* of both below */
static bool taken[UNITS];
static _Alignas(64) unsigned char reserve[UNITS][UNIT_BYTES];

static size_t units_of(size_t size)
{
    return size / UNIT_BYTES + 1;
}

static void mark(size_t first, size_t n, bool value)
{
    memset(taken + first, value, n * sizeof(*taken));
}

/* NULL: there is not so much. */
static void *take_reserve(size_t size)
{
    size_t n = units_of(size), run = 0, i = 0;

    pthread_mutex_lock(&mutex);
    for (; i < UNITS && run < n; i++)
        run = taken[i] ? 0 : run + 1;
    if (run == n)
        mark(i - n, n, true);
    pthread_mutex_unlock(&mutex);
    return run == n ? reserve[i - n] : NULL;
}

static bool is_reserve(const void *p)
{
    const unsigned char *at = p;

    return at >= reserve[0] && at < reserve[0] + sizeof(reserve);
}

static void *take(size_t size)
{
    void *p = malloc(size);

    if (!p)
        p = take_reserve(size);
    if (!p) { /* GMP has no way to be told */
        fputs("out of memory for the numbers of TLS\n", stderr);
        abort();
    }
    return p;
}

static void give_back(void *p, size_t size)
{
    explicit_bzero(p, size);
    if (!is_reserve(p)) {
        free(p);
        return;
    }
    pthread_mutex_lock(&mutex);
    mark((size_t)((unsigned char *)p - reserve[0]) / UNIT_BYTES, units_of(size), false);
    pthread_mutex_unlock(&mutex);
}

static void *take_other(void *old, size_t old_size, size_t size)
{
    void *p = take(size);

    memcpy(p, old, old_size < size ? old_size : size);
    give_back(old, old_size);
    return p;
}

void tls_numbers_reserve(void)
{
    mp_set_memory_functions(take, take_other, give_back);
}
