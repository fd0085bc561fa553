#include "tools/eval/number_sort.h"

#include <string.h>

enum { DIGIT_BITS = 8, DIGITS = 64 / DIGIT_BITS, DIGIT_VALUES = 1 << DIGIT_BITS };

static const uint64_t sign = 1ULL << 63;

/* A whole number that rises as x does: the bits of a double do where it is positive, and fall where it
 * is negative. */
static uint64_t key_of(double x)
{
    uint64_t bits;

    memcpy(&bits, &x, sizeof(bits));
    return bits & sign ? ~bits : bits | sign;
}

static double number_of(uint64_t key)
{
    uint64_t bits = key & sign ? key & ~sign : ~key;
    double x;

    memcpy(&x, &bits, sizeof(x));
    return x;
}

static unsigned digit_of(uint64_t key, int digit)
{
    return (unsigned)(key >> (DIGIT_BITS * digit)) % DIGIT_VALUES;
}

/* By one digit after the other, the last one first; each pass keeps the order of those before. */
void number_sort(int n, double *x, uint64_t *scratch)
{
    int counts[DIGITS][DIGIT_VALUES] = {{0}};
    uint64_t *from = scratch, *to = scratch + n;

    for (int i = 0; i < n; i++) {
        from[i] = key_of(x[i]);
        for (int digit = 0; digit < DIGITS; digit++)
            counts[digit][digit_of(from[i], digit)]++;
    }
    for (int digit = 0; digit < DIGITS; digit++) {
        int place[DIGIT_VALUES], first = 0;
        uint64_t *other = from;

        for (int value = 0; value < DIGIT_VALUES; value++) {
            place[value] = first;
            first += counts[digit][value];
        }
        for (int i = 0; i < n; i++)
            to[place[digit_of(from[i], digit)]++] = from[i];
        from = to;
        to = other;
    }
    for (int i = 0; i < n; i++)
        x[i] = number_of(from[i]);
}
