/* From the source of a restoration in the store to what leads the drawing of its images: read by the store's thread,
 * made on the pool. */
#include "server/batch_parts.h"

#include "engine/base/error.h"
#include "model/restoration.h"
#include "server/daemon.h"
#include "server/engine_model.h"
#include "server/models.h"
#include "server/restoration_source.h"

#include <errno.h>
#include <stdlib.h>

struct restoring {
    struct daemon *daemon;
    struct engine_model *model; /* held */
    struct sampling_choice sampling;
    struct response_restoration restored;
    void (*then)(void *arg, struct restoration *r,
                 const struct problem *problem); /* NULL: dropped */
    void *arg;
    uv_work_t work;
    uint8_t *source; /* owned */
    size_t source_bytes;
    struct restoration *restoration; /* owned until it is handed over */
    struct problem problem;
};

static void end(struct restoring *r)
{
    bool failed = r->problem.status != 0;

    if (r->then)
        r->then(r->arg, failed ? NULL : r->restoration, failed ? &r->problem : NULL);
    else
        restoration_destroy(r->restoration);
    models_release(r->daemon->models, r->model);
    r->daemon->n_preparing--;
    free(r->source);
    free(r);
}

static void make(uv_work_t *work)
{
    struct restoring *r = work->data;
    struct error error;
    int rc = restoration_source_make(r->source, r->source_bytes, r->model, &r->sampling,
                                     &r->restored, &r->restoration, &error);

    if (rc < 0)
        problem_set(&r->problem, rc == -ENOMEM ? 503 : 500, "%s", error.text);
}

static void on_made(uv_work_t *work, int status)
{
    end(work->data);
}

static void on_read(struct job_op *op)
{
    struct restoring *r = op->arg;

    if (op->rc == -ENOENT) {
        problem_set(&r->problem, 404, "the picture that was restored is not kept any more");
    } else if (op->rc < 0) {
        r->problem.retry_after_s = 1;
        problem_set(&r->problem, 503, "the store of jobs cannot be reached");
    }
    if (r->problem.status || !r->then) {
        end(r);
        return;
    }
    r->source = op->bytes;
    r->source_bytes = op->size;
    op->bytes = NULL;
    uv_queue_work(&r->daemon->loop, &r->work, make, on_made);
}

struct restoring *restoring_begin(
    struct batches *all, const struct job_record *record, struct engine_model *m,
    void (*then)(void *arg, struct restoration *r, const struct problem *problem), void *arg)
{
    struct restoring *r = calloc(1, sizeof(*r));
    struct job_op *op = job_op_create(JOB_SOURCE, on_read, r);

    if (!r || !op || sampler_parse(record->sampler, &r->sampling.sampler, NULL) < 0) {
        free(r);
        job_op_destroy(op);
        return NULL;
    }
    r->daemon = all->daemon;
    r->model = m;
    models_hold(m);
    r->sampling.nfe = record->nfe;
    r->restored = record->restored;
    r->then = then;
    r->arg = arg;
    r->work.data = r;
    r->daemon->n_preparing++;
    memcpy(op->record.id, record->id, sizeof(op->record.id));
    job_store_submit(all->store, op);
    return r;
}

void restoring_drop(struct restoring *r)
{
    if (r)
        r->then = NULL;
}
