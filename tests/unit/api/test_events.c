/* What clients know already, and which jobs they ask for. */
#include "api/events.h"
#include "api/job_status.h"
#include "api/problem.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define ID "0123456789abcdef0123456789abcdef"

static void test_resuming(void **state)
{
    static const struct {
        const char *id;
        int step;
    } rows[] = {
        {NULL, -1},
        {"", -1},
        {"0", 0},
        {"17", 17},
        {"2147483647", INT_MAX},
        {"2147483648", -1},
        {"-1", -1},
        {" 1", -1},
        {"1 ", -1},
        {"0x10", -1},
        {"1e3", -1},
        {"99999999999999999999", -1},
        {"last", -1},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(events_resume(rows[i].id), rows[i].step);
}

static void test_pages(void **state)
{
    static const struct {
        const char *query;
        int status, limit;
        const char *after;
    } rows[] = {
        {NULL, 0, JOB_PAGE_DEFAULT, ""}, {"", 0, JOB_PAGE_DEFAULT, ""},
        {"limit=1", 0, 1, ""},           {"after=" ID "&limit=100", 0, 100, ID},
        {"limit=5&limit=6", 0, 6, ""}, /* the last one counts */
        {"limit=0", 422, 0, NULL},       {"limit=101", 422, 0, NULL},
        {"limit=-1", 422, 0, NULL},      {"limit=", 422, 0, NULL},
        {"after=" ID "0", 422, 0, NULL}, {"after", 422, 0, NULL},
        {"state=queued", 422, 0, NULL},  {"limit=%zz", 400, 0, NULL},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct problem problem = {0};
        struct job_page page;
        int rc = job_page_parse(rows[i].query, &page, &problem);

        assert_int_equal(problem.status, rows[i].status);
        assert_int_equal(rc < 0, rows[i].status != 0);
        if (rows[i].status == 0) {
            assert_int_equal(page.limit, rows[i].limit);
            assert_string_equal(page.after, rows[i].after);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_resuming),
                                       cmocka_unit_test(test_pages)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
