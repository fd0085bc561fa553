/* Charts: every point and name is in the file, between ticks, and what cannot be drawn is refused. */
#include "tools/plot.h"
#include "engine/base/error.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/softdiff-plot-XXXXXX";

static int set_up(void **state)
{
    int file = mkstemp(path);

    return file < 0 ? -1 : close(file);
}

static int tear_down(void **state)
{
    return unlink(path);
}

/* The file; freed by the caller. */
static char *draw(const struct plot *plot)
{
    struct error err = {""};
    char *text = NULL;
    size_t room = 0;
    FILE *file;

    if (plot_write_svg(path, plot, &err) < 0)
        fail_msg("%s", err.text);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_true(getdelim(&text, &room, '\0', file) > 0);
    fclose(file);
    return text;
}

static int count(const char *text, const char *part)
{
    int n = 0;

    for (text = strstr(text, part); text; text = strstr(text + 1, part))
        n++;
    return n;
}

static void test_points_and_names(void **state)
{
    const double x[] = {5, 10, 20}, y[] = {90, 40, 30}, level[] = {20, 20};
    const struct plot_series series[] = {
        {.name = "a & b", .n = 3, .x = x, .y = y},
        {.name = "<floor>", .n = 2, .x = x, .y = level, .level = true},
    };
    const struct plot plot = {.title = "a title",
                              .x_label = "evaluations",
                              .y_label = "distance",
                              .n_series = 2,
                              .series = series};
    char *text = draw(&plot);

    assert_int_equal(count(text, "<circle"), 3 + 1); /* one in the legend */
    assert_int_equal(count(text, "stroke-dasharray"), 1);
    assert_int_equal(count(text, "a &amp; b"), 1);
    assert_int_equal(count(text, "&lt;floor&gt;"), 1);
    assert_int_equal(count(text, "a title"), 1);
    assert_int_equal(count(text, ">evaluations<"), 1);
    assert_int_equal(count(text, ">distance<"), 1);
    assert_int_equal(count(text, ">100<"), 1); /* the y axis: 0, 20, ..., 100 */
    assert_int_equal(count(text, ">120<"), 0);
    assert_string_equal(text + strlen(text) - 7, "</svg>\n");
    free(text);
}

/* On a logarithmic axis a factor has one length wherever it is: 1 to 10 to 100. */
static void test_logarithmic(void **state)
{
    const double x[] = {1, 10, 100}, y[] = {1, 1, 2};
    const struct plot_series series = {.name = "a", .n = 3, .x = x, .y = y};
    const struct plot plot = {.log_x = true, .n_series = 1, .series = &series};
    char *text = draw(&plot);
    const char *circle = text;
    double at[3];

    for (int i = 0; i < 3; i++) {
        circle = strstr(circle + 1, "<circle cx=\"");
        assert_non_null(circle);
        at[i] = atof(circle + strlen("<circle cx=\""));
    }
    assert_true(at[1] - at[0] > 100);
    assert_float_equal(at[1] - at[0], at[2] - at[1], 0.11);
    free(text);
}

static void test_gaps(void **state)
{
    const double x[] = {-1, 1, 2, 3, 4}, y[] = {5, 1, NAN, 2, 3};
    const struct plot_series series = {.name = "a", .n = 5, .x = x, .y = y};
    const struct plot plot = {.log_x = true, .n_series = 1, .series = &series};
    char *text = draw(&plot);
    const char *line = strstr(text, "fill=\"none\" stroke-width=\"2\" d=\"M");

    assert_int_equal(count(text, "<circle"), 3 + 1);
    assert_non_null(line);
    assert_int_equal(count(line, "L"), 1); /* 3 to 4 */
    assert_null(strstr(text, "nan"));
    free(text);
}

static void test_ranges(void **state)
{
    static const double ranges[][2] = {{3, 3},   {0, 0},       {-2, -2},       {-5, 7},
                                       {1, 1.1}, {1e-9, 1e12}, {1e-200, 1e200}};

    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
        for (int log = 0; log < 2; log++) {
            const struct plot_series series = {.name = "a", .n = 2, .x = ranges[i], .y = ranges[i]};
            const struct plot plot = {.log_x = log, .log_y = log, .n_series = 1, .series = &series};
            char *text;

            if (log && ranges[i][0] <= 0)
                continue;
            text = draw(&plot);
            assert_int_equal(count(text, "<circle"), 2 + 1);
            assert_true(count(text, "text-anchor=\"end\"") >= 2); /* ticks */
            assert_null(strstr(text, "nan"));
            assert_null(strstr(text, "inf"));
            free(text);
        }
}

static void test_refusals(void **state)
{
    const double bad[] = {NAN, -1}, good[] = {1, 2};
    struct plot_series series = {.name = "a", .n = 2, .x = good, .y = bad};
    struct plot plot = {.log_y = true, .n_series = 1, .series = &series};
    struct error err;

    assert_int_equal(plot_write_svg(path, &plot, &err), -EINVAL);
    plot.n_series = PLOT_SERIES_MAX + 1;
    assert_int_equal(plot_write_svg(path, &plot, &err), -EINVAL);
    plot.n_series = 1;
    series.y = good;
    assert_int_equal(plot_write_svg("/no/such/folder/a.svg", &plot, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/no/such/folder/a.svg"));
    assert_int_equal(plot_write_svg("/dev/full", &plot, &err), -ENOSPC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_points_and_names),
        cmocka_unit_test(test_logarithmic),
        cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_refusals),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
