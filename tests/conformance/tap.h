/* Test Anything Protocol lines on standard output, for tests that are rows of tables. */
#ifndef TESTS_CONFORMANCE_TAP_H
#define TESTS_CONFORMANCE_TAP_H

#include <stdbool.h>

__attribute__((format(printf, 2, 3))) void tap_result(bool ok, const char *fmt, ...);

/* A test that cannot run here; a failure if the environment has TESTS_MUST_RUN=1. */
__attribute__((format(printf, 2, 3))) void tap_skip(const char *reason, const char *fmt, ...);

/* A comment line. */
__attribute__((format(printf, 1, 2))) void tap_note(const char *fmt, ...);

/* Writes the plan. Returns what main() should: 0 if no test failed, else 1. */
int tap_finish(void);

#endif
