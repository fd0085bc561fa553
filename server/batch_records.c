/* Batches and their records: what is written of them, and what is found. */
#include "server/batch_parts.h"

#include "engine/base/log.h"
#include "server/daemon.h"
#include "server/engine_model.h"
#include "server/exchange.h"
#include "server/keys.h"
#include "server/models.h"
#include "server/shared_bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void batch_submit(struct batch *b, struct job_op *op)
{
    b->n_ops++;
    b->n_writes += op->kind == JOB_CHANGE;
    op->arg = b;
    job_store_submit(b->all->store, op);
}

struct batch *batch_came_back(struct job_op *op)
{
    struct batch *b = op->arg;

    b->n_ops--;
    b->n_writes -= op->kind == JOB_CHANGE;
    return b;
}

/* Drawing it no more */

void batch_let_go(struct batch *b)
{
    batch_drop_piece(b);
    keys_leave(b->key, true);
    b->key = NULL;
    if (!b->held)
        return;
    b->held = false;
    b->all->n_held--;
    if (b->model)
        models_release(b->all->daemon->models, b->model);
    b->model = NULL;
    batches_claim_soon(b->all);
}

static void finish_end(struct batch *b)
{
    uint64_t begun_ns = b->begun_ns ? b->begun_ns : uv_hrtime();

    b->state = b->record.state;
    if (*b->record.webhook)
        webhooks_soon(b->all->webhooks);
    log_write(LOG_INFO, "event=job id=%s status=%s model=%s n=%d images=%d ms=%.0f", b->record.id,
              job_state_name(b->state), b->record.model, b->record.n, b->record.n_done,
              (double)(uv_hrtime() - begun_ns) / 1e6);
    batch_let_go(b);
    batch_tell_end(b);
}

/* What is found */

static void note_problem(struct batch *b)
{
    memset(&b->problem, 0, sizeof(b->problem));
    if (b->record.problem_status)
        problem_set(&b->problem, b->record.problem_status, "%s", b->record.problem);
}

static void copy_record(struct batch *b, const struct job_record *found)
{
    b->record = *found;
    b->state = found->state;
    b->n_stored = found->n_done;
    b->stored = true;
    b->ending = found->state >= JOB_COMPLETED;
    batch_describe_record(&b->record, &b->order);
    note_problem(b);
}

static bool is_mine(const struct batch *b, const struct job_record *r)
{
    return strcmp(r->holder, job_store_holder(b->all->store)) == 0;
}

void batch_learn(struct batch *b, const struct job_record *found)
{
    bool news = found->n_done != b->record.n_done || found->state != b->state;

    if (b->held && is_mine(b, found))
        return; /* nobody knows it better */
    if (b->held && found->state < JOB_COMPLETED) {
        b->all->n_leases_lost++;
        log_write(LOG_WARN, "event=job_lost id=%s images=%d", b->record.id, b->record.n_done);
    }
    copy_record(b, found);
    batch_let_go(b);
    if (b->state >= JOB_COMPLETED)
        batch_tell_end(b);
    else if (news)
        batch_tell_progress(b);
}

struct batch *batch_of_record(struct batches *all, const struct job_record *found)
{
    struct batch *b = batch_in_memory(all, found->id);

    if (b) {
        batch_learn(b, found);
        return b;
    }
    b = batch_create(all);
    if (b)
        copy_record(b, found);
    return b;
}

/* It was there, and is not found any more. */
static void lose(struct batch *b)
{
    struct job_record last = b->record;

    last.state = JOB_FAILED;
    last.holder[0] = '\0';
    last.problem_status = 500;
    snprintf(last.problem, sizeof(last.problem), "the job is not in the store any more");
    batch_learn(b, &last);
}

static void on_refreshed(struct job_op *op)
{
    struct batch *b = batch_came_back(op);

    if (op->rc == 0)
        batch_learn(b, op->found);
    else if (op->rc != -EIO)
        lose(b);
    batch_settle(b);
}

void batch_refresh(struct batch *b)
{
    struct job_op *op;

    if (b->n_ops > 0 || !b->stored)
        return; /* an answer is on its way */
    op = job_op_create(JOB_FIND, on_refreshed, NULL);
    if (!op)
        return;
    memcpy(op->record.id, b->record.id, sizeof(op->record.id));
    batch_submit(b, op);
}

/* What is written */

static void on_changed(struct job_op *op)
{
    struct batch *b = batch_came_back(op);

    if (op->rc == 0)
        b->n_stored = op->record.n_done;
    if (op->rc == 0 && op->record.state >= JOB_COMPLETED)
        finish_end(b);
    else if (op->rc == 0)
        batch_go_on(b);
    else if (op->rc == -ESTALE)
        batch_learn(b, op->found);
    else
        lose(b);
    batch_settle(b);
}

static struct job_op *change_of(struct batch *b)
{
    struct job_op *op = job_op_create(JOB_CHANGE, on_changed, NULL);

    if (op)
        op->record = b->record;
    return op;
}

void batch_write(struct batch *b, struct shared_bytes *const *pictures, int n_pictures)
{
    struct job_op *op = change_of(b);

    if (!op)
        return; /* less of it is known than is done */
    op->first = b->record.n_done - n_pictures;
    op->n_pictures = n_pictures;
    for (int i = 0; i < n_pictures; i++)
        op->pictures[i] = shared_bytes_hold(pictures[i]);
    batch_submit(b, op);
}

void batch_end(struct batch *b, enum job_state state, const struct problem *problem)
{
    struct job_record *r = &b->record;
    struct job_op *op;

    if (b->ending)
        return;
    batch_drop_piece(b);
    op = change_of(b);
    if (!op)
        return; /* tried again with the next look */
    b->ending = true;
    r->state = state;
    r->ended_s = (int64_t)time(NULL);
    if (problem) {
        r->problem_status = problem->status;
        snprintf(r->problem, sizeof(r->problem), "%s", problem->detail);
        b->problem = *problem;
    }
    op->record = *r;
    batch_submit(b, op);
}

static void on_cancelled(struct job_op *op)
{
    static const struct problem problem = {.status = 503,
                                           .retry_after_s = 1,
                                           .detail = "the store of jobs cannot be reached"};
    struct batch *b = batch_came_back(op);

    if (op->rc == 0) {
        b->record = *op->found;
        b->n_stored = b->record.n_done;
        batch_describe_record(&b->record, &b->order);
        finish_end(b);
    } else if (op->rc == -ESTALE) {
        batch_learn(b, op->found);
    } else if (op->rc == -ENOENT) {
        lose(b);
    } else { /* it goes on */
        b->ending = false;
        batch_tell_problem(b, &problem);
        batch_go_on(b);
    }
    batch_settle(b);
}

void batch_cancel(struct batch *b, struct exchange *x)
{
    struct job_op *op;

    if (!batch_wait(b, x, WAITS_FOR_END))
        return;
    if (b->state >= JOB_COMPLETED) {
        batch_tell_end(b);
        return;
    }
    if (b->ending)
        return;
    op = job_op_create(JOB_CANCEL, on_cancelled, NULL);
    if (!op) {
        static const struct problem problem = {.status = 503, .detail = "out of memory"};

        batch_tell_problem(b, &problem);
        return;
    }
    b->ending = true;
    batch_drop_piece(b);
    memcpy(op->record.id, b->record.id, sizeof(op->record.id));
    op->record.ended_s = (int64_t)time(NULL);
    batch_submit(b, op);
}

/* Taking up */

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
    if (!found || r->nfe > found->nfe_max ||
        sampler_parse(r->sampler, &sampling->sampler, NULL) < 0)
        return NULL;
    sampling->nfe = r->nfe;
    return found;
}

void batch_take_up(struct batch *b)
{
    static const struct problem problem =
        {.status = 500, .detail = "the job's model is not served any more, or not with its nfe"};

    if (b->held)
        return;
    b->held = true;
    b->all->n_held++;
    b->model = batch_find_model(b->all, &b->record, &b->sampling);
    b->key = keys_find(b->all->daemon->keys, b->record.owner);
    keys_stay(b->key);
    if (b->model) {
        models_hold(b->model);
        batch_go_on(b);
    } else if (job_store_is_shared(b->all->store)) {
        batch_let_go(b); /* others may serve it, when the lease has ended */
    } else {
        batch_end(b, JOB_FAILED, &problem);
    }
}
