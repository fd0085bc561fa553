#include "tools/train/progress.h"
#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/base/whole_file.h"
#include "tools/line_file.h"
#include "tools/train/event_file.h"
#include "tools/train/examples.h"
#include "tools/train/trainer.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* No number of a line is longer than 24 digits: LINE_BYTES is ample. RECENT: steps whose mean time
 * is the rate, so that it follows a machine that others use. */
enum { BINS = 10, BAR = 24, LINE_BYTES = 1024, RECENT = 32, PICTURE_BYTES_MAX = 1 << 30 };

/* Seconds from one line on the terminal to the next, and where there is none. */
#define TERMINAL_SECONDS 0.2
#define LINE_SECONDS     20

struct progress {
    struct progress_options options;
    struct line_file *log;
    struct event_file *events; /* NULL: none */
    uint64_t logged;           /* step of the log's last line; 0: none */
    bool terminal;             /* standard error is one */
    bool open_line;
    double start;             /* monotonic seconds when this was opened */
    double drawn;             /* the same, of the last line on standard error */
    uint64_t n_recent;        /* steps since this was opened */
    double recent_ms[RECENT]; /* of the last steps */

    /* Sums over the interval. */
    int n_steps;
    int n_skipped; /* of them; not in the sums of losses and norms */
    double loss, norm, norm_max, batch_ms, run_ms, update_ms, step_ms, idle_ms;
    double bin_loss[BINS];
    int bin_n[BINS];
};

/* A line of the log stays if it is of a step that was saved, and once; line_file_judge. */
static int judge_line(void *arg, const char *line, int number, bool whole, struct error *err)
{
    struct progress *p = arg;
    json_t *json = whole ? json_loads(line, 0, NULL) : NULL;
    json_int_t step = json_integer_value(json_object_get(json, "step"));
    bool stays = step > (json_int_t)p->logged && step <= (json_int_t)p->options.first_step;

    json_decref(json);
    if (stays)
        p->logged = (uint64_t)step;
    return stays;
}

int progress_open(const char *path, const struct progress_options *options, struct progress **out,
                  struct error *err)
{
    struct progress *p = calloc(1, sizeof(*p));
    int rc;

    if (!p)
        return error_set(err, -ENOMEM, "out of memory for a log");
    p->options = *options;
    p->terminal = isatty(STDERR_FILENO);
    p->start = clock_seconds();
    rc = line_file_open(path, judge_line, p, &p->log, err);
    if (rc == 0 && options->events)
        rc = event_file_create(options->events, options->first_step, &p->events, err);
    if (rc < 0) {
        progress_close(p);
        return rc;
    }
    *out = p;
    return 0;
}

void progress_close(struct progress *p)
{
    if (!p)
        return;
    progress_break(p);
    if (p->log)
        line_file_close(p->log);
    event_file_close(p->events);
    free(p);
}

void progress_break(struct progress *p)
{
    if (p->open_line)
        fputc('\n', stderr);
    p->open_line = false;
}

double progress_seconds(const struct progress *p)
{
    return p->options.seconds + clock_seconds() - p->start;
}

/* "1:02:03" */
static void format_time(double seconds, char *text, size_t size)
{
    long s = seconds > 0 ? (long)(seconds + 0.5) : 0;

    snprintf(text, size, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
}

/* Images per second of the last steps. The very first is left out as soon as there is another: it
 * touches all memory for the first time. */
static double recent_rate(const struct progress *p)
{
    uint64_t n = p->n_recent < RECENT ? p->n_recent : RECENT;
    uint64_t first = n == p->n_recent && n > 1 ? 1 : 0;
    double ms = 0;

    for (uint64_t i = first; i < n; i++)
        ms += p->recent_ms[i];
    return 1e3 * (double)(n - first) * p->options.batch / ms;
}

static double seconds_left(const struct progress *p, uint64_t done)
{
    const struct progress_options *o = &p->options;
    double by_steps = (double)(o->steps - done) * o->batch / recent_rate(p);
    double by_time = o->minutes > 0 ? 60 * o->minutes - (clock_seconds() - p->start) : INFINITY;

    return fmin(by_steps, by_time);
}

static void print_line(struct progress *p, uint64_t done, double loss, double lr)
{
    char left[32], bar[BAR + 1];
    double fraction = (double)done / (double)p->options.steps, rate = recent_rate(p);

    p->drawn = clock_seconds();
    format_time(seconds_left(p, done), left, sizeof(left));
    for (int i = 0; i < BAR; i++)
        bar[i] = i < (int)(fraction * BAR) ? '#' : '.';
    bar[BAR] = '\0';
    fprintf(stderr, "%s%s step %llu/%llu  loss %.1f  lr %.2e  %.*f images/s  left %s%s",
            p->terminal ? "\r" : "", bar, (unsigned long long)done,
            (unsigned long long)p->options.steps, loss, lr, rate < 10 ? 2 : 0, rate, left,
            p->terminal ? "\033[K" : "\n");
    p->open_line = p->terminal;
}

/* A member "name": number, or null where there is none. Returns the bytes written. */
static int put_number(char *line, size_t room, const char *name, double value)
{
    return isfinite(value) ? snprintf(line, room, "\"%s\":%.7g,", name, value)
                           : snprintf(line, room, "\"%s\":null,", name);
}

/* A list of the bins' means; null: no such time, or one at which nothing is left to see. */
static int put_bins(const struct progress *p, char *line, size_t room)
{
    int used = 0;

    for (int i = 0; i < BINS; i++) {
        const char *comma = i ? "," : "";

        if (p->bin_loss[i] != 0)
            used += snprintf(line + used, room - (size_t)used, "%s%.6g", comma,
                             p->bin_loss[i] / p->bin_n[i]);
        else
            used += snprintf(line + used, room - (size_t)used, "%snull", comma);
    }
    return used;
}

/* Of the interval's steps alone: checkpoints and grids in between are not the trainer's speed. */
static double images_per_second(const struct progress *p)
{
    return 1e3 * p->n_steps * p->options.batch / p->step_ms;
}

static int write_line(struct progress *p, uint64_t done, double lr, uint64_t n_skipped,
                      struct error *err)
{
    double n = p->n_steps, n_good = p->n_steps - p->n_skipped;
    char line[LINE_BYTES];
    size_t used;

    used = (size_t)snprintf(line, sizeof(line), "{\"step\":%llu,\"images\":%llu,",
                            (unsigned long long)done,
                            (unsigned long long)done * (unsigned)p->options.batch);
    used += (size_t)put_number(line + used, sizeof(line) - used, "loss", p->loss / n_good);
    used += (size_t)put_number(line + used, sizeof(line) - used, "grad_norm", p->norm / n_good);
    used += (size_t)put_number(line + used, sizeof(line) - used, "grad_norm_max",
                               n_good > 0 ? p->norm_max : NAN);
    used += (size_t)
        snprintf(line + used, sizeof(line) - used,
                 "\"skipped\":%llu,\"lr\":%.6g,\"images_per_s\":%.2f,\"ms\":{\"batch\":%.2f,"
                 "\"run\":%.2f,\"update\":%.2f},\"idle\":%.4f,\"seconds\":%.1f,\"loss_t\":[",
                 (unsigned long long)n_skipped, lr, images_per_second(p), p->batch_ms / n,
                 p->run_ms / n, p->update_ms / n, p->idle_ms / p->step_ms, progress_seconds(p));
    used += (size_t)put_bins(p, line + used, sizeof(line) - used);
    snprintf(line + used, sizeof(line) - used, "]}");
    return line_file_add(p->log, line, err);
}

/* The same for TensorBoard. */
static int write_events(struct progress *p, uint64_t done, double lr, uint64_t n_skipped,
                        struct error *err)
{
    static const char *const bins[BINS] = {"loss_t/0.0", "loss_t/0.1", "loss_t/0.2", "loss_t/0.3",
                                           "loss_t/0.4", "loss_t/0.5", "loss_t/0.6", "loss_t/0.7",
                                           "loss_t/0.8", "loss_t/0.9"};
    double n_good = p->n_steps - p->n_skipped;
    struct event_number numbers[BINS + 7] = {
        {"loss", p->loss / n_good},
        {"grad_norm", p->norm / n_good},
        {"grad_norm_max", n_good > 0 ? p->norm_max : NAN},
        {"lr", lr},
        {"images_per_s", images_per_second(p)},
        {"skipped", (double)n_skipped},
        {"idle", p->idle_ms / p->step_ms},
    };

    for (int i = 0; i < BINS; i++)
        numbers[7 + i] =
            (struct event_number){bins[i],
                                  p->bin_loss[i] != 0 ? p->bin_loss[i] / p->bin_n[i] : NAN};
    return event_file_add_numbers(p->events, done, BINS + 7, numbers, err);
}

static void start_interval(struct progress *p)
{
    p->n_steps = p->n_skipped = 0;
    p->loss = p->norm = p->norm_max = 0;
    p->batch_ms = p->run_ms = p->update_ms = p->step_ms = p->idle_ms = 0;
    memset(p->bin_loss, 0, sizeof(p->bin_loss));
    memset(p->bin_n, 0, sizeof(p->bin_n));
}

/* Adds a step to the interval. */
static void add_step(struct progress *p, const struct example *examples,
                     const struct trainer_report *report)
{
    p->n_steps++;
    p->batch_ms += report->batch_ms;
    p->run_ms += report->run_ms;
    p->update_ms += report->update_ms;
    p->step_ms += report->step_ms;
    p->idle_ms += report->idle_ms;
    p->recent_ms[p->n_recent++ % RECENT] = report->step_ms;
    if (report->skipped) {
        p->n_skipped++;
        return;
    }
    p->loss += report->loss;
    p->norm += report->grad_norm;
    p->norm_max = fmax(p->norm_max, report->grad_norm);
    for (int i = 0; i < p->options.batch; i++) {
        int bin = (int)(examples[i].t * BINS);

        bin = bin < BINS ? bin : BINS - 1;
        p->bin_loss[bin] += report->losses[i];
        p->bin_n[bin]++;
    }
}

int progress_step(struct progress *p, uint64_t step, const struct example *examples,
                  const struct trainer_report *report, uint64_t n_skipped, struct error *err)
{
    const struct progress_options *o = &p->options;
    uint64_t done = step + 1;
    bool last = done % (uint64_t)o->log_every == 0 || done == o->steps; /* of the interval */
    int rc;

    add_step(p, examples, report);
    if (last || clock_seconds() - p->drawn > (p->terminal ? TERMINAL_SECONDS : LINE_SECONDS))
        print_line(p, done, p->loss / (p->n_steps - p->n_skipped), report->lr);
    if (!last)
        return 0;
    rc = write_line(p, done, report->lr, n_skipped, err);
    if (rc == 0 && p->events)
        rc = write_events(p, done, report->lr, n_skipped, err);
    start_interval(p);
    return rc;
}

int progress_picture(struct progress *p, uint64_t done, const char *path, struct error *err)
{
    unsigned char *png;
    size_t size;
    int rc;

    if (!p->events)
        return 0;
    rc = whole_file_read(path, PICTURE_BYTES_MAX, &png, &size, err);
    if (rc < 0)
        return rc;
    rc = event_file_add_picture(p->events, done, "grid", png, size, err);
    free(png);
    return rc;
}
