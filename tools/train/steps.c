#include "tools/train/steps.h"
#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/base/watch.h"
#include "engine/communicator/communicator.h"
#include "tools/average_file.h"
#include "tools/pictures/dataset.h"
#include "tools/train/examples.h"
#include "tools/train/grid.h"
#include "tools/train/progress.h"
#include "tools/train/ranks.h"
#include "tools/train/session.h"
#include "tools/train/trainer.h"
#include "tools/train/training.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DRY_STEPS = 3, /* the first warms up */
    /* Steps in a row whose loss or gradient is not finite, after which no more is to be hoped for. */
    SKIPPED_MAX = 20,
};

/* What a rank may want before a step. */
enum { GO_ON, STOP_TIME, STOP_SIGNAL };

/* A failure to write is told once, where it happens, and kept for the end. */
static void note_failure(struct training *t, int rc, const struct error *err)
{
    if (t->progress)
        progress_break(t->progress);
    log_write(LOG_ERROR, "event=not_saved reason=%s", LOG_TEXT(err->text));
    if (t->failed == 0) {
        t->failed = rc;
        t->failure = *err;
    }
}

/* The state first: with it alone the training can go on. Whether both are written. */
static bool save(struct training *t, uint64_t step)
{
    char *path = session_path(t, "state.safetensors");
    double start = clock_seconds();
    struct optimizer_state state;
    struct error err;
    int rc;

    t->counters.step = step;
    t->counters.seconds = progress_seconds(t->progress);
    t->counters.n_ranks = t->communicator->n_ranks;
    rc = optimizer_state_init(&state, trainer_count(t->trainer), t->recipe.optimizer.n_averages);
    if (rc < 0 || !path)
        rc = session_no_memory(&err);
    if (rc == 0)
        rc = trainer_read(t->trainer, &state, &err);
    if (rc == 0)
        rc = resume_write(path, &t->counters, &t->recipe, &state, &err);
    if (rc == 0)
        rc = session_save(t, "model.safetensors", step, state.ema, t->recipe.bf16, &err);
    optimizer_state_fini(&state);
    free(path);
    t->saved = clock_seconds();
    if (rc < 0) {
        note_failure(t, rc, &err);
        return false;
    }
    progress_break(t->progress);
    log_write(LOG_INFO, "event=saved step=%llu seconds=%.2f", (unsigned long long)step,
              t->saved - start);
    return true;
}

/* The averages as they are, for softdiff-convert. */
static int write_averages(struct training *t, uint64_t step, struct error *err)
{
    const struct optimizer_options *o = &t->recipe.optimizer;
    struct average_mark mark = {.step = step,
                                .images = step * (uint64_t)t->recipe.batch,
                                .n = o->n_averages};
    float *values[UPDATE_AVERAGES_MAX] = {NULL};
    char *path = average_file_path(t->options->out, step);
    int rc = path ? 0 : session_no_memory(err);

    memcpy(mark.lengths, o->lengths, sizeof(mark.lengths));
    snprintf(mark.start_digest, sizeof(mark.start_digest), "%s", t->counters.start_digest);
    for (int i = 0; i < mark.n && rc == 0; i++) {
        values[i] = malloc(trainer_count(t->trainer) * sizeof(float));
        rc = values[i] ? trainer_read_average(t->trainer, i, values[i], err)
                       : session_no_memory(err);
    }
    if (rc == 0)
        rc = average_file_write(path, &mark, trainer_count(t->trainer), values, err);
    for (int i = 0; i < mark.n; i++)
        free(values[i]);
    free(path);
    return rc;
}

static void averages(struct training *t, uint64_t step)
{
    struct error err;
    int rc = write_averages(t, step, &err);

    if (rc < 0)
        note_failure(t, rc, &err);
}

static int draw_grid(struct training *t, uint64_t step, const struct watch *watch,
                     struct error *err)
{
    float *ema = malloc(trainer_count(t->trainer) * sizeof(*ema));
    struct checkpoint view;
    char *path = NULL;
    int rc;

    if (!ema ||
        asprintf(&path, "%s/grid-%06llu.png", t->options->out, (unsigned long long)step) < 0)
        rc = session_no_memory(err);
    else
        rc = trainer_read_ema(t->trainer, ema, err);
    if (rc == 0)
        rc = session_view(t, step, ema, &view, err);
    if (rc == 0) {
        rc = grid_draw(t->device, &view, trainer_precision(t->trainer), path, watch, err);
        if (rc == 0)
            rc = progress_picture(t->progress, step, path, err);
        session_view_fini(&view);
    }
    free(path);
    free(ema);
    return rc;
}

static void grid(struct training *t, uint64_t step, const struct watch *watch)
{
    double start = clock_seconds();
    struct error err;
    int rc;

    progress_break(t->progress);
    rc = draw_grid(t, step, watch, &err);
    if (rc == -ECANCELED) /* asked to stop: the state matters more than a picture */
        return;
    if (rc == -EDOM) { /* the training may recover, and ends by itself if not */
        log_write(LOG_WARN, "event=no_grid reason=%s", LOG_TEXT(err.text));
        return;
    }
    if (rc < 0) {
        note_failure(t, rc, &err);
        return;
    }
    t->drawn_step = step;
    log_write(LOG_INFO, "event=grid step=%llu seconds=%.1f", (unsigned long long)step,
              clock_seconds() - start);
}

/* What the training has come to, once it is saved: only a second signal ends that. */
static void last_grid(struct training *t, uint64_t step)
{
    struct watch watch = {0};

    if (t->options->watch)
        watch = *t->options->watch;
    watch.stop = NULL;
    if (t->recipe.grid_every > 0 && step > t->begun_step && step != t->drawn_step)
        grid(t, step, &watch);
}

static int one_step(struct training *t, uint64_t step, struct trainer_report *report,
                    struct error *err)
{
    bool last = step + 1 >= t->recipe.optimizer.steps;
    struct example *batch = t->batch;

    if (t->next_step == step + 1) {
        t->batch = t->next;
        t->next = batch;
    } else {
        examples_of_step(t->examples, step, t->batch);
    }
    t->next_step = last ? 0 : step + 2;
    if (!last)
        examples_of_step(t->examples, step + 1, t->next);
    return trainer_step(t->trainer, t->dataset, t->batch, last ? NULL : t->next, step, report, err);
}

int steps_dry_run(struct training *t, struct error *err)
{
    struct trainer_report report = {0};
    double seconds = 0, total, rate, flops;
    int rc;

    for (uint64_t step = 0; step < DRY_STEPS; step++) {
        rc = one_step(t, step, &report, err);
        if (rc < 0)
            return rc;
        if (step > 0)
            seconds += report.step_ms / 1e3;
    }
    seconds /= DRY_STEPS - 1;
    total = seconds * (double)t->recipe.optimizer.steps;
    rate = t->recipe.batch / seconds;
    flops = 2 * trainer_products(t->trainer);
    printf("parameters  %zu\n", trainer_count(t->trainer));
    printf("memory      %zu MiB for the trainer, %zu MiB for %d images\n",
           trainer_memory_bytes(t->trainer) >> 20,
           (size_t)t->dataset->n * (size_t)t->dataset->side * (size_t)t->dataset->side * 3 >> 20,
           t->dataset->n);
    printf("operations  %.3g GFLOP an image, forward and backward, %.3g GFLOP/s\n", flops / 1e9,
           flops * rate / 1e9);
    printf("step        %.0f ms (batch %.1f, run %.1f, update %.1f, idle %.1f), %.1f images/s\n",
           seconds * 1e3, report.batch_ms, report.run_ms, report.update_ms, report.idle_ms, rate);
    printf("training    %llu steps, %.3g images, %.3g PFLOP, about %.2g hours\n",
           (unsigned long long)t->recipe.optimizer.steps,
           (double)t->recipe.optimizer.steps * t->recipe.batch,
           flops * (double)t->recipe.optimizer.steps * t->recipe.batch / 1e15, total / 3600);
    return 0;
}

static bool time_is_up(const struct training *t)
{
    return t->options->minutes > 0 && clock_seconds() - t->start >= 60 * t->options->minutes;
}

/* What the ranks want, the same for all of them. */
static int ask_to_go_on(struct training *t, int *want, struct error *err)
{
    *want = watch_stop(t->options->watch) ? STOP_SIGNAL : time_is_up(t) ? STOP_TIME : GO_ON;
    return ranks_ask(t, want, err);
}

/* A step that was skipped leaves the weights as they are, and the next may do better. */
static int count_skipped(struct training *t, uint64_t step, const struct trainer_report *report,
                         struct error *err)
{
    struct resume_counters *c = &t->counters;

    if (!report->skipped) {
        c->n_skipped_last = 0;
        return 0;
    }
    c->n_skipped++;
    c->n_skipped_last++;
    if (session_is_first(t)) {
        progress_break(t->progress);
        log_write(LOG_WARN, "event=skipped step=%llu loss=%g grad_norm=%g in_a_row=%d",
                  (unsigned long long)step + 1, report->loss, report->grad_norm, c->n_skipped_last);
    }
    if (c->n_skipped_last < SKIPPED_MAX)
        return 0;
    return error_set(err, -ERANGE,
                     "%d steps in a row, up to %llu, were skipped: loss %g, gradient norm %g; what "
                     "was saved before is kept: go on from there with a smaller training.lr, or in "
                     "fp32",
                     c->n_skipped_last, (unsigned long long)step + 1, report->loss,
                     report->grad_norm);
}

/* What rank 0 does after a step. */
static void keep_record(struct training *t, uint64_t step, const struct trainer_report *report)
{
    struct error err;
    int rc = progress_step(t->progress, step, t->batch, report, t->counters.n_skipped, &err);

    if (rc < 0)
        note_failure(t, rc, &err);
    step++;
    if (t->recipe.optimizer.n_averages > 0 &&
        (step % (uint64_t)t->recipe.averages_every == 0 || step == t->recipe.optimizer.steps))
        averages(t, step);
    if (grid_is_due(step, t->recipe.grid_every))
        grid(t, step, t->options->watch);
    if (clock_seconds() - t->saved >= 60 * t->recipe.checkpoint_minutes)
        save(t, step);
}

int steps_run(struct training *t, struct error *err)
{
    static const char *const reasons[] = {"done", "time", "signal"};
    const struct recipe *r = &t->recipe;
    uint64_t step = t->counters.step;
    int want = GO_ON, rc = 0;
    bool saved;

    t->saved = clock_seconds();
    t->begun_step = step;
    while (step < r->optimizer.steps) {
        struct trainer_report report = {0};

        rc = ask_to_go_on(t, &want, err);
        if (rc < 0)
            return rc;
        if (want != GO_ON)
            break;
        rc = one_step(t, step, &report, err);
        if (rc == 0)
            rc = count_skipped(t, step, &report, err);
        if (rc < 0)
            return rc;
        if (session_is_first(t))
            keep_record(t, step, &report);
        step++;
    }
    if (!session_is_first(t))
        return 0;
    progress_break(t->progress);
    saved = save(t, step);
    last_grid(t, step);
    log_write(saved ? LOG_INFO : LOG_ERROR, "event=stopped reason=%s step=%llu of=%llu",
              saved ? reasons[want] : "not_saved", (unsigned long long)step,
              (unsigned long long)r->optimizer.steps);
    if (t->failed < 0)
        return error_set(err, t->failed, "%s", t->failure.text);
    return 0;
}
