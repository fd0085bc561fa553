/* softdiff-simulate: latency and throughput of a daemon that is not there yet, by arrival rate, slots
 * and policy, from the tick times of a machine.
 */
#include "engine/base/error.h"
#include "engine/base/whole_file.h"
#include "engine/device.h"
#include "model/checkpoint.h"
#include "model/sampler.h"
#include "tools/activity.h"
#include "tools/arguments.h"
#include "tools/plot.h"
#include "tools/simulate/simulation.h"
#include "tools/simulate/stream.h"
#include "tools/simulate/ticks.h"
#include "tools/stop.h"
#include "tools/text_file.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_MAX = 32, SLOTS_MAX = PLOT_SERIES_MAX / POLICIES, ROUNDS = 25, IMAGES_MAX = 64 };

struct options {
    const char *source, *ticks, *rates, *loads, *images, *nfe, *slots, *csv, *svg, *stream;
    const char *device, *choices, *precision;
    uint64_t seed;
    int n_requests, max_queue, n_threads;
    const struct watch *watch;
};

struct sweep {
    struct ticks ticks;
    enum precision precision;
    struct distribution images, nfe;
    int n_slots, slots[SLOTS_MAX], slots_max;
    int n_rates;
    double rates[LIST_MAX]; /* requests per second */
    struct simulation_result results[SLOTS_MAX][POLICIES][LIST_MAX];
};

/* Positive numbers; returns how many. */
static int parse_numbers(const char *text, double *out, struct error *err)
{
    const char *rest = text;
    int n = 0;

    for (;;) {
        char *end;
        double number = strtod(rest, &end);

        if (end == rest || (*end != '\0' && *end != ',') || !(number > 0) || !isfinite(number) ||
            n == LIST_MAX)
            return error_set(err, -EINVAL, "\"%s\" is not a list of up to %d numbers above 0", text,
                             LIST_MAX);
        out[n++] = number;
        if (*end == '\0')
            return n;
        rest = end + 1;
    }
}

static int measure_ticks(const struct options *o, struct sweep *s, struct error *err)
{
    struct device *device = NULL;
    struct checkpoint *checkpoint = NULL;
    int rc = checkpoint_load(o->source, &checkpoint, err);

    if (rc == 0)
        rc = device_open(o->device, o->n_threads, o->choices, &device, err);
    if (rc == 0)
        rc = ticks_measure(device, checkpoint, s->precision, s->slots_max, ROUNDS, o->watch,
                           &s->ticks, err);
    device_close(device);
    checkpoint_destroy(checkpoint);
    return rc;
}

/* What the command line says. -EINVAL: it is wrong. */
static int parse(const struct options *o, struct sweep *s, struct error *err)
{
    int rc = 0;

    if (!o->source == !o->ticks)
        rc = error_set(err, -EINVAL, "one of MODEL, BENCH.json and --ticks is needed");
    if (rc == 0)
        rc = distribution_parse(o->images, IMAGES_MAX, &s->images, err);
    if (rc == 0)
        rc = distribution_parse(o->nfe, SAMPLER_NFE_MAX, &s->nfe, err);
    if (rc == 0)
        rc = s->n_slots = arguments_list(o->slots, 1, TICKS_LANES_MAX, SLOTS_MAX, s->slots, err);
    if (rc >= 0)
        rc = s->n_rates = parse_numbers(o->rates ? o->rates : o->loads, s->rates, err);
    if (rc >= 0)
        rc = precision_parse(o->precision, &s->precision, err);
    if (rc == 0 && o->ticks)
        rc = ticks_parse(o->ticks, &s->ticks, err);
    for (int i = 0; rc == 0 && i < s->n_slots; i++)
        s->slots_max = s->slots[i] > s->slots_max ? s->slots[i] : s->slots_max;
    return rc;
}

/* Whether what is asked for can be written, before ticks are measured. */
static int try_outputs(const struct options *o, struct error *err)
{
    const char *const paths[] = {o->csv, o->svg, o->stream};
    int rc = 0;

    for (int i = 0; i < 3 && rc == 0; i++)
        rc = paths[i] ? whole_file_try(paths[i], err) : 0;
    return rc;
}

static int get_ticks(const struct options *o, struct sweep *s, struct error *err)
{
    size_t length = o->source ? strlen(o->source) : 0;

    if (o->ticks)
        return 0;
    if (length > 5 && strcmp(o->source + length - 5, ".json") == 0)
        return ticks_read_bench(o->source, &s->ticks, err);
    return measure_ticks(o, s, err);
}

/* Requests per second that so many lanes, always busy, can serve. */
static double capacity(const struct sweep *s, int slots)
{
    return slots / (1e-3 * ticks_ms(&s->ticks, slots)) /
           (distribution_mean(&s->images) * distribution_mean(&s->nfe));
}

/* Makes rates of loads, once ticks are known. -EINVAL: they are not for so many slots. */
static int choose_rates(const struct options *o, struct sweep *s, struct error *err)
{
    if (s->slots_max > ticks_lanes_max(&s->ticks))
        return error_set(err, -EINVAL, "%d slots, but tick times for 1 to %d lanes only",
                         s->slots_max, ticks_lanes_max(&s->ticks));
    for (int i = 0; !o->rates && i < s->n_rates; i++)
        s->rates[i] *= capacity(s, s->slots_max);
    return 0;
}

static int write_stream(const struct options *o, const struct stream_request *requests,
                        struct error *err)
{
    struct text_file f;
    int rc;

    stop_must_not_end();
    rc = text_file_begin(&f, o->stream, err);

    if (rc < 0)
        return rc;
    fprintf(f.out, "arrival_s,images,nfe\n");
    for (int i = 0; i < o->n_requests; i++)
        fprintf(f.out, "%.9f,%d,%d\n", requests[i].arrival_s, requests[i].images, requests[i].nfe);
    rc = text_file_end(&f, err);
    stop_may_end_again();
    return rc;
}

static int simulate(const struct options *o, struct sweep *s, struct error *err)
{
    struct stream_request *requests = calloc((size_t)o->n_requests, sizeof(*requests));
    int rc = requests ? 0 : error_set(err, -ENOMEM, "out of memory for the requests");

    for (int r = 0; r < s->n_rates && rc == 0; r++) {
        stream_draw(o->seed, s->rates[r], &s->images, &s->nfe, o->n_requests, requests);
        if (o->stream && r == 0)
            rc = write_stream(o, requests, err);
        for (int i = 0; i < s->n_slots; i++) {
            for (int p = 0; p < POLICIES && rc == 0; p++) {
                const struct simulation_options options = {(enum policy)p, s->slots[i],
                                                           o->max_queue};

                rc = watch_stop(o->watch)
                         ? error_set(err, -ECANCELED, "stopped")
                         : simulation_run(&options, &s->ticks, requests, o->n_requests,
                                          &s->results[i][p][r], err);
            }
        }
    }
    free(requests);
    return rc;
}

static double images_per_s(const struct simulation_result *r)
{
    return r->elapsed_s > 0 ? (double)r->images / r->elapsed_s : 0;
}

/* The share of what all lanes, always busy with what is wanted, would have computed. */
static double utilisation(const struct sweep *s, int slots, const struct simulation_result *r)
{
    double full = slots / (1e-3 * ticks_ms(&s->ticks, slots)) * r->elapsed_s;

    return full > 0 ? (double)r->evaluations / full : 0;
}

static void print_table(const struct options *o, const struct sweep *s)
{
    printf("ticks (lanes: ms):");
    for (int i = 0; i < s->ticks.n; i++)
        printf(" %d: %.3f", s->ticks.lanes[i], s->ticks.ms[i]);
    printf("\n%d requests per row, seed %llu, %.3g images and %.4g evaluations each on average\n\n",
           o->n_requests, (unsigned long long)o->seed, distribution_mean(&s->images),
           distribution_mean(&s->nfe));
    printf("%10s %5s %-10s %9s %7s %7s %9s %10s %10s %10s\n", "requests/s", "slots", "policy",
           "images/s", "used %", "refused", "in system", "p50 ms", "p95 ms", "p99 ms");
    for (int r = 0; r < s->n_rates; r++) {
        for (int i = 0; i < s->n_slots; i++) {
            for (int p = 0; p < POLICIES; p++) {
                const struct simulation_result *result = &s->results[i][p][r];

                printf("%10.3f %5d %-10s %9.2f %7.1f %7d %9.2f %10.1f %10.1f %10.1f\n", s->rates[r],
                       s->slots[i], policy_name((enum policy)p), images_per_s(result),
                       100 * utilisation(s, s->slots[i], result), result->refused,
                       result->mean_in_system, 1e3 * result->p50_s, 1e3 * result->p95_s,
                       1e3 * result->p99_s);
            }
        }
    }
}

static int write_csv(const struct options *o, const struct sweep *s, struct error *err)
{
    struct text_file f;
    int rc = text_file_begin(&f, o->csv, err);

    if (rc < 0)
        return rc;
    fprintf(f.out, "requests_per_s,slots,policy,seed,completed,refused,images,evaluations,"
                   "lane_evaluations,elapsed_s,busy_s,images_per_s,utilisation,mean_in_system,"
                   "mean_wait_s,mean_s,p50_s,p95_s,p99_s\n");
    for (int r = 0; r < s->n_rates; r++) {
        for (int i = 0; i < s->n_slots; i++) {
            for (int p = 0; p < POLICIES; p++) {
                const struct simulation_result *x = &s->results[i][p][r];

                fprintf(f.out,
                        "%.9g,%d,%s,%llu,%d,%d,%lld,%lld,%lld,%.9g,%.9g,%.9g,%.9g,%.9g,%.9g,%.9g,"
                        "%.9g,%.9g,%.9g\n",
                        s->rates[r], s->slots[i], policy_name((enum policy)p),
                        (unsigned long long)o->seed, x->completed, x->refused, x->images,
                        x->evaluations, x->lane_evaluations, x->elapsed_s, x->busy_s,
                        images_per_s(x), utilisation(s, s->slots[i], x), x->mean_in_system,
                        x->mean_wait_s, x->mean_s, x->p50_s, x->p95_s, x->p99_s);
            }
        }
    }
    return text_file_end(&f, err);
}

static int draw(const struct options *o, const struct sweep *s, struct error *err)
{
    double latency[PLOT_SERIES_MAX][LIST_MAX];
    struct plot_series series[PLOT_SERIES_MAX];
    char names[PLOT_SERIES_MAX][40];
    struct plot plot = {.title = "Latency that 95 % of the requests stay below",
                        .x_label = "requests per second",
                        .y_label = "seconds",
                        .log_y = true,
                        .series = series};

    for (int i = 0; i < s->n_slots; i++) {
        for (int p = 0; p < POLICIES; p++) {
            int k = plot.n_series++;

            for (int r = 0; r < s->n_rates; r++)
                latency[k][r] = s->results[i][p][r].p95_s;
            snprintf(names[k], sizeof(names[k]), "%s, %d slots", policy_name((enum policy)p),
                     s->slots[i]);
            series[k] = (struct plot_series){.name = names[k],
                                             .n = s->n_rates,
                                             .x = s->rates,
                                             .y = latency[k]};
        }
    }
    return plot_write_svg(o->svg, &plot, err);
}

int main(int argc, char **argv)
{
    static struct sweep sweep; /* large; zero */
    struct activity activity;
    struct options o = {.loads = "0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,0.95",
                        .images = "1",
                        .nfe = "20",
                        .slots = "16",
                        .device = "auto",
                        .choices = arguments_choices(),
                        .precision = "auto",
                        .n_requests = 20000,
                        .max_queue = 256,
                        .watch = &activity.watch};
    const struct argument table[] = {
        {"ticks", 0, ARGUMENT_TEXT, &o.ticks, 0, 0, "LIST", "tick times, LANES:MS,... instead"},
        {"rate", 'r', ARGUMENT_TEXT, &o.rates, 0, 0, "LIST", "requests per second"},
        {"load", 'l', ARGUMENT_TEXT, &o.loads, 0, 0, "LIST",
         "rates as shares of what the most slots can serve; default 0.1,...,0.9,0.95"},
        {"slots", 0, ARGUMENT_TEXT, &o.slots, 0, 0, "LIST", "default 16"},
        {"images", 0, ARGUMENT_TEXT, &o.images, 0, 0, "LIST",
         "per request, as VALUE:WEIGHT,...; default 1"},
        {"nfe", 0, ARGUMENT_TEXT, &o.nfe, 0, 0, "LIST",
         "evaluations per image, as VALUE:WEIGHT,...; default 20"},
        {"requests", 'n', ARGUMENT_INT, &o.n_requests, 1, 1000000, "N",
         "to simulate for each row; default 20000"},
        {"max-queue", 0, ARGUMENT_INT, &o.max_queue, 0, 1000000000, "N",
         "images that may wait beyond the slots; default 256"},
        {"seed", 's', ARGUMENT_U64, &o.seed, 0, 0, "S", "of the stream of requests; default 0"},
        {"csv", 0, ARGUMENT_TEXT, &o.csv, 0, 0, "FILE", "all numbers"},
        {"svg", 0, ARGUMENT_TEXT, &o.svg, 0, 0, "FILE", "latency by rate"},
        {"stream", 0, ARGUMENT_TEXT, &o.stream, 0, 0, "FILE",
         "the requests of the first rate as CSV, to send them to a daemon"},
        ARGUMENTS_THREADS(&o.n_threads),
        ARGUMENTS_DEVICE(&o.device),
        ARGUMENTS_CHOICES(&o.choices),
        ARGUMENTS_PRECISION(&o.precision),
    };
    const struct arguments arguments = {
        .program = "softdiff-simulate",
        .usage = "MODEL|BENCH.json [options]",
        .about = "Simulates a daemon under load: continuous batching as softdiffd does it, and "
                 "batching of whole\nrequests. Tick times are measured with MODEL, or read from "
                 "an output of softdiff-bench --json.",
        .n = sizeof(table) / sizeof(table[0]),
        .table = table,
        .n_operands_max = 1,
    };
    struct error err;
    int code = arguments_parse(&arguments, argc, argv, &o.source), rc;

    if (code >= 0)
        return code;
    if (parse(&o, &sweep, &err) < 0)
        return arguments_refuse(arguments.program, err.text);
    activity_begin(&activity, 0);
    rc = try_outputs(&o, &err);
    stop_may_end(EXIT_FAILED, "softdiff-simulate: stopped");
    if (rc == 0)
        rc = get_ticks(&o, &sweep, &err);
    if (rc == 0 && choose_rates(&o, &sweep, &err) < 0)
        return arguments_refuse(arguments.program, err.text);
    if (rc == 0)
        rc = simulate(&o, &sweep, &err);
    stop_must_not_end();
    if (rc == 0)
        print_table(&o, &sweep);
    if (rc == 0 && o.csv)
        rc = write_csv(&o, &sweep, &err);
    if (rc == 0 && o.svg)
        rc = draw(&o, &sweep, &err);
    return arguments_end(arguments.program, rc, &err);
}
