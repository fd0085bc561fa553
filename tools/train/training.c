#include "tools/train/training.h"
#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/base/log.h"
#include "engine/base/pool.h"
#include "engine/base/process.h"
#include "engine/base/watch.h"
#include "engine/communicator/communicator.h"
#include "engine/parameters.h"
#include "model/objective.h"
#include "model/weights.h"
#include "tools/pictures/dataset.h"
#include "tools/stop.h"
#include "tools/train/examples.h"
#include "tools/train/fit.h"
#include "tools/train/progress.h"
#include "tools/train/ranks.h"
#include "tools/train/recipe.h"
#include "tools/train/resume.h"
#include "tools/train/session.h"
#include "tools/train/steps.h"
#include "tools/train/trainer.h"

#include <errno.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Makes the weights of another model of this network, whatever it was trained to undo, those of
 * the trainer. */
static int take_weights(struct training *t, const char *path, struct error *err)
{
    float *weights = malloc(trainer_count(t->trainer) * sizeof(*weights));
    int rc = weights ? 0 : session_no_memory(err);

    if (rc == 0)
        rc = weights_read(path, "net.", trainer_parameters(t->trainer), weights, err);
    if (rc == 0)
        rc = trainer_begin_with(t->trainer, weights, err);
    free(weights);
    return rc;
}

static int read_data(struct training *t, struct error *err)
{
    struct dataset_options options = {.side = t->recipe.architecture.image_size,
                                      .crop = t->recipe.crop,
                                      .labels = t->recipe.architecture.n_labels > 0,
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
    if (t->dataset->n_labels != t->recipe.architecture.n_labels)
        return error_set(err, -EINVAL,
                         "the pictures in \"%s\" have %d labels, and the recipe's "
                         "architecture.n_labels is %d",
                         t->options->data, t->dataset->n_labels, t->recipe.architecture.n_labels);
    if (t->recipe.output == OUTPUT_WIENER && dataset_all_alike(t->dataset))
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
    char *path = session_path(t, "state.safetensors");
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
    char *path = session_path(t, "start.safetensors");
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

/* What was fitted when the training began, and proof that neither it nor the recipe has changed. */
static int resume_formulation(struct training *t, struct error *err)
{
    const struct resume_counters *c = resume_counters(t->resume);
    int rc = recipe_continues(resume_recipe(t->resume), &t->recipe, tell_change, NULL, err);

    if (rc < 0) {
        error_prefix(err, "cannot resume in \"%s\": ", t->options->out);
        return rc;
    }
    rc = load_start(t, err);
    if (rc < 0)
        return rc;
    if (strcmp(t->loaded->digest, c->start_digest) != 0)
        return error_set(err, -EINVAL,
                         "cannot resume in \"%s\": \"start.safetensors\" is not the file that the "
                         "training began with",
                         t->options->out);
    t->formulation = &t->loaded->formulation;
    return 0;
}

/* Proof that the images have not changed, either. */
static int resume_counting(struct training *t, struct error *err)
{
    const struct resume_counters *c = resume_counters(t->resume);

    if (c->n_images != t->dataset->n || c->data_digest != t->dataset->digest)
        return error_set(err, -EINVAL,
                         "cannot resume in \"%s\": its training was begun with other images "
                         "(%d of them) than are in \"%s\" (%d)",
                         t->options->out, c->n_images, t->options->data, t->dataset->n);
    t->counters = *c;
    return 0;
}

static int create_trainer(struct training *t, struct error *err)
{
    struct trainer_options options = {.precision = t->options->precision,
                                      .communicator = t->communicator,
                                      .n_runs = t->options->accumulate};
    struct examples_options examples = {.seed = t->recipe.seed,
                                        .n_images = t->dataset->n,
                                        .batch = t->recipe.batch,
                                        .flip = t->recipe.flip,
                                        .stratified = t->recipe.stratified,
                                        .look_ahead = t->recipe.objective.look_ahead,
                                        .label_dropout = t->recipe.label_dropout};
    float colors[9];
    char name[128];
    int rc;

    log_write(LOG_INFO, "event=preparing what=trainer");
    rc = trainer_create(t->device, t->formulation, &t->recipe, &options, &t->trainer, err);
    if (rc == 0 && t->recipe.objective.colors) {
        rc = fit_color_weights(&t->recipe, t->dataset, colors, err);
        if (rc == 0)
            rc = trainer_weigh_colors(t->trainer, colors, err);
    }
    if (rc == 0 && t->recipe.objective.weight == RECIPE_WEIGHT_BALANCED && session_is_first(t)) {
        log_write(LOG_INFO, "event=preparing what=balance");
        rc = trainer_balance(t->trainer, t->dataset, t->recipe.seed, t->options->watch, err);
    }
    if (rc == 0)
        rc = examples_create(&examples, &t->examples, err);
    if (rc < 0)
        return rc;
    t->batch = calloc((size_t)t->recipe.batch, sizeof(*t->batch));
    t->next = calloc((size_t)t->recipe.batch, sizeof(*t->next));
    if (!t->batch || !t->next)
        return error_set(err, -ENOMEM, "out of memory for a batch");
    device_base(t->device)->ops->describe(t->device, name, sizeof(name));
    log_write(LOG_INFO,
              "event=trainer parameters=%zu memory_mib=%zu precision=%s batch=%d ranks=%d "
              "accumulate=%d threads=%d device=%s",
              trainer_count(t->trainer), trainer_memory_bytes(t->trainer) >> 20,
              precision_name(trainer_precision(t->trainer)), t->recipe.batch,
              t->communicator->n_ranks, t->options->accumulate, pool_threads(t->pool),
              LOG_TEXT(name));
    return 0;
}

/* Writes the checkpoint that the training begins with and takes its digest. */
static int write_start(struct training *t, struct error *err)
{
    float *weights = malloc(trainer_count(t->trainer) * sizeof(*weights));
    int rc = weights ? trainer_read_ema(t->trainer, weights, err) : session_no_memory(err);

    if (rc == 0) /* the average begins as the weights */
        rc = session_save(t, "start.safetensors", 0, weights, 0, err);
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

/* What computes other numbers, or rounds them otherwise. */
static void tell_other_arithmetic(const struct training *t)
{
    const char *now = precision_name(trainer_precision(t->trainer));
    const char *before = json_string_value(json_object_get(t->loaded->provenance, "precision"));
    char ranks[2][16];

    if (before && strcmp(before, now) != 0)
        tell_change(NULL, "precision", before, now);
    if (t->counters.n_ranks > 0 && t->counters.n_ranks != t->communicator->n_ranks) {
        snprintf(ranks[0], sizeof(ranks[0]), "%d", t->counters.n_ranks);
        snprintf(ranks[1], sizeof(ranks[1]), "%d", t->communicator->n_ranks);
        tell_change(NULL, "ranks", ranks[0], ranks[1]);
    }
}

/* Goes on with the arrays of the state that is resumed. */
static int take_state(struct training *t, struct error *err)
{
    struct optimizer_state state;
    int rc =
        optimizer_state_init(&state, trainer_count(t->trainer), t->recipe.optimizer.n_averages);

    rc = rc < 0 ? session_no_memory(err) : resume_read(t->resume, &state, err);
    if (rc == 0)
        rc = trainer_write(t->trainer, &state, err);
    optimizer_state_fini(&state);
    return rc;
}

/* The weights of the first step, and from there on a run that is written to. */
static int begin(struct training *t, struct error *err)
{
    int rc = 0;

    if (t->resume)
        rc = take_state(t, err);
    else if (t->options->from)
        rc = take_weights(t, t->options->from, err);
    stop_must_not_end();
    if (rc == 0 && watch_stop(t->options->watch))
        return error_set(err, -ECANCELED, "stopped");
    if (rc == 0 && !t->resume)
        rc = write_start(t, err);
    if (rc < 0 || !t->resume)
        return rc;
    tell_other_arithmetic(t);
    log_write(LOG_INFO, "event=resumed step=%llu", (unsigned long long)t->counters.step);
    return 0;
}

/* Rank 0's: all that is fitted or resumed, up to the first step. */
static int make_ready_first(struct training *t, struct error *err)
{
    int rc = t->resume ? resume_counting(t, err) : fit(t, err);

    if (rc == 0)
        rc = create_trainer(t, err);
    return rc < 0 || t->options->dry_run ? rc : begin(t, err);
}

/* Of all ranks: to take the first step. */
static int make_ready(struct training *t, struct error *err)
{
    bool first = session_is_first(t);
    int rc = communicator_agree(t->communicator, first ? make_ready_first(t, err) : 0, err);

    if (rc == 0)
        rc = ranks_share_start(t, err);
    if (rc < 0)
        return rc;
    if (!first)
        rc = create_trainer(t, err);
    rc = communicator_agree(t->communicator, rc, err);
    if (rc == 0)
        rc = ranks_compare(t, err);
    if (rc == 0)
        rc = trainer_share(t->trainer, err);
    if (!first)
        stop_must_not_end();
    return rc;
}

static int open_progress(struct training *t, struct error *err)
{
    char *path = session_path(t, "log.jsonl");
    int rc;

    if (!path)
        return error_set(err, -ENOMEM, "out of memory for a path");
    rc = progress_open(path,
                       &(struct progress_options){.batch = t->recipe.batch,
                                                  .log_every = t->recipe.log_every,
                                                  .first_step = t->counters.step,
                                                  .steps = t->recipe.optimizer.steps,
                                                  .seconds = t->counters.seconds,
                                                  .minutes = t->options->minutes,
                                                  .events = t->recipe.tensorboard ? t->options->out
                                                                                  : NULL},
                       &t->progress, err);
    free(path);
    return rc;
}

static int train(struct training *t, struct error *err)
{
    int rc = 0;

    if (t->counters.step >= t->recipe.optimizer.steps) {
        log_write(LOG_INFO, "event=stopped reason=done step=%llu of=%llu",
                  (unsigned long long)t->counters.step,
                  (unsigned long long)t->recipe.optimizer.steps);
        return 0;
    }
    if (session_is_first(t))
        rc = open_progress(t, err);
    rc = communicator_agree(t->communicator, rc, err);
    return rc < 0 ? rc : steps_run(t, err);
}

static int read_recipe(struct training *t, struct error *err)
{
    int steps = t->options->steps;
    int rc = recipe_read(t->options->recipe, &t->recipe, err);

    if (rc == 0 && steps > 0)
        rc = recipe_set_steps(&t->recipe, (uint64_t)steps, err);
    if (rc < 0)
        return rc;
    /* Example numbers are 32-bit words of Philox. */
    if ((double)t->recipe.optimizer.steps * t->recipe.batch >= (double)UINT32_MAX)
        return error_set(err, -EINVAL, "%llu steps of %d images are more than 2^32 examples",
                         (unsigned long long)t->recipe.optimizer.steps, t->recipe.batch);
    return 0;
}

/* Rank 0's: all that can be wrong is said before pictures are read, which may take long. */
static int prepare_first(struct training *t, struct error *err)
{
    const struct training_options *o = t->options;
    int rc = read_recipe(t, err);

    if (rc == 0 && !o->dry_run)
        rc = session_open_folder(t, err);
    if (rc == 0 && !o->dry_run)
        rc = find_state(t, err);
    if (rc == 0 && t->resume)
        rc = resume_formulation(t, err);
    else if (rc == 0)
        recipe_warn_of_useless(&t->recipe);
    if (rc == 0 && o->from && !t->resume && access(o->from, R_OK) < 0)
        rc = error_set(err, -errno, "could not read \"%s\": %s", o->from, strerror(errno));
    return rc;
}

/* Of several ranks of a machine each has a GPU of its own, unless it is told otherwise. */
static int open_device(struct training *t, struct error *err)
{
    const struct training_options *o = t->options;
    bool any = strcmp(o->device, "auto") == 0;
    char own[32];
    int rc;

    if (t->communicator->n_ranks == 1 || (!any && strcmp(o->device, "cuda") != 0))
        return device_open(o->device, o->n_threads, o->choices, &t->device, err);
    snprintf(own, sizeof(own), "cuda:%d", t->communicator->place);
    rc = device_open(own, o->n_threads, o->choices, &t->device, err);
    return any && rc == -ENOTSUP ? device_open("cpu", o->n_threads, o->choices, &t->device, err)
                                 : rc;
}

static int prepare(struct training *t, struct error *err)
{
    const struct training_options *o = t->options;
    enum precision precision;
    int rc =
        communicator_agree(t->communicator, session_is_first(t) ? prepare_first(t, err) : 0, err);

    if (rc == 0)
        rc = ranks_share_recipe(t, err);
    if (rc < 0)
        return rc;
    rc = pool_create(o->n_threads ? o->n_threads : pool_available_threads(), &t->pool, err);
    if (rc == 0)
        rc = open_device(t, err);
    if (rc == 0)
        rc = objective_precision(t->device, o->precision, &precision, err);
    if (rc == 0)
        rc = read_data(t, err);
    rc = communicator_agree(t->communicator, rc, err);
    return rc < 0 ? rc : make_ready(t, err);
}

static int run(struct training *t, struct error *err)
{
    int rc;

    if (!session_is_first(t))
        log_set_level(LOG_ERROR); /* all say the same */
    if (t->options->dry_run && t->communicator->n_ranks > 1)
        rc = error_set(err, -EINVAL, "a dry run is of one rank");
    else
        rc = prepare(t, err);
    if (rc == 0)
        rc = t->options->dry_run ? steps_dry_run(t, err) : train(t, err);
    stop_must_not_end();
    rc = communicator_agree(t->communicator, rc, err);
    if (rc == -ECANCELED) { /* before there was anything to save */
        log_write(LOG_INFO, "event=stopped reason=signal step=%llu of=%llu",
                  (unsigned long long)t->counters.step,
                  (unsigned long long)t->recipe.optimizer.steps);
        rc = 0;
    }
    if (rc < 0 && !session_is_first(t) && !t->communicator->broken && err)
        err->text[0] = '\0'; /* rank 0 tells it */
    return rc;
}

int training_run(const struct training_options *options, struct error *err)
{
    struct training t = {.options = options, .start = clock_seconds(), .folder = -1};
    int rc;

    stop_may_end(EXIT_DONE, "softdiff-train: stopped before the first step: the run is as it was");
    rc = communicator_open(&t.communicator, err);
    if (rc < 0)
        return rc;
    rc = run(&t, err);

    progress_close(t.progress);
    free(t.batch);
    free(t.next);
    examples_destroy(t.examples);
    trainer_destroy(t.trainer);
    checkpoint_destroy(t.loaded);
    formulation_fini(&t.fitted);
    resume_close(t.resume);
    dataset_close(t.dataset);
    device_close(t.device);
    pool_destroy(t.pool);
    session_close_folder(&t);
    recipe_fini(&t.recipe);
    if (rc < 0 && t.communicator->broken && err)
        log_write(LOG_ERROR, "event=failed rank=%d reason=%s", t.communicator->rank,
                  LOG_TEXT(err->text));
    communicator_close(t.communicator);
    return rc;
}
