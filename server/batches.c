/* The table of batches, and what is done every now and then. */
#include "server/batches.h"

#include "config/settings.h"
#include "engine/base/error.h"
#include "model/restoration.h"
#include "server/batch_parts.h"
#include "server/daemon.h"
#include "server/engine_model.h"
#include "server/models.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOOK_MS = 250,     /* between two looks at what waits, is old or needs a ping */
    PING_LOOKS = 60,   /* every 15 s */
    REFRESH_LOOKS = 4, /* what others draw, should their word not have come */
    SWEEP_LOOKS = 8,
    HOLDS = 3, /* in a lease */
};

static void describe_webhook(const struct job_record *r, struct job_webhook *out)
{
    if (*r->webhook)
        *out = (struct job_webhook){.url = r->webhook,
                                    .status = r->webhook_ms == WEBHOOK_DELIVERED  ? "delivered"
                                              : r->webhook_ms == WEBHOOK_GIVEN_UP ? "given_up"
                                                                                  : "waiting",
                                    .tries = r->webhook_tries,
                                    .last_status = r->webhook_status};
}

void batch_describe_stored(const struct batches *all, const struct job_record *r,
                           struct problem *problem, struct job_status *out)
{
    memset(problem, 0, sizeof(*problem));
    if (r->problem_status)
        problem_set(problem, r->problem_status, "%s", r->problem);
    *out = (struct job_status){
        .state = r->state,
        .durable = all->durable,
        .created_s = r->created_s,
        .images_done = r->n_done,
        .step = r->n_done * r->nfe,
        .eta_ms = -1,
        .problem = r->problem_status ? problem : NULL,
    };
    memcpy(out->id, r->id, sizeof(out->id));
    batch_describe_record(r, &out->order);
    describe_webhook(r, &out->webhook);
}

void batch_describe(const struct batch *b, struct job_status *out)
{
    const struct job_record *r = &b->record;
    int step = r->n_done * r->nfe + batch_piece_steps(b), steps = r->n * r->nfe;

    *out = (struct job_status){
        .state = b->state,
        .durable = b->all->durable,
        .created_s = r->created_s,
        .order = b->order,
        .images_done = b->n_stored,
        .step = step,
        .eta_ms = -1,
        .problem = b->problem.status ? &b->problem : NULL,
    };
    memcpy(out->id, r->id, sizeof(out->id));
    describe_webhook(r, &out->webhook);
    if (b->state == JOB_IN_PROGRESS && step > 0 && b->begun_ns)
        out->eta_ms = (double)(uv_hrtime() - b->begun_ns) / 1e6 / step * (steps - step);
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
        .seed_b = r->seed_b,
        .mix = r->mix,
        .label = r->label,
        .guidance = r->guidance,
        .n = r->n,
        .restoration = r->restored.degradation ? &r->restored : NULL,
    };
}

/* The table */

struct batch *batch_in_memory(const struct batches *all, const char *id)
{
    struct batch *b = all->first;

    while (b && strcmp(b->record.id, id) != 0)
        b = b->next;
    return b;
}

struct batch *batch_create(struct batches *all)
{
    struct batch *b = calloc(1, sizeof(*b)), **link = &all->first;

    if (!b)
        return NULL;
    b->all = all;
    while (*link)
        link = &(*link)->next;
    *link = b;
    return b;
}

void batch_settle(struct batch *b)
{
    struct batch **link = &b->all->first;

    if (b->held || b->waiters || b->n_ops > 0)
        return;
    while (*link != b)
        link = &(*link)->next;
    *link = b->next;
    free(b);
}

/* Looking */

/* The digests of all models; malloc'ed, NULL without memory. */
static char *list_checkpoints(const struct batches *all)
{
    const struct models *models = all->daemon->models;
    int n = models_count(models);
    char *text = calloc((size_t)n + 1, DIGEST_TEXT + 1), *end = text;

    for (int i = 0; i < n && text; i++)
        end += sprintf(end, "%s ", models_at(models, i)->digest);
    return text;
}

/* What was claimed; without memory with the next look, as the store gives it to nobody else now. */
static void take_up(struct batches *all)
{
    struct batch *b;

    for (; all->claimed.i < all->claimed.n; all->claimed.i++) {
        b = batch_of_record(all, &all->claimed.records[all->claimed.i]);
        if (!b)
            return;
        batch_take_up(b);
        batch_settle(b);
    }
}

static void on_claimed(struct job_op *op)
{
    struct batches *all = op->arg;

    all->claims = false;
    if (op->rc < 0) { /* they are not taken: what was found was undone */
        all->wants_claim = true;
        return;
    }
    free(all->claimed.records);
    all->claimed.records = op->found;
    all->claimed.n = op->n_found;
    all->claimed.i = 0;
    op->found = NULL;
    if (op->n_found == op->most) /* there may be more */
        all->wants_claim = true;
    take_up(all);
}

static void claim(struct batches *all)
{
    bool shared = job_store_is_shared(all->store);
    struct job_op *op;

    if (all->claims || all->claimed.i < all->claimed.n || all->stopped || !all->begun ||
        all->n_held >= BATCHES_HELD_MAX)
        return;
    all->wants_claim = true; /* until it is handed over */
    op = job_op_create(JOB_CLAIM, on_claimed, all);
    if (op)
        op->checkpoints = shared ? list_checkpoints(all) : strdup("*");
    if (!op || !op->checkpoints) {
        job_op_destroy(op);
        return;
    }
    op->most = shared ? 1 : BATCHES_HELD_MAX - all->n_held; /* the others may be idle */
    op->record.nfe = shared ? all->daemon->settings->max_nfe : INT32_MAX;
    snprintf(op->record.determinism, sizeof(op->record.determinism), "%s",
             models_determinism(all->daemon->models));
    all->claims = true;
    all->wants_claim = false;
    job_store_submit(all->store, op);
}

/* Who draws nothing takes up what there is at once, who does waits a moment for others to do so. */
void batches_claim_soon(struct batches *all)
{
    all->wants_claim = true;
    if (all->n_held == 0)
        claim(all);
}

static void on_swept(struct job_op *op)
{
    struct batches *all = op->arg;

    all->sweeps = false;
    if (op->rc == 0)
        webhooks_count_given_up(all->webhooks, op->given_up);
}

static void sweep(struct batches *all)
{
    struct job_op *op = all->sweeps ? NULL : job_op_create(JOB_SWEEP, on_swept, all);

    if (!op)
        return;
    all->sweeps = true;
    job_store_submit(all->store, op);
}

/* What is not among those that it holds has been taken up by another, or ended. */
static void on_held(struct job_op *op)
{
    struct batches *all = op->arg;
    int i;

    all->holds = false;
    for (struct batch *b = all->first; b && op->rc == 0; b = b->next) {
        for (i = 0; i < op->n_found && strcmp(op->found[i].id, b->record.id) != 0; i++)
            ;
        if (b->held && i == op->n_found)
            batch_refresh(b);
    }
}

static void hold(struct batches *all)
{
    struct job_op *op = all->holds ? NULL : job_op_create(JOB_HOLD, on_held, all);

    if (op)
        op->checkpoints = list_checkpoints(all);
    if (!op || !op->checkpoints) {
        job_op_destroy(op);
        return;
    }
    all->holds = true;
    job_store_submit(all->store, op);
}

static void on_news(void *arg, const char *id)
{
    struct batches *all = arg;
    struct batch *b = *id ? batch_in_memory(all, id) : NULL;

    if (b)
        batch_refresh(b);
    if (!*id)
        batches_claim_soon(all);
}

static void look_at_store(struct batches *all)
{
    int lease_looks = all->daemon->settings->job_lease_ms / LOOK_MS / HOLDS;

    if (all->looks % SWEEP_LOOKS == 0)
        sweep(all);
    take_up(all);
    if (all->wants_claim)
        claim(all);
    if (!job_store_is_shared(all->store) || !all->begun)
        return;
    if (all->looks % REFRESH_LOOKS == 0)
        claim(all);
    if (!all->released && all->looks % (lease_looks > 1 ? lease_looks : 1) == 0)
        hold(all);
}

static void on_look(uv_timer_t *timer)
{
    struct batches *all = timer->data;
    bool ping = ++all->looks % PING_LOOKS == 0;
    struct batch *next;

    for (struct batch *b = all->first; b; b = next) {
        next = b->next;
        if (ping)
            batch_ping(b);
        if (b->held)
            batch_go_on(b);
        else if (all->looks % REFRESH_LOOKS == 0)
            batch_refresh(b);
    }
    look_at_store(all);
    webhooks_look(all->webhooks);
}

/* Beginning and end */

void batches_begin(struct batches *all)
{
    all->begun = true;
    if (job_store_is_shared(all->store))
        hold(all);
    claim(all);
}

void batches_stop(struct batches *all)
{
    struct batch *next;

    all->stopped = true;
    for (struct batch *b = all->first; b; b = next) {
        next = b->next;
        if (all->durable)
            batch_tell_stop(b);
        else if (b->held)
            batch_go_on(b);
        batch_settle(b);
    }
}

static void on_released(struct job_op *op)
{
}

/* What others draw from now on. */
static bool release(struct batches *all)
{
    struct job_op *op;

    if (all->released || !all->stopped || !job_store_is_shared(all->store))
        return false;
    op = job_op_create(JOB_RELEASE, on_released, all);
    if (op)
        job_store_submit(all->store, op);
    all->released = true;
    return true;
}

bool batches_idle(struct batches *all)
{
    return !release(all) && webhooks_idle(all->webhooks) && job_store_idle(all->store);
}

void batches_stats(const struct batches *all, struct batches_stats *out)
{
    struct webhooks_stats webhooks;

    job_store_stats(all->store, &out->store);
    out->held = all->n_held;
    out->leases_lost = all->n_leases_lost;
    webhooks_stats(all->webhooks, &webhooks);
    out->webhooks_delivered = webhooks.delivered;
    out->webhooks_failed = webhooks.failed;
    out->webhooks_given_up = webhooks.given_up;
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle);
}

int batches_create(struct daemon *d, struct batches **out, struct error *err)
{
    const struct settings *s = d->settings;
    struct batches *all = calloc(1, sizeof(*all));
    struct job_store_options options = {
        .loop = &d->loop,
        .folder = s->state_dir,
        .url = s->job_store,
        .lease_ms = s->job_lease_ms,
        .kept_ms = s->keep_jobs_ms,
        .picture_bytes_max = s->keep_results_bytes,
        .source_bytes_max = s->keep_sources_bytes,
        .waiting_max = s->max_jobs,
        .webhook_ms = s->webhook_give_up_ms,
        .news = on_news,
        .arg = all,
    };
    int rc = 0;

    if (all)
        all->timer = malloc(sizeof(*all->timer));
    if (!all || !all->timer)
        rc = error_set(err, -ENOMEM, "out of memory");
    if (rc == 0)
        rc = job_store_open(&options, &all->store, err);
    if (rc == 0) {
        all->daemon = d;
        rc = webhooks_create(all, &all->webhooks, err);
    }
    if (rc < 0) {
        if (all) {
            job_store_close(all->store);
            free(all->timer);
        }
        free(all);
        return rc;
    }
    all->durable = *s->job_store || *s->state_dir;
    uv_timer_init(&d->loop, all->timer);
    all->timer->data = all;
    uv_timer_start(all->timer, on_look, LOOK_MS, LOOK_MS);
    *out = all;
    return 0;
}

void batches_destroy(struct batches *all)
{
    struct batch *next;

    if (!all)
        return;
    webhooks_destroy(all->webhooks);
    job_store_close(all->store);
    for (struct batch *b = all->first; b; b = next) {
        next = b->next;
        restoration_destroy(b->restoration);
        free(b);
    }
    uv_close((uv_handle_t *)all->timer, on_timer_closed);
    free(all->claimed.records);
    free(all);
}
