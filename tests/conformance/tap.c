#include "tests/conformance/tap.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int n_results, n_failures;

static void result(bool ok, const char *fmt, va_list args)
{
    n_results++;
    n_failures += !ok;
    printf("%s %d - ", ok ? "ok" : "not ok", n_results);
    vprintf(fmt, args);
}

void tap_result(bool ok, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    result(ok, fmt, args);
    va_end(args);
    printf("\n");
}

void tap_skip(const char *reason, const char *fmt, ...)
{
    const char *must_run = getenv("TESTS_MUST_RUN");
    const bool ok = !must_run || strcmp(must_run, "1") != 0;
    va_list args;

    va_start(args, fmt);
    result(ok, fmt, args);
    va_end(args);
    printf(ok ? " # SKIP %s\n" : " (%s)\n", reason);
}

void tap_note(const char *fmt, ...)
{
    va_list args;

    printf("# ");
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    printf("\n");
}

int tap_finish(void)
{
    printf("1..%d\n", n_results);
    return n_failures > 0;
}
