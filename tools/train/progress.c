#include "tools/train/progress.h"
#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "tools/train/examples.h"
#include "tools/train/trainer.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BINS = 10, BAR = 24 };

struct progress {
    struct progress_options options;
    FILE *log;
    bool terminal; /* standard error is one */
    bool open_line;
    double start; /* monotonic seconds when this was opened */
    /* Monotonic seconds. */
    double drawn; /* the same, of the last line on the terminal */
    double rate;  /* images/s of the last interval; 0: none yet */

    /* Sums over the interval. */
    int n_steps;
    double loss, norm, norm_max, batch_ms, run_ms, update_ms;
    double bin_loss[BINS];
    int bin_n[BINS];
};

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
    p->log = fopen(path, "a");
    if (!p->log) {
        rc = -errno;
        free(p);
        return error_set(err, rc, "could not write the log \"%s\": %s", path, strerror(-rc));
    }
    *out = p;
    return 0;
}

void progress_close(struct progress *p)
{
    if (!p)
        return;
    progress_break(p);
    fclose(p->log);
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

static double seconds_left(const struct progress *p, uint64_t done)
{
    const struct progress_options *o = &p->options;
    double by_steps = p->rate > 0 ? (double)(o->steps - done) * o->batch / p->rate : INFINITY;
    double by_time = o->minutes > 0 ? 60 * o->minutes - (clock_seconds() - p->start) : INFINITY;

    return fmin(by_steps, by_time);
}

static void print_line(struct progress *p, uint64_t done, double loss, double lr)
{
    char left[32] = "?", bar[BAR + 1];
    double seconds = seconds_left(p, done), fraction = (double)done / (double)p->options.steps;

    if (isfinite(seconds))
        format_time(seconds, left, sizeof(left));
    for (int i = 0; i < BAR; i++)
        bar[i] = i < (int)(fraction * BAR) ? '#' : '.';
    bar[BAR] = '\0';
    fprintf(stderr, "%s%s step %llu/%llu  loss %.1f  lr %.2e  %.0f images/s  left %s%s",
            p->terminal ? "\r" : "", bar, (unsigned long long)done,
            (unsigned long long)p->options.steps, loss, lr, p->rate, left,
            p->terminal ? "\033[K" : "\n");
    p->open_line = p->terminal;
}

static int write_line(struct progress *p, uint64_t done, double lr, struct error *err)
{
    double n = p->n_steps;

    fprintf(p->log,
            "{\"step\":%llu,\"images\":%llu,\"loss\":%.7g,\"grad_norm\":%.6g,"
            "\"grad_norm_max\":%.6g,\"lr\":%.6g,\"images_per_s\":%.2f,"
            "\"ms\":{\"batch\":%.2f,\"run\":%.2f,\"update\":%.2f},\"seconds\":%.1f,\"loss_t\":[",
            (unsigned long long)done, (unsigned long long)done * (unsigned)p->options.batch,
            p->loss / n, p->norm / n, p->norm_max, lr, p->rate, p->batch_ms / n, p->run_ms / n,
            p->update_ms / n, progress_seconds(p));
    for (int i = 0; i < BINS; i++) {
        if (p->bin_n[i])
            fprintf(p->log, "%s%.6g", i ? "," : "", p->bin_loss[i] / p->bin_n[i]);
        else
            fprintf(p->log, "%snull", i ? "," : "");
    }
    fprintf(p->log, "]}\n");
    if (fflush(p->log) != 0) {
        int rc = -errno;

        clearerr(p->log);
        return error_set(err, rc, "could not write the log: %s", strerror(-rc));
    }
    return 0;
}

static void start_interval(struct progress *p)
{
    p->n_steps = 0;
    p->loss = p->norm = p->norm_max = 0;
    p->batch_ms = p->run_ms = p->update_ms = 0;
    memset(p->bin_loss, 0, sizeof(p->bin_loss));
    memset(p->bin_n, 0, sizeof(p->bin_n));
}

int progress_step(struct progress *p, uint64_t step, const struct example *examples,
                  const struct trainer_report *report, struct error *err)
{
    const struct progress_options *o = &p->options;
    uint64_t done = step + 1;
    double ms;
    int rc;

    p->n_steps++;
    p->loss += report->loss;
    p->norm += report->grad_norm;
    p->norm_max = fmax(p->norm_max, report->grad_norm);
    p->batch_ms += report->batch_ms;
    p->run_ms += report->run_ms;
    p->update_ms += report->update_ms;
    for (int i = 0; i < o->batch; i++) {
        int bin = (int)(examples[i].t * BINS);

        bin = bin < BINS ? bin : BINS - 1;
        p->bin_loss[bin] += report->losses[i];
        p->bin_n[bin]++;
    }

    if (done % (uint64_t)o->log_every != 0 && done != o->steps) {
        if (p->terminal && clock_seconds() - p->drawn > 0.2) {
            p->drawn = clock_seconds();
            print_line(p, done, p->loss / p->n_steps, report->lr);
        }
        return 0;
    }
    /* Of the steps alone: checkpoints and grids in between are not the trainer's speed. */
    ms = p->batch_ms + p->run_ms + p->update_ms;
    p->rate = 1e3 * p->n_steps * o->batch / ms;
    print_line(p, done, p->loss / p->n_steps, report->lr);
    rc = write_line(p, done, report->lr, err);
    start_interval(p);
    return rc;
}
