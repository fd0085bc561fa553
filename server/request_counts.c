#include "server/request_counts.h"

#include <stdio.h>
#include <string.h>

void request_counts_add(struct request_counts *c, const char *route, const char *method, int status)
{
    struct request_count *row;

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
