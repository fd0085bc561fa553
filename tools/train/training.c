#include "tools/train/training.h"
#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/base/log.h"
#include "engine/base/pool.h"
#include "engine/base/watch.h"
#include "engine/communicator/communicator.h"
#include "engine/parameters.h"
#include "engine/program.h"
#include "model/weights.h"
#include "tools/pictures/dataset.h"
#include "tools/train/examples.h"
#include "tools/train/fit.h"
#include "tools/train/grid.h"
#include "tools/train/progress.h"
#include "tools/train/recipe.h"
#include "tools/train/resume.h"
#include "tools/train/trainer.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DRY_STEPS = 3 }; /* the first warms up */

struct training {
    const struct training_options *options;
    struct recipe recipe;
    double start; /* monotonic seconds */
    int folder;   /* descriptor of the run, locked; -1: none */
    struct device *device;
    struct pool *pool; /* reads pictures */
    struct communicator *communicator;
    struct dataset *dataset;
    struct resume *resume;           /* NULL when the training begins */
    struct checkpoint *loaded;       /* start.safetensors of a resumed training: owns formulation */
    struct formulation fitted;       /* of one that begins */
    struct formulation *formulation; /* one of the two */
    struct trainer *trainer;
    struct examples *examples;
    struct example *batch; /* [recipe.batch] */
    struct progress *progress;
    struct resume_counters counters;
    uint64_t begun_step, drawn_step; /* where this process began, and of its last grid */
    double saved;                    /* monotonic seconds of the last save */
    int failed;                      /* the first error of a save, 0: none */
    struct error failure;            /* its text */
};

/* A file of the run; owned by the caller, NULL without memory. */
static char *run_path(const struct training *t, const char *name)
{
    char *path;

    return asprintf(&path, "%s/%s", t->options->out, name) < 0 ? NULL : path;
}

static int open_folder(struct training *t, struct error *err)
{
    const char *out = t->options->out;
    int rc;

    if (mkdir(out, 0777) < 0 && errno != EEXIST) {
        rc = -errno;
        return error_set(err, rc, "could not create folder \"%s\": %s", out, strerror(-rc));
    }
    t->folder = open(out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t->folder < 0) {
        rc = -errno;
        return error_set(err, rc, "could not open folder \"%s\": %s", out, strerror(-rc));
    }
    if (flock(t->folder, LOCK_EX | LOCK_NB) < 0)
        return error_set(err, -EBUSY, "another training runs in \"%s\"", out);
    return 0;
}

/* A path without its folders, which are nobody else's business. */
static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* Weights with the formulation as a checkpoint; fini_view() it. Nothing in it depends on the
 * clock: the same training gives the same file. */
static int view_checkpoint(const struct training *t, uint64_t step, float *weights,
                           struct checkpoint *out, struct error *err)
{
    const struct recipe *r = &t->recipe;
    const char *from = t->options->from;
    char name[64];

    if (t->loaded) /* the training's own start says what that began with */
        from = json_string_value(json_object_get(t->loaded->provenance, "from"));
    device_base(t->device)->ops->describe(t->device, name, sizeof(name));
    *out = (struct checkpoint){.formulation = *t->formulation,
                               .licence = r->licence[0] ? (char *)r->licence : NULL,
                               .weights = weights,
                               .n_weights = trainer_count(t->trainer),
                               .provenance =
                                   json_pack("{s:s, s:s, s:i, s:I, s:I, s:I, s:s, s:s}", "recipe",
                                             r->name, "dataset", t->dataset->name, "dataset_images",
                                             t->dataset->n, "steps", (json_int_t)step, "images",
                                             (json_int_t)(step * (uint64_t)r->batch), "seed",
                                             (json_int_t)r->seed, "precision",
                                             precision_name(trainer_precision(t->trainer)),
                                             "device", name)};
    if (out->provenance && from)
        json_object_set_new(out->provenance, "from", json_string(file_name(from)));
    if (!out->provenance)
        return error_set(err, -ENOMEM, "out of memory for a checkpoint");
    return 0;
}

static int no_memory(struct error *err)
{
    return error_set(err, -ENOMEM, "out of memory for the weights of a network");
}

/* Makes the weights of another model of this network, whatever it was trained to undo, those of
 * the trainer. */
static int take_weights(struct training *t, const char *path, struct error *err)
{
    float *weights = malloc(trainer_count(t->trainer) * sizeof(*weights));
    int rc = weights ? 0 : no_memory(err);

    if (rc == 0)
        rc = weights_read(path, "net.", trainer_parameters(t->trainer), weights, err);
    if (rc == 0)
        rc = trainer_begin_with(t->trainer, weights, err);
    free(weights);
    return rc;
}

static void fini_view(struct checkpoint *view)
{
    json_decref(view->provenance);
}

static int save_checkpoint(const struct training *t, const char *name, uint64_t step,
                           float *weights, int bf16, struct error *err)
{
    struct checkpoint view;
    char *path = run_path(t, name);
    int rc;

    if (!path)
        return error_set(err, -ENOMEM, "out of memory for a path");
    rc = view_checkpoint(t, step, weights, &view, err);
    if (rc == 0) {
        rc = checkpoint_save(path, &view, bf16, err);
        fini_view(&view);
    }
    free(path);
    return rc;
}

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

/* The state first: with it alone the training can go on. */
static void save(struct training *t, uint64_t step)
{
    char *path = run_path(t, "state.safetensors");
    double start = clock_seconds();
    struct optimizer_state state;
    struct error err;
    int rc;

    t->counters.step = step;
    t->counters.seconds = progress_seconds(t->progress);
    rc = optimizer_state_init(&state, trainer_count(t->trainer));
    if (rc < 0 || !path)
        rc = no_memory(&err);
    if (rc == 0)
        rc = trainer_read(t->trainer, &state, &err);
    if (rc == 0)
        rc = resume_write(path, &t->counters, &t->recipe, &state, &err);
    if (rc == 0)
        rc = save_checkpoint(t, "model.safetensors", step, state.ema, t->recipe.bf16, &err);
    optimizer_state_fini(&state);
    free(path);
    t->saved = clock_seconds();
    if (rc < 0) {
        note_failure(t, rc, &err);
        return;
    }
    progress_break(t->progress);
    log_write(LOG_INFO, "event=saved step=%llu seconds=%.2f", (unsigned long long)step,
              t->saved - start);
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
        rc = no_memory(err);
    else
        rc = trainer_read_ema(t->trainer, ema, err);
    if (rc == 0)
        rc = view_checkpoint(t, step, ema, &view, err);
    if (rc == 0) {
        rc = grid_draw(t->device, &view, trainer_precision(t->trainer), path, watch, err);
        fini_view(&view);
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

static bool all_alike(const struct dataset *d)
{
    size_t image_bytes = (size_t)d->side * (size_t)d->side * 3;

    for (int i = 1; i < d->n; i++) {
        if (memcmp(d->pixels, d->pixels + (size_t)i * image_bytes, image_bytes) != 0)
            return false;
    }
    return true;
}

static int read_data(struct training *t, struct error *err)
{
    struct dataset_options options = {.side = t->recipe.architecture.image_size,
                                      .crop = t->recipe.crop,
                                      .skip_bad = t->options->skip_bad,
                                      .watch = t->options->watch};
    double start = clock_seconds();
    int rc;

    log_write(LOG_INFO, "event=reading folder=%s", LOG_TEXT(t->options->data));
    rc = dataset_open(t->options->data, &options, t->pool, &t->dataset, err);
    if (rc < 0)
        return rc;
    log_write(LOG_INFO, "event=data images=%d skipped=%d side=%d seconds=%.1f", t->dataset->n,
              t->dataset->n_skipped, t->dataset->side, clock_seconds() - start);
    if (t->recipe.output == OUTPUT_WIENER && all_alike(t->dataset))
        return error_set(err, -EINVAL,
                         "output \"wiener\" needs pictures that differ: %s below \"%s\"",
                         t->dataset->n == 1 ? "there is one" : "all are the same",
                         t->options->data);
    t->counters.n_images = t->dataset->n;
    t->counters.data_digest = t->dataset->digest;
    return 0;
}

static int fit(struct training *t, struct error *err)
{
    int rc = fit_formulation(&t->recipe, t->dataset, t->options->watch, &t->fitted, err);

    if (rc == 0)
        t->formulation = &t->fitted;
    return rc;
}

/* Opens the state if there is one: 0 with t->resume set, or left NULL. */
static int find_state(struct training *t, struct error *err)
{
    char *path = run_path(t, "state.safetensors");
    int rc = 0;

    if (!path)
        return error_set(err, -ENOMEM, "out of memory for a path");
    if (access(path, F_OK) == 0)
        rc = resume_open(path, &t->resume, err);
    free(path);
    return rc;
}

/* The checkpoint that the training began with. */
static int load_start(struct training *t, struct error *err)
{
    char *path = run_path(t, "start.safetensors");
    int rc = path ? checkpoint_load(path, &t->loaded, err)
                  : error_set(err, -ENOMEM, "out of memory for a path");

    free(path);
    return rc;
}

/* A change of the recipe, in the log. */
static void tell_change(void *arg, const char *key, const char *before, const char *after)
{
    log_write(LOG_INFO, "event=changed key=%s before=%s after=%s", key, before, after);
}

/* What was fitted when the training began, and proof that nothing else has changed since. */
static int resume_formulation(struct training *t, struct error *err)
{
    const struct resume_counters *c = resume_counters(t->resume);
    int rc;

    rc = recipe_continues(resume_recipe(t->resume), &t->recipe, tell_change, NULL, err);
    if (rc < 0) {
        error_prefix(err, "cannot resume in \"%s\": ", t->options->out);
        return rc;
    }
    if (c->n_images != t->dataset->n || c->data_digest != t->dataset->digest)
        return error_set(err, -EINVAL,
                         "cannot resume in \"%s\": its training was begun with other images "
                         "(%d of them) than are in \"%s\" (%d)",
                         t->options->out, c->n_images, t->options->data, t->dataset->n);
    rc = load_start(t, err);
    if (rc < 0)
        return rc;
    if (strcmp(t->loaded->digest, c->start_digest) != 0)
        return error_set(err, -EINVAL,
                         "cannot resume in \"%s\": \"start.safetensors\" is not the file that the "
                         "training began with",
                         t->options->out);
    t->formulation = &t->loaded->formulation;
    t->counters = *c;
    return 0;
}

static int create_trainer(struct training *t, struct error *err)
{
    struct trainer_options options = {.precision = t->options->precision,
                                      .communicator = t->communicator};
    struct examples_options examples = {.seed = t->recipe.seed,
                                        .n_images = t->dataset->n,
                                        .batch = t->recipe.batch,
                                        .flip = t->recipe.flip,
                                        .stratified = t->recipe.stratified};
    char name[128];
    int rc;

    log_write(LOG_INFO, "event=preparing what=trainer");
    rc = trainer_create(t->device, t->formulation, &t->recipe, &options, &t->trainer, err);
    if (rc == 0 && t->recipe.balanced) {
        log_write(LOG_INFO, "event=preparing what=balance");
        rc = trainer_balance(t->trainer, t->dataset, t->recipe.seed, err);
    }
    if (rc == 0)
        rc = examples_create(&examples, &t->examples, err);
    if (rc < 0)
        return rc;
    t->batch = calloc((size_t)t->recipe.batch, sizeof(*t->batch));
    if (!t->batch)
        return error_set(err, -ENOMEM, "out of memory for a batch");
    device_base(t->device)->ops->describe(t->device, name, sizeof(name));
    log_write(LOG_INFO,
              "event=trainer parameters=%zu memory_mib=%zu precision=%s batch=%d "
              "threads=%d device=%s",
              trainer_count(t->trainer), trainer_memory_bytes(t->trainer) >> 20,
              precision_name(trainer_precision(t->trainer)), t->recipe.batch, pool_threads(t->pool),
              LOG_TEXT(name));
    return 0;
}

/* Writes the checkpoint that the training begins with and takes its digest. */
static int write_start(struct training *t, struct error *err)
{
    float *weights = malloc(trainer_count(t->trainer) * sizeof(*weights));
    int rc = weights ? trainer_read_ema(t->trainer, weights, err) : no_memory(err);

    if (rc == 0) /* the average begins as the weights */
        rc = save_checkpoint(t, "start.safetensors", 0, weights, 0, err);
    free(weights);
    if (rc < 0)
        return rc;
    rc = load_start(t, err);
    if (rc < 0)
        return rc;
    /* From here on the same numbers as after a resume. */
    t->formulation = &t->loaded->formulation;
    snprintf(t->counters.start_digest, sizeof(t->counters.start_digest), "%s", t->loaded->digest);
    return 0;
}

static int one_step(struct training *t, uint64_t step, struct trainer_report *report,
                    struct error *err)
{
    examples_of_step(t->examples, step, t->batch);
    return trainer_step(t->trainer, t->dataset, t->batch, step, report, err);
}

static int dry_run(struct training *t, struct error *err)
{
    struct trainer_report report = {0};
    double seconds = 0, total;
    int rc;

    for (uint64_t step = 0; step < DRY_STEPS; step++) {
        rc = one_step(t, step, &report, err);
        if (rc < 0)
            return rc;
        if (step > 0)
            seconds += (report.batch_ms + report.run_ms + report.update_ms) / 1e3;
    }
    seconds /= DRY_STEPS - 1;
    total = seconds * (double)t->recipe.optimizer.steps;
    printf("parameters  %zu\n", trainer_count(t->trainer));
    printf("memory      %zu MiB for the trainer, %zu MiB for %d images\n",
           trainer_memory_bytes(t->trainer) >> 20,
           (size_t)t->dataset->n * (size_t)t->dataset->side * (size_t)t->dataset->side * 3 >> 20,
           t->dataset->n);
    printf("step        %.0f ms (batch %.1f, run %.1f, update %.1f), %.1f images/s\n",
           seconds * 1e3, report.batch_ms, report.run_ms, report.update_ms,
           t->recipe.batch / seconds);
    printf("training    %llu steps, about %.1f hours\n",
           (unsigned long long)t->recipe.optimizer.steps, total / 3600);
    return 0;
}

static bool time_is_up(const struct training *t)
{
    return t->options->minutes > 0 && clock_seconds() - t->start >= 60 * t->options->minutes;
}

static int loop(struct training *t, struct error *err)
{
    const struct recipe *r = &t->recipe;
    uint64_t step = t->counters.step;
    const char *reason = "done";
    int rc = 0;

    t->saved = clock_seconds();
    t->begun_step = step;
    while (step < r->optimizer.steps) {
        struct trainer_report report;
        struct error log_err;

        if (watch_stop(t->options->watch)) {
            reason = "signal";
            break;
        }
        if (time_is_up(t)) {
            reason = "time";
            break;
        }
        rc = one_step(t, step, &report, err);
        if (rc < 0)
            return rc;
        rc = progress_step(t->progress, step, t->batch, &report, &log_err);
        if (rc < 0)
            note_failure(t, rc, &log_err);
        step++;
        if (grid_is_due(step, r->grid_every))
            grid(t, step, t->options->watch);
        if (clock_seconds() - t->saved >= 60 * r->checkpoint_minutes)
            save(t, step);
    }
    progress_break(t->progress);
    save(t, step);
    last_grid(t, step);
    log_write(LOG_INFO, "event=stopped reason=%s step=%llu of=%llu", reason,
              (unsigned long long)step, (unsigned long long)r->optimizer.steps);
    if (t->failed < 0)
        return error_set(err, t->failed, "%s", t->failure.text);
    return 0;
}

/* Another precision computes other numbers. */
static void tell_precision(const struct training *t)
{
    const char *now = precision_name(trainer_precision(t->trainer));
    const char *before = json_string_value(json_object_get(t->loaded->provenance, "precision"));

    if (before && strcmp(before, now) != 0)
        tell_change(NULL, "precision", before, now);
}

/* Goes on with the arrays of the state that is resumed. */
static int take_state(struct training *t, struct error *err)
{
    struct optimizer_state state;
    int rc = optimizer_state_init(&state, trainer_count(t->trainer));

    rc = rc < 0 ? no_memory(err) : resume_read(t->resume, &state, err);
    if (rc == 0)
        rc = trainer_write(t->trainer, &state, err);
    optimizer_state_fini(&state);
    return rc;
}

static int train(struct training *t, struct error *err)
{
    char *path;
    int rc;

    if (t->resume) {
        rc = take_state(t, err);
        if (rc == 0)
            tell_precision(t);
        if (rc == 0)
            log_write(LOG_INFO, "event=resumed step=%llu", (unsigned long long)t->counters.step);
    } else {
        rc = t->options->from ? take_weights(t, t->options->from, err) : 0;
        if (rc == 0)
            rc = write_start(t, err);
    }
    if (rc < 0)
        return rc;
    if (t->resume && t->counters.step >= t->recipe.optimizer.steps) {
        log_write(LOG_INFO, "event=stopped reason=done step=%llu of=%llu",
                  (unsigned long long)t->counters.step,
                  (unsigned long long)t->recipe.optimizer.steps);
        return 0;
    }
    path = run_path(t, "log.jsonl");
    if (!path)
        return error_set(err, -ENOMEM, "out of memory for a path");
    rc = progress_open(path,
                       &(struct progress_options){.batch = t->recipe.batch,
                                                  .log_every = t->recipe.log_every,
                                                  .first_step = t->counters.step,
                                                  .steps = t->recipe.optimizer.steps,
                                                  .seconds = t->counters.seconds,
                                                  .minutes = t->options->minutes},
                       &t->progress, err);
    free(path);
    if (rc < 0)
        return rc;
    return loop(t, err);
}

static int prepare(struct training *t, struct error *err)
{
    const struct training_options *o = t->options;
    enum precision precision;
    int rc;

    rc = recipe_read(o->recipe, &t->recipe, err);
    if (rc < 0)
        return rc;
    if (o->steps > 0)
        rc = recipe_set_steps(&t->recipe, (uint64_t)o->steps, err);
    if (rc < 0)
        return rc;
    /* Example numbers are 32-bit words of Philox. */
    if ((double)t->recipe.optimizer.steps * t->recipe.batch >= (double)UINT32_MAX)
        return error_set(err, -EINVAL, "%llu steps of %d images are more than 2^32 examples",
                         (unsigned long long)t->recipe.optimizer.steps, t->recipe.batch);
    if (!o->dry_run) {
        rc = open_folder(t, err);
        if (rc == 0)
            rc = find_state(t, err);
        if (rc < 0)
            return rc;
    }
    rc = pool_create(o->n_threads ? o->n_threads : pool_available_threads(), &t->pool, err);
    if (rc == 0)
        rc = communicator_open_single(&t->communicator, err);
    if (rc == 0)
        rc = device_open(o->device, o->n_threads, o->choices, &t->device, err);
    if (rc == 0) /* before minutes have gone into reading and fitting */
        rc = device_base(t->device)->ops->precision(t->device, o->precision, &precision, err);
    if (rc == 0)
        rc = read_data(t, err);
    if (rc == 0)
        rc = t->resume ? resume_formulation(t, err) : fit(t, err);
    if (rc == 0)
        rc = create_trainer(t, err);
    return rc;
}

int training_run(const struct training_options *options, struct error *err)
{
    struct training t = {.options = options, .start = clock_seconds(), .folder = -1};
    int rc;

    rc = prepare(&t, err);
    if (rc == -ECANCELED) { /* before there was anything to save */
        log_write(LOG_INFO, "event=stopped reason=signal step=%llu of=%llu",
                  (unsigned long long)t.counters.step,
                  (unsigned long long)t.recipe.optimizer.steps);
        rc = 0;
    } else if (rc == 0)
        rc = options->dry_run ? dry_run(&t, err) : train(&t, err);

    progress_close(t.progress);
    free(t.batch);
    examples_destroy(t.examples);
    trainer_destroy(t.trainer);
    checkpoint_destroy(t.loaded);
    formulation_fini(&t.fitted);
    resume_close(t.resume);
    dataset_close(t.dataset);
    device_close(t.device);
    communicator_close(t.communicator);
    pool_destroy(t.pool);
    if (t.folder >= 0)
        close(t.folder);
    recipe_fini(&t.recipe);
    return rc;
}
