#include "tools/simulate/ticks.h"

#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/base/watch.h"
#include "engine/device.h"
#include "model/generator.h"
#include "tools/json_file.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

double ticks_ms(const struct ticks *t, int lanes)
{
    double share;
    int i = 1;

    if (t->n == 1)
        return t->ms[0];
    while (i + 1 < t->n && t->lanes[i] < lanes)
        i++;
    share = (double)(lanes - t->lanes[i - 1]) / (t->lanes[i] - t->lanes[i - 1]);
    return t->ms[i - 1] + share * (t->ms[i] - t->ms[i - 1]);
}

int ticks_lanes_max(const struct ticks *t)
{
    return t->lanes[t->n - 1];
}

/* Puts a point in its place. */
static int insert(struct ticks *t, long long lanes, double ms, struct error *err)
{
    int i = t->n;

    if (lanes < 1 || lanes > TICKS_LANES_MAX || !(ms > 0) || !isfinite(ms))
        return error_set(err, -EINVAL, "a tick of %lld lanes cannot take %g ms", lanes, ms);
    if (t->n == TICKS_MAX)
        return error_set(err, -EINVAL, "more than %d tick times", TICKS_MAX);
    for (; i > 0 && t->lanes[i - 1] >= lanes; i--) {
        if (t->lanes[i - 1] == lanes)
            return error_set(err, -EINVAL, "two tick times for %lld lanes", lanes);
        t->lanes[i] = t->lanes[i - 1];
        t->ms[i] = t->ms[i - 1];
    }
    t->lanes[i] = (int)lanes;
    t->ms[i] = ms;
    t->n++;
    return 0;
}

static int finish(const struct ticks *t, struct ticks *out, struct error *err)
{
    if (t->n == 0 || t->lanes[0] != 1)
        return error_set(err, -EINVAL, "the tick time of one lane is missing");
    *out = *t;
    return 0;
}

int ticks_parse(const char *text, struct ticks *out, struct error *err)
{
    struct ticks t = {0};
    const char *rest = text;
    int rc;

    for (;;) {
        char *end;
        long lanes = strtol(rest, &end, 10);
        double ms = 0;
        bool good = end != rest && *end == ':';

        if (good) {
            rest = end + 1;
            ms = strtod(rest, &end);
            good = end != rest && (*end == ',' || *end == '\0');
        }
        if (!good)
            return error_set(err, -EINVAL, "\"%s\" is not a list of LANES:MS", text);
        rc = insert(&t, lanes, ms, err);
        if (rc < 0)
            return rc;
        if (*end == '\0')
            return finish(&t, out, err);
        rest = end + 1;
    }
}

/* A network evaluation of a batch, or a tick of plain images. */
static int insert_case(struct ticks *t, const json_t *row, struct error *err)
{
    const char *images = json_string_value(json_object_get(row, "images"));

    if (!images)
        return insert(t, json_integer_value(json_object_get(row, "batch")),
                      json_number_value(json_object_get(row, "wall_ms")), err);
    if (strcmp(images, "plain") != 0)
        return 0;
    return insert(t, json_integer_value(json_object_get(row, "lanes")),
                  json_number_value(json_object_get(row, "tick_ms")), err);
}

int ticks_read_bench(const char *path, struct ticks *out, struct error *err)
{
    struct ticks t = {0};
    json_t *json, *cases;
    int rc = json_file_read(path, &json, err);

    if (rc < 0)
        return rc;
    cases = json_object_get(json, "cases");
    if (!json_is_array(cases))
        rc = error_set(err, -EINVAL, "not an output of softdiff-bench --json");
    for (size_t i = 0; rc == 0 && i < json_array_size(cases); i++)
        rc = insert_case(&t, json_array_get(cases, i), err);
    if (rc == 0)
        rc = finish(&t, out, err);
    if (rc < 0)
        error_prefix(err, "\"%s\": ", path);
    json_decref(json);
    return rc;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* One tick with that many lanes busy. */
static int time_tick(struct generator *g, int lanes, struct generator_image *images, double *ms,
                     struct error *err)
{
    double begun;
    int n, rc = 0;

    for (int i = 0; i < lanes && rc == 0; i++) {
        struct generator_task task = {.seed = (uint64_t)i, .sampler = SAMPLER_PF_2M, .nfe = 4};

        rc = generator_submit(g, &task, err);
    }
    if (rc == 0) /* of another kind than the second: nothing to extrapolate from */
        rc = generator_tick(g, images, &n, err);
    begun = clock_seconds();
    if (rc == 0)
        rc = generator_tick(g, images, &n, err);
    *ms = 1e3 * (clock_seconds() - begun);
    generator_cancel(g, 0);
    return rc;
}

/* 1, 2, 3, 4, 6, 8, 12, 16, 24, ... and the last. */
static int choose_lanes(int slots, int *lanes)
{
    int n = 0, next = 1;

    while (next < slots) {
        lanes[n++] = next;
        next = next < 4 ? next + 1 : next & (next - 1) ? next / 3 * 4 : next / 2 * 3;
    }
    lanes[n++] = slots;
    return n;
}

int ticks_measure(struct device *device, const struct checkpoint *c, enum precision precision,
                  int slots, int rounds, const struct watch *watch, struct ticks *out,
                  struct error *err)
{
    struct generator_options options = {.precision = precision, .lanes = slots, .nfe_max = 4};
    struct generator_image *images = calloc((size_t)slots, sizeof(*images));
    double *ms = calloc((size_t)rounds * TICKS_MAX, sizeof(*ms));
    struct generator *g = NULL;
    struct ticks t = {0};
    int lanes[TICKS_MAX], n = choose_lanes(slots, lanes), rc;

    rc = images && ms ? 0 : error_set(err, -ENOMEM, "out of memory measuring ticks");
    if (rc == 0)
        rc = generator_create(device, c, &options, &g, err);
    for (int round = -1; round < rounds; round++) { /* the first is a warm-up */
        for (int i = 0; i < n && rc == 0; i++)
            rc = watch_stop(watch) ? error_set(err, -ECANCELED, "stopped measuring ticks")
                                   : time_tick(g, lanes[i], images,
                                               &ms[i * rounds + (round < 0 ? 0 : round)], err);
        watch_progress(watch, "measuring ticks", round + 1, rounds);
    }
    for (int i = 0; i < n && rc == 0; i++) {
        qsort(ms + i * rounds, (size_t)rounds, sizeof(*ms), compare);
        rc = insert(&t, lanes[i], ms[i * rounds + rounds / 2], err);
    }
    if (rc == 0)
        *out = t;
    generator_destroy(g);
    free(images);
    free(ms);
    return rc;
}
