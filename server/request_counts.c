#include "server/request_counts.h"

#include <stdio.h>
#include <string.h>

static void add_duration(struct request_counts *c, const char *route, double seconds)
{
    int i = 0;

    while (i < c->n_routes && strcmp(c->routes[i].route, route) != 0)
        i++;
    if (i == REQUEST_ROUTES_MAX)
        return;
    if (i == c->n_routes)
        c->routes[c->n_routes++].route = route;
    histogram_add(&c->routes[i].seconds, &histogram_seconds, seconds);
}

void request_counts_add(struct request_counts *c, const char *route, const char *method, int status,
                        double seconds)
{
    struct request_count *row;

    add_duration(c, route, seconds);
    for (int i = 0; i < c->n; i++) {
        row = &c->rows[i];
        if (row->status == status && strcmp(row->route, route) == 0 &&
            strcmp(row->method, method) == 0) {
            row->n++;
            return;
        }
    }
    if (c->n == REQUEST_COUNTS_MAX)
        return;
    row = &c->rows[c->n++];
    row->route = route;
    snprintf(row->method, sizeof(row->method), "%s", method);
    row->status = status;
    row->n = 1;
}
