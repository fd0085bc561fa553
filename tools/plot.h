/* Line charts as SVG files.
 *
 * A chart has its own light background, so that it can be read on a page of any colour. The axes
 * reach from tick to tick around all points; lines join the points of a series in their order.
 */
#ifndef TOOLS_PLOT_H
#define TOOLS_PLOT_H

#include <stdbool.h>

struct error;

enum { PLOT_SERIES_MAX = 16 };

struct plot_series {
    const char *name; /* for the legend, UTF-8 */
    int n;            /* points, >= 0 */
    const double *x, *y;
    bool level; /* something to compare with: grey and dashed, its points unmarked */
};

struct plot {
    const char *title, *x_label, *y_label; /* UTF-8; NULL: none */
    bool log_x, log_y;
    int n_series; /* 1 .. PLOT_SERIES_MAX */
    const struct plot_series *series;
};

/* Writes the chart, over a file that is there. Points that an axis cannot show (not finite, or not
 * positive on a logarithmic one) are left out and break the line.
 * 0, -EINVAL (no point can be shown, too many series), or -errno of the file. */
int plot_write_svg(const char *path, const struct plot *plot, struct error *err);

#endif
