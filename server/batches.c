/* The table of batches, and what of it is on the disk. */
#include "server/batches.h"

#include "api/problem.h"
#include "config/settings.h"
#include "engine/base/error.h"
#include "engine/base/log.h"
#include "server/batch_parts.h"
#include "server/daemon.h"
#include "server/drawing.h"
#include "server/engine_model.h"
#include "server/exchange.h"
#include "server/keys.h"
#include "server/models.h"
#include "server/selection.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum {
    LOOK_MS = 250,   /* between two looks at what waits, is old or needs a ping */
    PING_LOOKS = 60, /* every 15 s */
};

void batch_describe(const struct batch *b, struct job_status *out)
{
    const struct job_record *r = &b->record;
    int step = r->n_done * r->nfe + batch_piece_steps(b), steps = r->n * r->nfe;

    *out = (struct job_status){
        .state = b->state,
        .durable = b->all->store != NULL,
        .created_s = r->created_s,
        .order = b->order,
        .images_done = r->n_done,
        .step = step,
        .eta_ms = -1,
        .problem = b->problem.status ? &b->problem : NULL,
    };
    memcpy(out->id, r->id, sizeof(out->id));
    if (b->state == JOB_IN_PROGRESS && step > 0)
        out->eta_ms = (double)(uv_hrtime() - b->begun_ns) / 1e6 / step * (steps - step);
}

/* Ending */

static void finish_end(struct batch *b)
{
    struct engine_model *model = b->model;

    b->state = b->to_come;
    b->ended_ns = uv_hrtime();
    b->all->n_waiting--;
    b->all->n_ended++;
    log_write(LOG_INFO, "event=job id=%s status=%s model=%s n=%d images=%d ms=%.0f", b->record.id,
              job_state_name(b->state), b->record.model, b->record.n, b->record.n_done,
              b->begun_ns ? (double)(b->ended_ns - b->begun_ns) / 1e6 : 0.0);
    b->model = NULL;
    keys_leave(b->key, true);
    b->key = NULL;
    if (model)
        models_release(b->all->daemon->models, model);
    batch_tell_end(b);
}

/* What could not be written is in the log, and is done again with the next start. */
static void on_end_written(void *arg, int rc)
{
    finish_end(arg);
}

void batch_end(struct batch *b, enum job_state state, const struct problem *problem)
{
    struct job_record *r = &b->record;

    if (b->ending)
        return;
    b->ending = true;
    b->to_come = state;
    batch_drop_piece(b);
    if (problem) {
        b->problem = *problem;
        r->problem_status = problem->status;
        snprintf(r->problem, sizeof(r->problem), "%s", problem->detail);
    }
    r->state = state;
    r->ended_s = (int64_t)time(NULL);
    if (!b->all->store || job_store_write(b->all->store, r, on_end_written, b) < 0)
        finish_end(b);
}

void batch_write(struct batch *b)
{
    if (b->all->store)
        job_store_write(b->all->store, &b->record, NULL, NULL);
}

void batch_cancel(struct batch *b, struct exchange *x)
{
    if (!batch_wait(b, x, WAITS_FOR_END))
        return;
    if (b->state >= JOB_COMPLETED)
        batch_tell_end(b);
    else
        batch_end(b, JOB_CANCELLED, NULL);
}

/* Looking */

static void forget(struct batches *all, struct batch **link)
{
    struct batch *b = *link;

    batch_remember(all, &b->record);
    if (all->store)
        job_store_drop(all->store, b->record.id);
    *link = b->next;
    all->n_ended--;
    free(b);
}

static void forget_old(struct batches *all)
{
    uint64_t now_ns = uv_hrtime(), kept_ns = (uint64_t)BATCHES_KEPT_MS * 1000000;
    struct batch **link = &all->first;

    while (*link) {
        if ((*link)->state >= JOB_COMPLETED &&
            (all->n_ended > BATCHES_KEPT_MAX || now_ns - (*link)->ended_ns > kept_ns))
            forget(all, link);
        else
            link = &(*link)->next;
    }
}

static void on_look(uv_timer_t *timer)
{
    struct batches *all = timer->data;
    bool ping = ++all->looks % PING_LOOKS == 0;

    for (struct batch *b = all->first; b; b = b->next) {
        if (ping)
            batch_ping(b);
        batch_go_on(b);
    }
    forget_old(all);
    if (!all->first)
        uv_timer_stop(timer);
}

void batches_stop(struct batches *all)
{
    all->stopped = true;
    for (struct batch *b = all->first; b; b = b->next) {
        if (all->store)
            batch_tell_stop(b);
        else
            batch_go_on(b);
    }
}

bool batches_idle(const struct batches *all)
{
    return !all->store || job_store_idle(all->store);
}

/* Coming and being found */

static void make_id(char id[JOB_ID_BYTES])
{
    uint8_t bytes[(JOB_ID_BYTES - 1) / 2];

    if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
        snprintf((char *)bytes, sizeof(bytes), "%" PRIx64, uv_hrtime());
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(id + 2 * i, 3, "%02x", bytes[i]);
}

/* Puts it into the table. */
static void enter(struct batches *all, struct batch *b)
{
    struct batch **link = &all->first;

    while (*link)
        link = &(*link)->next;
    *link = b;
    all->n_waiting += b->state < JOB_COMPLETED;
    all->n_ended += b->state >= JOB_COMPLETED;
    uv_timer_start(all->timer, on_look, LOOK_MS, LOOK_MS);
}

void batch_describe_record(const struct job_record *r, struct samples_response *out)
{
    *out = (struct samples_response){
        .model = r->model,
        .checkpoint = r->checkpoint,
        .corruption = r->corruption,
        .sampler = r->sampler,
        .determinism = r->determinism,
        .nfe = r->nfe,
        .seed = r->seed,
        .n = r->n,
    };
}

static struct batch *create(struct batches *all, const struct selection *chosen, const char *key,
                            const char *body, struct key *owner)
{
    const struct samples_request *wanted = &chosen->request;
    const struct engine_model *m = chosen->model;
    struct batch *b = calloc(1, sizeof(*b));
    struct job_record *r;

    if (!b)
        return NULL;
    b->all = all;
    b->sampling = chosen->sampling;
    b->model = chosen->model;
    models_hold(b->model);
    r = &b->record;
    make_id(r->id);
    snprintf(r->owner, sizeof(r->owner), "%s", owner ? key_name(owner) : "");
    snprintf(r->key, sizeof(r->key), "%s", key ? key : "");
    snprintf(r->body, sizeof(r->body), "%s", body);
    snprintf(r->model, sizeof(r->model), "%s", m->name);
    snprintf(r->checkpoint, sizeof(r->checkpoint), "%s", m->digest);
    snprintf(r->corruption, sizeof(r->corruption), "%s", m->corruption);
    snprintf(r->sampler, sizeof(r->sampler), "%s", sampler_name(b->sampling.sampler));
    snprintf(r->determinism, sizeof(r->determinism), "%s", models_determinism(all->daemon->models));
    r->nfe = b->sampling.nfe;
    r->n = wanted->n;
    r->seed = wanted->has_seed ? wanted->seed : drawing_random_seed();
    r->created_s = (int64_t)time(NULL);
    batch_describe_record(&b->record, &b->order);
    return b;
}

static void on_taken_on(void *arg, int rc)
{
    static const struct problem problem = {.status = 503,
                                           .retry_after_s = 1,
                                           .detail = "the job could not be written to the disk"};
    struct batch *b = arg, **link = &b->all->first;

    if (rc == 0) {
        b->stored = true;
        batch_tell_beginning(b);
        batch_go_on(b);
        return;
    }
    batch_tell_problem(b, &problem);
    while (*link != b)
        link = &(*link)->next;
    *link = b->next;
    b->all->n_waiting--;
    models_release(b->all->daemon->models, b->model);
    keys_leave(b->key, true);
    free(b);
}

/* What is wrong with a new one, but for its selection. */
static int check_new(const struct batches *all, const char *key, const struct batch *same,
                     const char *body, struct problem *problem)
{
    if (key && strlen(key) >= JOB_RECORD_KEY_BYTES)
        return problem_set(problem, 422, "an Idempotency-Key has at most %d bytes",
                           JOB_RECORD_KEY_BYTES - 1);
    if (same && strcmp(same->record.body, body) != 0)
        return problem_set(problem, 422, "this Idempotency-Key was used with another body");
    if (!same && (all->n_waiting >= BATCHES_MAX || all->stopped)) {
        problem->retry_after_s = 1;
        return problem_set(problem, 503, "%d jobs wait, which is the most, or the daemon ends",
                           BATCHES_MAX);
    }
    return 0;
}

void batches_add(struct batches *all, const struct selection *chosen, const char *key,
                 const char *body, size_t body_size, struct exchange *x)
{
    struct batch *b = batch_find_again(all, key, exchange_key(x));
    struct problem problem = {0};
    char digest[DIGEST_TEXT];
    bool found = b != NULL;

    digest_of(body, body_size, digest);
    if (check_new(all, key, b, digest, &problem) == 0 && !b) {
        b = create(all, chosen, key, digest, exchange_key(x));
        if (!b)
            problem_set(&problem, 503, "out of memory");
    }
    if (b && !found && keys_charge(exchange_key(x), b->record.n, uv_hrtime(), &problem) < 0) {
        models_release(all->daemon->models, b->model);
        free(b);
    }
    if (problem.status) {
        exchange_drop_headers(x);
        exchange_respond_problem(x, &problem);
        return;
    }
    if (!found) {
        b->key = exchange_key(x);
        keys_stay(b->key);
        enter(all, b);
    }
    batch_wait(b, x, WAITS_FOR_BEGINNING);
    if (found && (b->stored || b->state >= JOB_COMPLETED))
        batch_tell_beginning(b);
    else if (!found && (!all->store || job_store_write(all->store, &b->record, on_taken_on, b) < 0))
        on_taken_on(b, all->store ? -ENOMEM : 0);
}

/* Beginning and end */

struct engine_model *batch_find_model(const struct batches *all, const struct job_record *r,
                                      struct sampling_choice *sampling)
{
    const struct models *models = all->daemon->models;
    struct engine_model *m, *found = NULL;

    for (int i = 0; i < models_count(models); i++) {
        m = models_at(models, i);
        if (strcmp(m->digest, r->checkpoint) == 0 && (!found || strcmp(m->name, r->model) == 0))
            found = m;
    }
    if (!found || r->nfe > all->daemon->settings->max_nfe ||
        sampler_parse(r->sampler, &sampling->sampler, NULL) < 0)
        return NULL;
    sampling->nfe = r->nfe;
    return found;
}

static void resume(struct batch *b)
{
    static const struct problem problem =
        {.status = 500, .detail = "the job's model is not served any more, or not with its nfe"};
    const char *id = models_determinism(b->all->daemon->models);
    struct job_record *r = &b->record;

    b->model = batch_find_model(b->all, r, &b->sampling);
    if (!b->model) {
        batch_end(b, JOB_FAILED, &problem);
        return;
    }
    models_hold(b->model);
    b->key = keys_find(b->all->daemon->keys, r->owner);
    keys_stay(b->key);
    if (strcmp(r->determinism, id) != 0) { /* one set of bytes: from the beginning */
        snprintf(r->determinism, sizeof(r->determinism), "%s", id);
        r->n_done = 0;
        batch_write(b);
    }
    batch_go_on(b);
}

static void on_record(void *arg, const struct job_record *record)
{
    struct batches *all = arg;
    struct batch *b = calloc(1, sizeof(*b));
    int64_t age_s = (int64_t)time(NULL) - record->ended_s;

    if (!b)
        return; /* it stays on the disk */
    b->all = all;
    b->record = *record;
    b->stored = true;
    b->state = record->state;
    b->ending = record->state >= JOB_COMPLETED;
    if (b->ending && age_s > 0) /* as old as it is */
        b->ended_ns = uv_hrtime() -
                      (uint64_t)(age_s < BATCHES_KEPT_MS / 1000 ? age_s : BATCHES_KEPT_MS / 1000) *
                          1000000000;
    else
        b->ended_ns = uv_hrtime();
    if (record->problem_status)
        problem_set(&b->problem, record->problem_status, "%s", record->problem);
    batch_describe_record(&b->record, &b->order);
    enter(all, b);
}

int batches_begin(struct batches *all, struct error *err)
{
    int rc;

    if (!all->store)
        return 0;
    rc = job_store_read(all->store, on_record, all, err);
    for (struct batch *b = all->first; b && rc == 0; b = b->next)
        if (!b->ending)
            resume(b);
    return rc;
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle);
}

int batches_create(struct daemon *d, struct batches **out, struct error *err)
{
    struct batches *all = calloc(1, sizeof(*all));
    int rc = 0;

    if (all)
        all->timer = malloc(sizeof(*all->timer));
    if (!all || !all->timer)
        rc = error_set(err, -ENOMEM, "out of memory");
    if (rc == 0 && *d->settings->state_dir)
        rc = job_store_open(&d->loop, d->settings->state_dir, &all->store, err);
    if (rc < 0) {
        if (all)
            free(all->timer);
        free(all);
        return rc;
    }
    all->daemon = d;
    uv_timer_init(&d->loop, all->timer);
    all->timer->data = all;
    *out = all;
    return 0;
}

void batches_destroy(struct batches *all)
{
    struct batch *next;

    if (!all)
        return;
    for (struct batch *b = all->first; b; b = next) {
        next = b->next;
        free(b);
    }
    job_store_close(all->store);
    uv_close((uv_handle_t *)all->timer, on_timer_closed);
    free(all);
}
