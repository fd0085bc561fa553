/* How the simulated device says no: a line on standard error that starts with "cudasim:", and the end
 * of the process with a code of its own, so that no program can go on as if nothing had been. And its
 * random numbers, for the orders that it chooses. */
#ifndef TESTS_CUDASIM_FAIL_HPP
#define TESTS_CUDASIM_FAIL_HPP

#include <stddef.h>
#include <stdint.h>

namespace cudasim
{

enum { EXIT_CODE = 97 }; /* not 77, a skipped test, nor 99, an error of the test itself */

/* Where in the source something was called. */
struct site {
    const char *file;
    int line;
    const char *what;
};

[[noreturn]] void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
[[noreturn]] void fail_at(const site *where, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The thread of a kernel that runs, or "host code", for texts. */
void where_am_i(char *text, size_t size);

void random_seed(uint32_t seed);
uint32_t random_next();

} // namespace cudasim

#endif
