/* The first half of a step: a batch, run in parts, and how much of it each time counts.
 *
 * While the device computes a part, the inputs of the next one are written into the other inbox of the
 * executor: it waits for them only before the first step, and where reading them takes longer than
 * computing.
 */
#include "engine/base/clock.h"
#include "engine/base/error.h"
#include "engine/base/watch.h"
#include "engine/communicator/communicator.h"
#include "engine/executor.h"
#include "engine/parameters.h"
#include "engine/state.h"
#include "tools/pictures/dataset.h"
#include "tools/train/augmentation.h"
#include "tools/train/examples.h"
#include "tools/train/trainer_parts.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A run that is over so soon after its successor was written may have been over before. */
#define AT_ONCE_MS 0.05

/* The loss that a time is measured by, between the table's times on a logarithmic scale. */
static double balance_at(const struct trainer *t, double time)
{
    double place = time * (BALANCE_TIMES - 1);
    int i = place < BALANCE_TIMES - 1 ? (int)place : BALANCE_TIMES - 2;

    return t->balance[i] * pow(t->balance[i + 1] / t->balance[i], place - i);
}

/* Images [first, first + t->part) of a batch. Adds the time that it takes. */
static int write_part(struct trainer *t, const struct dataset *d, const struct example *examples,
                      int first, double *ms, struct error *err)
{
    double start = clock_seconds();
    int rc = 0;

    for (int i = 0; i < t->part && rc == 0; i++) {
        const struct example *e = &examples[first + i];
        bool labelled = d->labels && !e->unlabelled;
        float *x0 = executor_row(t->executor, t->objective.x0, i);
        struct augmentation a;

        augmentation_draw(t->augment, &e->key, d->side, &a);
        rc = dataset_image(d, e->image, e->mirrored, a.any ? t->image : x0, err);
        if (rc == 0 && a.any)
            augmentation_apply(&a, d->side, 3, t->image, x0);
        objective_write_row(&t->objective, t->formulation, t->executor, i,
                            &(struct objective_row){.t = e->t,
                                                    .ahead = e->ahead,
                                                    .dloss = 1 / (balance_at(t, e->t) * t->batch),
                                                    .label = labelled ? d->labels[e->image] : 0,
                                                    .augment = a.told,
                                                    .key = e->key});
    }
    *ms += 1e3 * (clock_seconds() - start);
    return rc;
}

int trainer_run_part(struct trainer *t, const struct dataset *d, const struct example *examples,
                     int first, bool is_written, const struct example *next, int next_first,
                     struct trainer_report *report, struct error *err)
{
    double before = 0, beside = 0, start, waiting;
    int rc = is_written ? 0 : write_part(t, d, examples, first, &before, err), waited;

    start = clock_seconds();
    if (rc == 0)
        rc = executor_start(t->executor, t->part, FETCH_ALL, NULL, err);
    if (rc < 0)
        return rc;
    if (next)
        rc = write_part(t, d, next, next_first, &beside, err);
    waiting = clock_seconds();
    waited = executor_wait(t->executor, rc < 0 ? NULL : err);
    rc = rc < 0 ? rc : waited;
    if (rc == 0)
        rc = executor_read(t->executor, t->objective.loss, 0, t->part, t->losses + first, err);
    report->batch_ms += before + beside;
    report->run_ms += 1e3 * (clock_seconds() - start);
    report->idle_ms += before + (1e3 * (clock_seconds() - waiting) < AT_ONCE_MS ? beside : 0);
    return rc;
}

int trainer_run_batch(struct trainer *t, const struct dataset *d, const struct example *examples,
                      const struct example *next, uint64_t step, struct trainer_report *report,
                      struct error *err)
{
    int first = t->communicator->rank * t->share, rc = 0;
    bool written = t->written == step + 1;

    t->written = 0;
    for (int done = 0; done < t->share && rc == 0; done += t->part) {
        bool last = done + t->part == t->share;

        rc = trainer_run_part(t, d, examples, first + done, written, last ? next : examples,
                              last ? first : first + done + t->part, report, err);
        written = !last;
    }
    if (rc == 0 && next)
        t->written = step + 2;
    rc = communicator_agree(t->communicator, rc, err);
    if (rc == 0)
        rc = communicator_gather(t->communicator, t->losses, (size_t)t->share * sizeof(float), err);
    for (int i = 0; i < t->batch && rc == 0; i++)
        report->loss += (double)t->losses[i] / t->batch;
    return rc;
}

/* Fills the table with the losses of the network as it is. */
static int measure_balance(struct trainer *t, const struct dataset *d, uint64_t seed,
                           const struct watch *watch, struct error *err)
{
    struct example *examples = calloc((size_t)t->batch, sizeof(*examples));
    double measured[BALANCE_TIMES] = {0};
    struct trainer_report report = {0};
    int rc = examples ? 0 : error_set(err, -ENOMEM, "out of memory to balance the losses");

    for (int k = 0; rc == 0 && k < BALANCE_TIMES; k++) {
        for (int i = 0; i < t->batch; i++) {
            uint32_t number = (uint32_t)(k * t->batch + i);

            examples[i].image = (int)(number % (uint32_t)d->n);
            examples[i].t = fmax((double)k / (BALANCE_TIMES - 1), 1e-5);
            examples[i].ahead = t->look_ahead * (i + 0.5) / t->batch;
            examples[i].key = philox_key(seed, number, UINT32_MAX);
        }
        rc = watch_stop(watch) ? error_set(err, -ECANCELED, "stopped balancing the losses") : 0;
        for (int first = 0; first < t->batch && rc == 0; first += t->part)
            rc = trainer_run_part(t, d, examples, first, false, NULL, 0, &report, err);
        watch_progress(watch, "balancing losses", k + 1, BALANCE_TIMES);
        for (int i = 0; rc == 0 && i < t->batch; i++)
            measured[k] += (double)t->losses[i] / t->batch;
        if (k > 0 && measured[k] == 0) /* nothing is left to see, and to lose */
            measured[k] = measured[k - 1];
        if (rc == 0 && !(isfinite(measured[k]) && measured[k] > 0))
            rc = error_set(err, -EIO, "an untrained network has a loss of %g", measured[k]);
    }
    if (rc == 0)
        memcpy(t->balance, measured, sizeof(measured));
    free(examples);
    return rc < 0 ? rc : state_clear(t->state, UPDATE_GRADIENT, err);
}

int trainer_balance(struct trainer *t, const struct dataset *d, uint64_t seed,
                    const struct watch *watch, struct error *err)
{
    /* The last convolution, whose weight and bias are declared last, makes F. */
    size_t first = parameters_offset(t->parameters, parameters_n(t->parameters) - 2);
    size_t n = trainer_count(t);
    float *kept = malloc(2 * n * sizeof(*kept)), *silent;
    int rc;

    if (!kept)
        return error_set(err, -ENOMEM, "out of memory to balance the losses");
    silent = kept + n;
    rc = parameters_read(t->parameters, kept, err);
    if (rc == 0) {
        memcpy(silent, kept, first * sizeof(*kept));
        memset(silent + first, 0, (n - first) * sizeof(*kept));
        rc = parameters_load(t->parameters, silent, err);
    }
    if (rc == 0)
        rc = measure_balance(t, d, seed, watch, err);
    if (rc == 0)
        rc = parameters_load(t->parameters, kept, err);
    free(kept);
    return rc;
}
