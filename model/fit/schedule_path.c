#include "model/fit/schedule_path.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/watch.h"
#include "model/corruption.h"

/* Elements whose values at all levels stay in the cache while the pairs are summed. */
enum { BLOCK = 64 };

/* squares[i, j] += sum over the elements of a block of (y_i - y_j)^2 for j > i; y [n, n_levels]. */
static void add_squares(int n, int n_levels, const double *y, double *squares)
{
    for (int i = 0; i < n_levels; i++) {
        double *sum = squares + (size_t)i * (size_t)n_levels;

        for (int e = 0; e < n; e++) {
            const double *values = y + (size_t)e * (size_t)n_levels;

            for (int j = i + 1; j < n_levels; j++) {
                double difference = values[j] - values[i];

                sum[j] += difference * difference;
            }
        }
    }
}

/* An image at all levels, all [size,n_levels] by way of y [size]; -ECANCELED where it is to stop. */
static int apply_levels(struct corruption_matrices *const *at, int n_levels, size_t size,
                        const float *image, const struct watch *watch, double *y, double *all)
{
    for (int l = 0; l < n_levels; l++) {
        if (watch_stop(watch))
            return -ECANCELED;
        corruption_matrices_apply(at[l], image, y);
        for (size_t e = 0; e < size; e++)
            all[e * (size_t)n_levels + (size_t)l] = y[e];
    }
    return 0;
}

int schedule_distances(const struct corruption *c, int n, int channels, const float *images,
                       int n_levels, const double *levels, const struct watch *watch, double *out,
                       struct error *err)
{
    size_t pixels = corruption_pixels(c), size = pixels * (size_t)channels;
    size_t count = (size_t)n_levels;
    struct corruption_matrices **at = calloc(count, sizeof(*at));
    double *y = malloc(size * sizeof(*y)), *all = malloc(size * count * sizeof(*all));
    int rc = 0;

    if (!at || !y || !all)
        rc = error_set(err, -ENOMEM, "out of memory for the images at %d levels", n_levels);
    for (size_t l = 0; rc == 0 && l < count; l++)
        rc = watch_stop(watch) ? error_set(err, -ECANCELED, "stopped")
                               : corruption_matrices_create(c, levels[l], channels, &at[l], err);
    if (rc < 0)
        goto done;

    memset(out, 0, count * count * sizeof(*out));
    for (int i = 0; i < n; i++) {
        rc = apply_levels(at, n_levels, size, images + (size_t)i * size, watch, y, all);
        if (rc < 0) {
            error_set(err, rc, "stopped with %d of %d images compared", i, n);
            goto done;
        }
        for (size_t e = 0; e < size; e += BLOCK)
            add_squares(size - e < BLOCK ? (int)(size - e) : BLOCK, n_levels, all + e * count, out);
        watch_progress(watch, "comparing images at all levels", i + 1, n);
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t j = i + 1; j < count; j++)
            out[i * count + j] = out[j * count + i] = sqrt(out[i * count + j] / n);
    }

done:
    for (size_t l = 0; at && l < count; l++)
        corruption_matrices_destroy(at[l]);
    free(at);
    free(y);
    free(all);
    return rc;
}

/* A node of the search: the cheapest known way from node 0 to it. */
struct node {
    double cost;
    int hops;
    int previous;
    int done;
};

/* The unfinished node that is nearest to node 0, or -1. */
static int nearest(int n, const struct node *nodes)
{
    int best = -1;

    for (int i = 0; i < n; i++) {
        if (!nodes[i].done && isfinite(nodes[i].cost) &&
            (best < 0 || nodes[i].cost < nodes[best].cost ||
             (nodes[i].cost == nodes[best].cost && nodes[i].hops < nodes[best].hops)))
            best = i;
    }
    return best;
}

/* Dijkstra's search; of equally cheap paths the one with fewer nodes, because the mildest levels
 * can lie at distance 0 from each other. Returns the number of nodes, or 0: no path. */
static int search(int n, const double *distances, double eps, struct node *nodes)
{
    for (int i = 0; i < n; i++)
        nodes[i] = (struct node){.cost = i ? INFINITY : 0, .hops = 0, .previous = -1};
    for (int i = nearest(n, nodes); i >= 0 && i != n - 1; i = nearest(n, nodes)) {
        nodes[i].done = 1;
        for (int j = 0; j < n; j++) {
            double hop = distances[(size_t)i * (size_t)n + (size_t)j];
            double cost = nodes[i].cost + hop;

            if (hop <= eps && !nodes[j].done &&
                (cost < nodes[j].cost ||
                 (cost == nodes[j].cost && nodes[i].hops + 1 < nodes[j].hops)))
                nodes[j] = (struct node){.cost = cost, .hops = nodes[i].hops + 1, .previous = i};
        }
    }
    return isfinite(nodes[n - 1].cost) ? nodes[n - 1].hops + 1 : 0;
}

static void trace(int n, const struct node *nodes, int *path)
{
    for (int i = n - 1; i >= 0; i = nodes[i].previous)
        path[nodes[i].hops] = i;
}

int schedule_shortest_path(int n_levels, const double *distances, double eps, int *path,
                           double *cost, struct error *err)
{
    struct node *nodes = calloc((size_t)n_levels, sizeof(*nodes));
    int n;

    if (!nodes)
        return error_set(err, -ENOMEM, "out of memory for a path over %d levels", n_levels);
    n = search(n_levels, distances, eps, nodes);
    if (n > 0) {
        trace(n_levels, nodes, path);
        *cost = nodes[n_levels - 1].cost;
    }
    free(nodes);
    if (n == 0)
        return error_set(err, -ENOENT, "no path over %d levels with hops of at most %g", n_levels,
                         eps);
    return n;
}

/* The longest hop of a path. */
static double longest_hop(int n, const double *distances, const struct node *nodes)
{
    double longest = 0;

    for (int i = n - 1; nodes[i].previous >= 0; i = nodes[i].previous)
        longest = fmax(longest, distances[(size_t)nodes[i].previous * (size_t)n + (size_t)i]);
    return longest;
}

/* The largest distance below a limit, or -1. */
static double next_distance(int n, const double *distances, double limit)
{
    double best = -1;

    for (size_t i = 0; i < (size_t)n * (size_t)n; i++) {
        if (distances[i] < limit && distances[i] > best)
            best = distances[i];
    }
    return best;
}

int schedule_path_of_length(int n_levels, const double *distances, int n_nodes,
                            const struct watch *watch, int *nodes, double *eps, struct error *err)
{
    struct node *tree = calloc((size_t)n_levels, sizeof(*tree));
    double limit = next_distance(n_levels, distances, INFINITY);
    int found, most = 0, rc = 0;

    if (!tree)
        return error_set(err, -ENOMEM, "out of memory for a path over %d levels", n_levels);
    /* The number of nodes goes up and down as eps falls, so that bisection would miss some. But a
     * path stays the cheapest until eps falls below its longest hop: few searches see them all. */
    while ((found = search(n_levels, distances, limit, tree)) != 0 && found != n_nodes) {
        if (watch_stop(watch)) {
            rc = error_set(err, -ECANCELED, "stopped");
            goto done;
        }
        most = found > most ? found : most;
        limit = next_distance(n_levels, distances, longest_hop(n_levels, distances, tree));
    }
    if (!found) {
        rc = error_set(err, -ENOENT,
                       "no path over %d levels has %d nodes, the longest has %d: n_levels is too "
                       "large for candidates",
                       n_levels, n_nodes, most);
        goto done;
    }
    trace(n_levels, tree, nodes);
    *eps = limit;

done:
    free(tree);
    return rc;
}
