/* Axes first: each is a range that ends on ticks and a map to pixels; the rest is drawn by it. */
#include "tools/plot.h"
#include "engine/base/error.h"
#include "tools/text_file.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WIDTH = 760,
    HEIGHT = 460,
    LEFT = 76,
    TOP = 48,
    BOTTOM = 62,
    GAP = 18,         /* between the chart, the legend and the border */
    LEGEND_LINE = 22, /* px from one name to the next */
    LEGEND_KEY = 30,  /* width of a name's piece of line */
    CHARACTER = 7,    /* px of a character of the legend, about */
    LEGEND_MAX = 260,
    TICKS_WANTED = 6,
    TICKS_MAX = 64,
    MARKERS = 4,
};

/* Colours that stay apart for the colour-blind and on paper: after Okabe and Ito 2008, the yellow
 * darkened. Series beyond them begin again with another marker and dashes. */
static const char *const colors[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                     "#b58900", "#56b4e9", "#444444", "#8b5fbf"};

enum { COLORS = sizeof(colors) / sizeof(colors[0]) };

struct axis {
    bool log;
    double low, high; /* of the values, ends included */
    int from_px, to_px;
    int n_ticks;
    double ticks[TICKS_MAX];
};

static bool can_show(bool log, double v)
{
    return isfinite(v) && (!log || v > 0);
}

static bool point_shown(const struct plot *plot, const struct plot_series *s, int i)
{
    return can_show(plot->log_x, s->x[i]) && can_show(plot->log_y, s->y[i]);
}

static double axis_px(const struct axis *a, double v)
{
    double part = a->log ? (log(v) - log(a->low)) / (log(a->high) - log(a->low))
                         : (v - a->low) / (a->high - a->low);

    return a->from_px + part * (a->to_px - a->from_px);
}

/* 1, 2 or 5 times a power of ten. */
static double nice_step(double at_least)
{
    double power = pow(10, floor(log10(at_least)));

    for (int i = 0; i < 3; i++) {
        double step = power * (const double[]){1, 2, 5}[i];

        if (step >= at_least * (1 - 1e-9))
            return step;
    }
    return 10 * power;
}

static void axis_ticks_linear(struct axis *a, double low, double high)
{
    double step;
    long first, last;

    /* From zero where that wastes little: lengths can then be compared by eye. */
    if (low > 0 && low < 0.6 * high)
        low = 0;
    if (!(high - low > 1e-9 * fabs(high))) {
        double around = low != 0 ? 0.1 * fabs(low) : 1;

        low -= around;
        high += around;
    }
    step = nice_step((high - low) / TICKS_WANTED);
    first = (long)floor(low / step + 1e-9);
    last = (long)ceil(high / step - 1e-9);
    for (long i = first; i <= last && a->n_ticks < TICKS_MAX; i++)
        a->ticks[a->n_ticks++] = (double)i * step;
    a->low = (double)first * step;
    a->high = (double)last * step;
}

/* Ticks at powers of ten; at their doubles and halves too where there are few of them. */
static void axis_ticks_log(struct axis *a, double low, double high)
{
    static const double marks[] = {1, 2, 5};
    double decades = log10(high) - log10(low);
    int n_marks = decades < 3 ? 3 : 1;
    int stride = (int)ceil(decades / 12); /* decades from tick to tick */
    int first, last;

    stride = stride < 1 ? 1 : stride;
    first = stride * (int)floor(log10(low) / stride);
    last = stride * (int)ceil(log10(high) / stride + 1e-9) + stride;
    for (int decade = first; decade <= last && a->n_ticks < TICKS_MAX; decade += stride)
        for (int i = 0; i < n_marks && a->n_ticks < TICKS_MAX; i++) {
            double tick = marks[i] * pow(10, decade);

            if (tick <= low * (1 + 1e-9))
                a->n_ticks = 0; /* the range begins here, or later */
            a->ticks[a->n_ticks++] = tick;
            if (tick >= high * (1 - 1e-9) && a->n_ticks > 1)
                goto done;
        }
done:
    a->low = a->ticks[0];
    a->high = a->ticks[a->n_ticks - 1];
}

/* Ticks around the points' x (or y). false: there is no point. */
static bool axis_init(struct axis *a, const struct plot *plot, bool is_x)
{
    double low = INFINITY, high = -INFINITY;

    for (int i = 0; i < plot->n_series; i++)
        for (int j = 0; j < plot->series[i].n; j++) {
            double v = is_x ? plot->series[i].x[j] : plot->series[i].y[j];

            if (!point_shown(plot, &plot->series[i], j))
                continue;
            low = fmin(low, v);
            high = fmax(high, v);
        }
    if (low > high)
        return false;
    a->log = is_x ? plot->log_x : plot->log_y;
    if (a->log)
        axis_ticks_log(a, low, high);
    else
        axis_ticks_linear(a, low, high);
    return true;
}

static void put_text(FILE *f, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '<':
            fputs("&lt;", f);
            break;
        case '>':
            fputs("&gt;", f);
            break;
        case '&':
            fputs("&amp;", f);
            break;
        default:
            fputc(*text, f);
        }
}

static void draw_label(FILE *f, const char *text, double x, double y, const char *attributes)
{
    if (!text)
        return;
    fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, attributes);
    put_text(f, text);
    fputs("</text>\n", f);
}

/* "0.05", "200", "1e+07": a tick has one digit that counts, or few. */
static void draw_tick(FILE *f, double value, double x, double y, const char *attributes)
{
    char text[32];

    snprintf(text, sizeof(text), "%.6g", fabs(value) < 1e-300 ? 0.0 : value);
    draw_label(f, text, x, y, attributes);
}

static void draw_axes(FILE *f, const struct plot *plot, const struct axis *x, const struct axis *y)
{
    fputs("<g stroke=\"#e3e3e3\" stroke-width=\"1\">\n", f);
    for (int i = 0; i < x->n_ticks; i++)
        fprintf(f, "<path d=\"M%.1f %dV%d\"/>\n", axis_px(x, x->ticks[i]), y->from_px, y->to_px);
    for (int i = 0; i < y->n_ticks; i++)
        fprintf(f, "<path d=\"M%d %.1fH%d\"/>\n", x->from_px, axis_px(y, y->ticks[i]), x->to_px);
    fputs("</g>\n", f);
    fprintf(f, "<path d=\"M%d %dV%dH%d\" fill=\"none\" stroke=\"#555\"/>\n", x->from_px, y->to_px,
            y->from_px, x->to_px);

    fputs("<g fill=\"#444\" font-size=\"12\">\n", f);
    for (int i = 0; i < x->n_ticks; i++)
        draw_tick(f, x->ticks[i], axis_px(x, x->ticks[i]), y->from_px + 18,
                  "text-anchor=\"middle\"");
    for (int i = 0; i < y->n_ticks; i++)
        draw_tick(f, y->ticks[i], x->from_px - 8, axis_px(y, y->ticks[i]) + 4,
                  "text-anchor=\"end\"");
    fputs("</g>\n<g fill=\"#222\" font-size=\"13\" text-anchor=\"middle\">\n", f);
    draw_label(f, plot->x_label, (x->from_px + x->to_px) / 2.0, HEIGHT - 18, "");
    if (plot->y_label) {
        fprintf(f, "<g transform=\"translate(22 %.1f) rotate(-90)\">",
                (y->from_px + y->to_px) / 2.0);
        draw_label(f, plot->y_label, 0, 0, "");
        fputs("</g>\n", f);
    }
    draw_label(f, plot->title, (x->from_px + x->to_px) / 2.0, 28,
               "font-size=\"16\" font-weight=\"600\"");
    fputs("</g>\n", f);
}

static void draw_marker(FILE *f, int series, double x, double y)
{
    switch (series / COLORS * 2 % MARKERS + series % 2) {
    case 0:
        fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.6\"/>\n", x, y);
        break;
    case 1:
        fprintf(f, "<rect x=\"%.1f\" y=\"%.1f\" width=\"6.6\" height=\"6.6\"/>\n", x - 3.3,
                y - 3.3);
        break;
    case 2:
        fprintf(f, "<path d=\"M%.1f %.1fl4.4 7.6h-8.8z\"/>\n", x, y - 5);
        break;
    default:
        fprintf(f, "<path d=\"M%.1f %.1fl4.8 4.8l-4.8 4.8l-4.8 -4.8z\"/>\n", x, y - 4.8);
    }
}

static void draw_series(FILE *f, const struct plot *plot, int number, const struct axis *x,
                        const struct axis *y)
{
    const struct plot_series *s = &plot->series[number];
    bool down = false; /* the pen */

    fputs("<path fill=\"none\" stroke-width=\"2\" d=\"", f);
    for (int i = 0; i < s->n; i++) {
        bool shown = point_shown(plot, s, i);

        if (shown)
            fprintf(f, "%s%.1f %.1f", down ? "L" : "M", axis_px(x, s->x[i]), axis_px(y, s->y[i]));
        down = shown;
    }
    fputs("\"/>\n", f);
    for (int i = 0; i < s->n && !s->level; i++)
        if (point_shown(plot, s, i))
            draw_marker(f, number, axis_px(x, s->x[i]), axis_px(y, s->y[i]));
}

static void draw_key(FILE *f, const struct plot *plot, int number, double x, double y)
{
    fprintf(f, "<path stroke-width=\"2\" d=\"M%.1f %.1fh%d\"/>\n", x, y, LEGEND_KEY);
    if (!plot->series[number].level)
        draw_marker(f, number, x + LEGEND_KEY / 2.0, y);
    draw_label(f, plot->series[number].name, x + LEGEND_KEY + 8, y + 4,
               "fill=\"#222\" stroke=\"none\" font-size=\"13\"");
}

static int legend_px(const struct plot *plot)
{
    int longest = 0;

    for (int i = 0; i < plot->n_series; i++) {
        int n = (int)strlen(plot->series[i].name) * CHARACTER + LEGEND_KEY + 8;

        longest = n > longest ? n : longest;
    }
    return longest < LEGEND_MAX ? longest : LEGEND_MAX;
}

static void draw(FILE *f, const struct plot *plot, struct axis *x, struct axis *y)
{
    x->from_px = LEFT;
    x->to_px = WIDTH - legend_px(plot) - 2 * GAP;
    y->from_px = HEIGHT - BOTTOM;
    y->to_px = TOP;

    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
            "viewBox=\"0 0 %d %d\" font-family=\"system-ui, sans-serif\">\n"
            "<rect width=\"%d\" height=\"%d\" rx=\"6\" fill=\"#fcfcfc\"/>\n",
            WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT);
    draw_axes(f, plot, x, y);
    for (int i = 0; i < plot->n_series; i++) {
        bool level = plot->series[i].level;
        const char *color = level ? "#888888" : colors[i % COLORS];

        fprintf(f, "<g stroke=\"%s\" fill=\"%s\" stroke-linejoin=\"round\"%s>\n", color, color,
                level || i >= COLORS ? " stroke-dasharray=\"6 3\"" : "");
        draw_series(f, plot, i, x, y);
        draw_key(f, plot, i, x->to_px + GAP, TOP + 10 + i * LEGEND_LINE);
        fputs("</g>\n", f);
    }
    fputs("</svg>\n", f);
}

int plot_write_svg(const char *path, const struct plot *plot, struct error *err)
{
    struct axis x = {0}, y = {0};
    struct text_file f;
    int rc;

    if (plot->n_series < 1 || plot->n_series > PLOT_SERIES_MAX)
        return error_set(err, -EINVAL, "a chart has 1 to %d series, not %d", PLOT_SERIES_MAX,
                         plot->n_series);
    if (!axis_init(&x, plot, true) || !axis_init(&y, plot, false))
        return error_set(err, -EINVAL, "there is no point to draw in \"%s\"", path);

    rc = text_file_begin(&f, path, err);
    if (rc < 0)
        return rc;
    draw(f.out, plot, &x, &y);
    return text_file_end(&f, err);
}
