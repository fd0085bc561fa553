/* Finding batches for who asks: in memory what is drawn here, else in the store. Who came with a key sees those
 * that it began and no others, nor that there are others. Where the daemon has no keys, everybody sees all. */
#include "server/batch_parts.h"

#include "api/job_status.h"
#include "server/daemon.h"
#include "server/exchange.h"
#include "server/keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct problem no_memory = {.status = 503, .detail = "out of memory"};
static const struct problem not_there = {.status = 404, .detail = "there is no such job"};
static const struct problem gone = {.status = 410, .detail = "this job has ended long ago"};
static const struct problem out_of_reach = {.status = 503,
                                            .retry_after_s = 1,
                                            .detail = "the store of jobs cannot be reached"};

struct lookup {
    struct batches *all;
    struct exchange *exchange; /* NULL: it has gone */
    void (*then)(struct batch *b, struct exchange *x);
};

static void on_gone(void *arg)
{
    struct lookup *l = arg;

    l->exchange = NULL;
}

/* Hands it over; without memory all is freed and answered. */
static void submit(struct batches *all, struct lookup *l, struct job_op *op, struct exchange *x)
{
    if (!l || !op) {
        free(l);
        job_op_destroy(op);
        exchange_respond_problem(x, &no_memory);
        return;
    }
    l->all = all;
    l->exchange = x;
    op->arg = l;
    exchange_on_gone(x, on_gone, l);
    job_store_submit(all->store, op);
}

/* Whose jobs the exchange may see; "": all. */
static const char *reader(const struct exchange *x)
{
    const struct key *key = exchange_key(x);

    return key ? key_name(key) : "";
}

static bool may_see(const struct exchange *x, const struct job_record *r)
{
    const char *name = reader(x);

    return !*name || strcmp(name, r->owner) == 0;
}

/* The exchange that still waits, or NULL. */
static struct exchange *waiting(const struct lookup *l)
{
    if (l->exchange)
        exchange_on_gone(l->exchange, NULL, NULL);
    return l->exchange;
}

static void on_found(struct job_op *op)
{
    struct lookup *l = op->arg;
    struct exchange *x = waiting(l);
    struct batch *b = NULL;

    if (x && op->rc == 0 && !may_see(x, op->found))
        op->rc = -ENOENT;
    if (x && op->rc == 0)
        b = batch_of_record(l->all, op->found);
    if (b) {
        l->then(b, x);
        batch_settle(b);
    } else if (x) {
        exchange_respond_problem(x, op->rc == 0         ? &no_memory
                                    : op->rc == -ENOENT ? &not_there
                                    : op->rc == -ESTALE ? &gone
                                                        : &out_of_reach);
    }
    free(l);
}

void batches_find(struct batches *all, const char *id, struct exchange *x,
                  void (*then)(struct batch *b, struct exchange *x))
{
    struct batch *b = batch_in_memory(all, id);
    struct lookup *l;
    struct job_op *op;

    if (b && b->held && b->stored && may_see(x, &b->record)) {
        then(b, x);
        return;
    }
    if (strlen(id) != JOB_ID_BYTES - 1 || strspn(id, "0123456789abcdef") != JOB_ID_BYTES - 1) {
        exchange_respond_problem(x, &not_there);
        return;
    }
    l = calloc(1, sizeof(*l));
    op = job_op_create(JOB_FIND, on_found, l);
    if (l)
        l->then = then;
    if (op) {
        memcpy(op->record.id, id, sizeof(op->record.id));
        snprintf(op->record.owner, sizeof(op->record.owner), "%s", reader(x));
    }
    submit(all, l, op, x);
}

/* Lists */

static char *write_list(struct batches *all, const struct job_op *op)
{
    int n = op->n_found < op->most ? op->n_found : op->most - 1,
        n_listed = 0; /* the last shows that there are more */
    struct job_status *jobs = calloc((size_t)n + 1, sizeof(*jobs));
    struct batch **listed = calloc((size_t)n + 1, sizeof(struct batch *));
    char *text = NULL;

    while (jobs && listed && n_listed < n) {
        listed[n_listed] = batch_of_record(all, &op->found[n_listed]);
        if (!listed[n_listed])
            break;
        batch_describe(listed[n_listed], &jobs[n_listed]);
        n_listed++;
    }
    if (jobs && listed && n_listed == n)
        text = job_list_to_json(jobs, n, op->n_found > n);
    for (int i = 0; i < n_listed; i++)
        batch_settle(listed[i]);
    free(jobs);
    free((void *)listed);
    return text;
}

static void on_listed(struct job_op *op)
{
    struct lookup *l = op->arg;
    struct exchange *x = waiting(l);
    struct problem problem = {0};

    if (x && op->rc == -ENOENT) {
        problem_add_field(&problem, "after", "there is no such job");
        exchange_respond_problem(x, &problem);
    } else if (x && op->rc < 0) {
        exchange_respond_problem(x, &out_of_reach);
    } else if (x) {
        exchange_respond_json(x, 200, write_list(l->all, op));
    }
    free(l);
}

void batches_list(struct batches *all, const char *after, int limit, struct exchange *x)
{
    struct lookup *l = calloc(1, sizeof(*l));
    struct job_op *op = job_op_create(JOB_LIST, on_listed, l);

    if (op) {
        snprintf(op->record.id, sizeof(op->record.id), "%s", after);
        snprintf(op->record.owner, sizeof(op->record.owner), "%s", reader(x));
        op->most = limit + 1;
    }
    submit(all, l, op, x);
}
