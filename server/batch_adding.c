/* How batches come: written to the store first, then told to be taken on. */
#include "server/batch_parts.h"

#include "api/problem.h"
#include "config/settings.h"
#include "server/admission.h"
#include "server/daemon.h"
#include "server/drawing.h"
#include "server/engine_model.h"
#include "server/exchange.h"
#include "server/keys.h"
#include "server/models.h"
#include "server/selection.h"
#include "server/shared_bytes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static void make_id(char id[JOB_ID_BYTES])
{
    uint8_t bytes[(JOB_ID_BYTES - 1) / 2];

    if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
        snprintf((char *)bytes, sizeof(bytes), "%" PRIx64, uv_hrtime());
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(id + 2 * i, 3, "%02x", bytes[i]);
}

static void fill_record(struct job_record *r, const struct selection *chosen, const char *key,
                        const char *body, const struct key *owner)
{
    const struct samples_request *wanted = &chosen->request;
    const struct engine_model *m = chosen->model;
    struct drawing_order seeds;

    make_id(r->id);
    snprintf(r->owner, sizeof(r->owner), "%s", owner ? key_name(owner) : "");
    snprintf(r->key, sizeof(r->key), "%s", key ? key : "");
    snprintf(r->body, sizeof(r->body), "%s", body);
    snprintf(r->model, sizeof(r->model), "%s", m->name);
    snprintf(r->webhook, sizeof(r->webhook), "%s", wanted->webhook);
    snprintf(r->checkpoint, sizeof(r->checkpoint), "%s", m->digest);
    snprintf(r->corruption, sizeof(r->corruption), "%s", m->corruption);
    snprintf(r->sampler, sizeof(r->sampler), "%s", sampler_name(chosen->sampling.sampler));
    r->nfe = chosen->sampling.nfe;
    r->label = chosen->label;
    r->guidance = chosen->guidance;
    r->n = wanted->n;
    drawing_order_seeds(&seeds, wanted->has_seed ? wanted->seed : drawing_random_seed(),
                        wanted->seed_b, wanted->mix);
    r->seed = seeds.seed;
    r->seed_b = seeds.seed_b;
    r->mix = seeds.mix;
    if (chosen->source) {
        r->restored = *chosen->restored;
        r->source_bytes = (int64_t)chosen->source->size;
    }
    r->created_s = (int64_t)time(NULL);
}

/* Held from the beginning where it can be drawn at once: with others only by one that draws nothing. */
static struct batch *create(struct batches *all, const struct selection *chosen, const char *key,
                            const char *body, const struct key *owner)
{
    int most = job_store_is_shared(all->store) ? 1 : BATCHES_HELD_MAX;
    struct batch *b = batch_create(all);
    struct job_record *r;

    if (!b)
        return NULL;
    r = &b->record;
    fill_record(r, chosen, key, body, owner);
    snprintf(r->determinism, sizeof(r->determinism), "%s", models_determinism(all->daemon->models));
    batch_describe_record(r, &b->order);
    b->held = all->n_held < most;
    if (b->held) {
        all->n_held++;
        b->sampling = chosen->sampling;
        b->model = chosen->model;
        models_hold(b->model);
        snprintf(r->holder, sizeof(r->holder), "%s", job_store_holder(all->store));
    }
    return b;
}

/* Until one of those that are drawn here has ended; 0: it is not known. */
static double first_end_s(const struct batches *all)
{
    struct job_status status;
    double least_ms = 0;

    for (const struct batch *b = all->first; b; b = b->next) {
        if (b->state != JOB_IN_PROGRESS)
            continue;
        batch_describe(b, &status);
        if (status.eta_ms > 0 && (least_ms == 0 || status.eta_ms < least_ms))
            least_ms = status.eta_ms;
    }
    return 1e-3 * least_ms;
}

static void refuse(struct batch *b, int rc)
{
    struct problem problem = {.retry_after_s = 1};

    if (rc == -ENOSPC)
        problem.retry_after_s = admission_retry_in_s(first_end_s(b->all));
    if (rc == -ENOSPC)
        problem_set(&problem, 503, "as many jobs wait%s as may",
                    b->record.source_bytes > 0 ? ", or as many pictures to be restored," : "");
    else
        problem_set(&problem, 503, "the job could not be written to the store");
    batch_tell_problem(b, &problem);
}

/* A job of the same key and body is the same job. */
static void answer_same(struct batch *b, const struct job_record *found)
{
    struct problem problem = {0};
    struct batch *same;

    if (strcmp(found->body, b->record.body) != 0) {
        problem_set(&problem, 422, "this Idempotency-Key was used with another body");
        batch_tell_problem(b, &problem);
        return;
    }
    same = batch_of_record(b->all, found);
    if (!same) {
        problem_set(&problem, 503, "out of memory");
        batch_tell_problem(b, &problem);
        return;
    }
    batch_tell_beginning(b, same);
    batch_settle(same);
}

static void on_added(struct job_op *op)
{
    struct batch *b = batch_came_back(op);

    if (op->rc == 0) {
        b->stored = true;
        batch_tell_beginning(b, b);
        if (b->held)
            batch_go_on(b);
        else
            batch_let_go(b); /* whoever takes it up counts it for its key */
    } else {
        keys_refund(b->key, b->record.n);
        if (op->rc == -EEXIST)
            answer_same(b, op->found);
        else
            refuse(b, op->rc);
        batch_let_go(b);
    }
    batch_settle(b);
}

/* What is wrong with a new one, but for its selection. */
static int check_new(const struct batches *all, const char *key, struct problem *problem)
{
    if (key && strlen(key) >= JOB_RECORD_KEY_BYTES)
        return problem_set(problem, 422, "an Idempotency-Key has at most %d bytes",
                           JOB_RECORD_KEY_BYTES - 1);
    if (all->stopped) {
        problem->retry_after_s = 1;
        return problem_set(problem, 503, "the daemon ends");
    }
    return 0;
}

static void on_same(struct job_op *op)
{
    struct batch *b = batch_came_back(op);

    if (op->rc == 0)
        answer_same(b, op->found);
    else
        batch_tell_problem(b, &b->problem);
    batch_settle(b);
}

/* Whoever may begin no more may all the same ask again for what was begun. */
static void look_for_same(struct batch *b)
{
    struct job_op *op = *b->record.key ? job_op_create(JOB_FIND, on_same, NULL) : NULL;

    batch_let_go(b);
    if (!op) {
        batch_tell_problem(b, &b->problem);
        batch_settle(b);
        return;
    }
    memcpy(op->record.owner, b->record.owner, sizeof(op->record.owner));
    memcpy(op->record.key, b->record.key, sizeof(op->record.key));
    batch_submit(b, op);
}

static void submit(struct batch *b, struct shared_bytes *source, struct exchange *x)
{
    struct job_op *op;

    if (!batch_wait(b, x, WAITS_FOR_BEGINNING)) {
        batch_let_go(b);
        batch_settle(b);
        return;
    }
    if (keys_charge(exchange_key(x), b->record.n, uv_hrtime(), &b->problem) < 0) {
        look_for_same(b);
        return;
    }
    b->key = exchange_key(x);
    keys_stay(b->key);
    op = job_op_create(JOB_ADD, on_added, NULL);
    if (!op) {
        keys_refund(b->key, b->record.n);
        refuse(b, -ENOMEM);
        batch_let_go(b);
        batch_settle(b);
        return;
    }
    op->record = b->record;
    if (source)
        op->pictures[op->n_pictures++] = shared_bytes_hold(source);
    batch_submit(b, op);
}

bool batches_draw(const struct batches *all, const char *key, const char *body,
                  const struct key *owner)
{
    const char *name = owner ? key_name(owner) : "";

    for (const struct batch *b = all->first; b; b = b->next)
        if (b->stored && b->state < JOB_COMPLETED && strcmp(b->record.key, key) == 0 &&
            strcmp(b->record.body, body) == 0 && strcmp(b->record.owner, name) == 0)
            return true;
    return false;
}

void batches_add(struct batches *all, const struct selection *chosen, const char *key,
                 const char *body, struct exchange *x)
{
    struct problem problem = {0};
    struct batch *b = NULL;

    if (check_new(all, key, &problem) == 0) {
        b = create(all, chosen, key, body, exchange_key(x));
        if (!b)
            problem_set(&problem, 503, "out of memory");
    }
    if (b) {
        submit(b, chosen->source, x);
        return;
    }
    exchange_drop_headers(x);
    exchange_respond_problem(x, &problem);
}
