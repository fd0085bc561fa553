/* Jobs in a data base in memory: what each thing to be done does, and what it leaves alone. */
#include "server/job_store.h"

#include "engine/base/error.h"
#include "server/shared_bytes.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

enum { FOUND_MAX = 8, WAITING_MAX = 5, ROOM = 100, SOURCES = 50 };

/* What came of something. */
struct result {
    bool done;
    int rc, n_found, waiting, ended, webhooks, given_up;
    struct job_record found[FOUND_MAX];
    uint8_t bytes[64];
    size_t size;
    int64_t picture_bytes, source_bytes;
};

struct fixture {
    uv_loop_t loop;
    struct job_store *store;
    struct result result;
};

static void on_news(void *arg, const char *id)
{
    fail_msg("nobody else is there to tell of \"%s\"", id);
}

static void on_done(struct job_op *op)
{
    struct result *r = op->arg;

    r->done = true;
    r->rc = op->rc;
    r->n_found = op->n_found;
    r->waiting = op->waiting;
    r->ended = op->ended;
    r->webhooks = op->webhooks;
    r->given_up = op->given_up;
    r->picture_bytes = op->picture_bytes;
    r->source_bytes = op->source_bytes;
    r->size = op->size;
    if (op->bytes)
        memcpy(r->bytes, op->bytes, op->size);
    for (int i = 0; i < op->n_found && i < FOUND_MAX; i++)
        r->found[i] = op->found[i];
}

static int begin(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    struct job_store_options options = {.loop = &f->loop,
                                        .folder = "",
                                        .url = "",
                                        .kept_ms = 1000,
                                        .picture_bytes_max = ROOM,
                                        .source_bytes_max = SOURCES,
                                        .waiting_max = WAITING_MAX,
                                        .webhook_ms = 3600000,
                                        .news = on_news};

    uv_loop_init(&f->loop);
    assert_int_equal(job_store_open(&options, &f->store, NULL), 0);
    assert_false(job_store_is_shared(f->store));
    *state = f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;

    job_store_close(f->store);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    test_free(f);
    return 0;
}

/* Has it done, and gives what came of it. */
static const struct result *do_op(struct fixture *f, struct job_op *op)
{
    memset(&f->result, 0, sizeof(f->result));
    op->arg = &f->result;
    job_store_submit(f->store, op);
    while (!f->result.done)
        uv_run(&f->loop, UV_RUN_ONCE);
    return &f->result;
}

static struct job_op *op_of(enum job_op_kind kind, const char *id)
{
    struct job_op *op = job_op_create(kind, on_done, NULL);

    assert_non_null(op);
    snprintf(op->record.id, sizeof(op->record.id), "%s", id);
    return op;
}

/* A job of ten images, held by this daemon or by nobody. */
static struct job_op *new_job(struct fixture *f, const char *id, const char *owner, const char *key,
                              bool held)
{
    struct job_op *op = op_of(JOB_ADD, id);
    struct job_record *r = &op->record;

    snprintf(r->owner, sizeof(r->owner), "%s", owner);
    snprintf(r->key, sizeof(r->key), "%s", key);
    snprintf(r->body, sizeof(r->body), "body of %s", id);
    snprintf(r->checkpoint, sizeof(r->checkpoint), "c");
    snprintf(r->determinism, sizeof(r->determinism), "d");
    snprintf(r->holder, sizeof(r->holder), "%s", held ? job_store_holder(f->store) : "");
    r->nfe = 20;
    r->n = 10;
    r->seed = UINT64_MAX - 1;
    r->created_s = 1700000000;
    return op;
}

static int add(struct fixture *f, const char *id, const char *owner, const char *key, bool held)
{
    return do_op(f, new_job(f, id, owner, key, held))->rc;
}

/* One that restores so many bytes. */
static int add_restoration(struct fixture *f, const char *id, size_t bytes)
{
    struct job_op *op = new_job(f, id, "", "", true);

    op->record.source_bytes = (int64_t)bytes;
    op->pictures[op->n_pictures++] = shared_bytes_create(calloc(1, bytes), bytes);
    assert_non_null(op->pictures[0]);
    return do_op(f, op)->rc;
}

static const struct result *change(struct fixture *f, const char *id, enum job_state to, int n_done,
                                   int64_t ended_s, size_t picture_bytes)
{
    struct job_op *op = op_of(JOB_CHANGE, id);

    op->record.state = to;
    op->record.n_done = n_done;
    op->record.ended_s = ended_s;
    if (picture_bytes > 0) {
        op->first = n_done - 1;
        op->n_pictures = 1;
        op->pictures[0] = shared_bytes_create(calloc(1, picture_bytes), picture_bytes);
        assert_non_null(op->pictures[0]);
    }
    return do_op(f, op);
}

static const struct result *claim(struct fixture *f, const char *determinism, int most)
{
    struct job_op *op = op_of(JOB_CLAIM, "");

    op->checkpoints = strdup("*");
    snprintf(op->record.determinism, sizeof(op->record.determinism), "%s", determinism);
    op->record.nfe = 1000;
    op->most = most;
    return do_op(f, op);
}

static void test_a_record_comes_back_as_it_was(void **state)
{
    struct fixture *f = *state;
    const struct result *r;

    assert_int_equal(add(f, "a", "alice", "k\xff", true), 0);
    r = do_op(f, op_of(JOB_FIND, "a"));
    assert_int_equal(r->rc, 0);
    assert_int_equal(r->n_found, 1);
    assert_string_equal(r->found[0].id, "a");
    assert_string_equal(r->found[0].owner, "alice");
    assert_string_equal(r->found[0].key, "k\xff");
    assert_string_equal(r->found[0].body, "body of a");
    assert_string_equal(r->found[0].holder, job_store_holder(f->store));
    assert_int_equal(r->found[0].state, JOB_QUEUED);
    assert_int_equal(r->found[0].nfe, 20);
    assert_int_equal(r->found[0].n, 10);
    assert_true(r->found[0].seed == UINT64_MAX - 1);
    assert_int_equal(r->found[0].created_s, 1700000000);
    assert_int_equal(do_op(f, op_of(JOB_FIND, "b"))->rc, -ENOENT);
}

static void test_keys_are_their_owners(void **state)
{
    struct fixture *f = *state;
    struct job_op *op;

    assert_int_equal(add(f, "a", "alice", "k", true), 0);
    assert_int_equal(add(f, "b", "bob", "k", true), 0);
    assert_int_equal(add(f, "c", "alice", "", true), 0);
    assert_int_equal(add(f, "d", "alice", "", true), 0);
    assert_int_equal(add(f, "e", "alice", "k", true), -EEXIST);
    assert_string_equal(f->result.found[0].id, "a");
    assert_int_equal(add(f, "a", "alice", "k", true), 0); /* told again what could not be told */
    op = op_of(JOB_FIND, "");
    strcpy(op->record.owner, "bob");
    strcpy(op->record.key, "k");
    assert_string_equal(do_op(f, op)->found[0].id, "b");
}

static void test_no_more_than_may_wait(void **state)
{
    struct fixture *f = *state;
    char id[2] = "a";

    for (int i = 0; i < WAITING_MAX; i++, id[0]++)
        assert_int_equal(add(f, id, "", "", false), 0);
    assert_int_equal(add(f, id, "", "", false), -ENOSPC);
    assert_int_equal(do_op(f, op_of(JOB_CANCEL, "a"))->rc, 0);
    assert_int_equal(add(f, id, "", "", false), 0);
}

static void test_a_job_ends_once(void **state)
{
    struct fixture *f = *state;
    const struct result *r;

    assert_int_equal(add(f, "a", "", "", true), 0);
    assert_int_equal(change(f, "a", JOB_IN_PROGRESS, 4, 0, 0)->rc, 0);
    r = do_op(f, op_of(JOB_CANCEL, "a"));
    assert_int_equal(r->rc, 0);
    assert_int_equal(r->found[0].state, JOB_CANCELLED);
    assert_int_equal(r->found[0].n_done, 4);
    r = change(f, "a", JOB_COMPLETED, 10, 1, 0);
    assert_int_equal(r->rc, -ESTALE);
    assert_int_equal(r->found[0].state, JOB_CANCELLED);
    assert_int_equal(r->found[0].n_done, 4);
    assert_int_equal(do_op(f, op_of(JOB_CANCEL, "a"))->rc, -ESTALE);
    assert_int_equal(do_op(f, op_of(JOB_CANCEL, "b"))->rc, -ENOENT);
    assert_int_equal(change(f, "b", JOB_COMPLETED, 1, 1, 0)->rc, -ENOENT);
}

static void test_what_is_not_held_changes_nothing(void **state)
{
    struct fixture *f = *state;
    const struct result *r;

    assert_int_equal(add(f, "a", "", "", false), 0);
    r = change(f, "a", JOB_IN_PROGRESS, 4, 0, 7);
    assert_int_equal(r->rc, -ESTALE);
    assert_int_equal(r->found[0].n_done, 0);
    r = claim(f, "d", 3);
    assert_int_equal(r->n_found, 1);
    assert_string_equal(r->found[0].holder, job_store_holder(f->store));
    assert_int_equal(change(f, "a", JOB_IN_PROGRESS, 4, 0, 0)->rc, 0);
    assert_int_equal(claim(f, "d", 3)->n_found, 0);
}

static void test_the_oldest_are_taken_up_first(void **state)
{
    struct fixture *f = *state;
    const struct result *r;

    for (char id[2] = "e"; id[0] > 'a'; id[0]--)
        assert_int_equal(add(f, id, "", "", false), 0);
    r = claim(f, "other", 1);
    assert_int_equal(r->n_found, 1);
    assert_string_equal(r->found[0].id, "e");
    assert_string_equal(r->found[0].determinism, "other");
    assert_int_equal(claim(f, "d", 8)->n_found, 3);
}

static void test_lists(void **state)
{
    struct fixture *f = *state;
    const struct result *r;
    struct job_op *op;

    assert_int_equal(add(f, "c", "alice", "", true), 0);
    assert_int_equal(add(f, "a", "bob", "", true), 0);
    assert_int_equal(add(f, "b", "alice", "", true), 0);
    op = op_of(JOB_LIST, "");
    op->most = 2;
    r = do_op(f, op);
    assert_int_equal(r->n_found, 2);
    assert_string_equal(r->found[0].id, "b");
    assert_string_equal(r->found[1].id, "a");
    op = op_of(JOB_LIST, "b");
    strcpy(op->record.owner, "alice");
    op->most = 5;
    r = do_op(f, op);
    assert_int_equal(r->n_found, 1);
    assert_string_equal(r->found[0].id, "c");
    op = op_of(JOB_LIST, "a");
    strcpy(op->record.owner, "alice"); /* it is not hers */
    op->most = 5;
    assert_int_equal(do_op(f, op)->rc, -ENOENT);
}

static int find_picture(struct fixture *f, const char *id, int i)
{
    struct job_op *op = op_of(JOB_PICTURE, id);

    op->first = i;
    return do_op(f, op)->rc;
}

static void test_pictures_have_a_room(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(add(f, "a", "", "", true), 0);
    assert_int_equal(add(f, "b", "", "", true), 0);
    assert_int_equal(change(f, "a", JOB_IN_PROGRESS, 1, 0, 60)->rc, 0);
    assert_int_equal(find_picture(f, "a", 0), 0);
    assert_int_equal(f->result.size, 60);
    assert_int_equal(find_picture(f, "a", 1), -ENOENT);
    assert_int_equal(change(f, "b", JOB_IN_PROGRESS, 1, 0, 40)->rc, 0);
    assert_int_equal(find_picture(f, "a", 0), 0);
    assert_int_equal(change(f, "b", JOB_IN_PROGRESS, 2, 0, 1)->rc, 0);
    assert_int_equal(find_picture(f, "a", 0), -ENOENT); /* those of the older job */
    assert_int_equal(find_picture(f, "b", 0), 0);
    assert_int_equal(change(f, "a", JOB_IN_PROGRESS, 2, 0, 1)->rc, 0); /* never a part of them */
    assert_int_equal(find_picture(f, "a", 1), -ENOENT);
    assert_int_equal(do_op(f, op_of(JOB_SWEEP, ""))->picture_bytes, 41);
}

static void test_sources_have_a_room(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(add_restoration(f, "a", SOURCES + 1), -ENOSPC);
    assert_int_equal(add_restoration(f, "a", 20), 0);
    assert_int_equal(add_restoration(f, "b", 20), 0);
    assert_int_equal(add_restoration(f, "c", 20), -ENOSPC); /* those before it have not ended */
    assert_int_equal(change(f, "b", JOB_COMPLETED, 10, INT64_MAX / 2, 0)->rc, 0);
    assert_int_equal(add_restoration(f, "c", 10), 0);
    assert_int_equal(do_op(f, op_of(JOB_SOURCE, "b"))->rc, 0);
    assert_int_equal(f->result.size, 20);
    assert_int_equal(add_restoration(f, "d", 5), 0);
    assert_int_equal(do_op(f, op_of(JOB_SOURCE, "b"))->rc, -ENOENT);
    assert_int_equal(do_op(f, op_of(JOB_FIND, "b"))->found[0].source_bytes, -1);
    for (const char *id = "acd"; *id; id++)
        assert_int_equal(do_op(f, op_of(JOB_SOURCE, (char[]){*id, 0}))->rc, 0);
    assert_int_equal(do_op(f, op_of(JOB_SWEEP, ""))->source_bytes, 35);
    assert_int_equal(change(f, "a", JOB_COMPLETED, 10, 1, 0)->rc, 0);
    assert_int_equal(do_op(f, op_of(JOB_SWEEP, ""))->source_bytes, 15); /* it is forgotten */
    assert_int_equal(do_op(f, op_of(JOB_SOURCE, "a"))->rc, -ENOENT);
}

static int add_webhook(struct fixture *f, const char *id)
{
    struct job_op *op = new_job(f, id, "", "", true);

    strcpy(op->record.webhook, "https://a/");
    return do_op(f, op)->rc;
}

static const struct result *claim_webhooks(struct fixture *f, int most, bool first)
{
    struct job_op *op = op_of(JOB_WEBHOOK_CLAIM, "");

    op->most = most;
    op->first = first;
    op->lease_ms = 60000;
    return do_op(f, op);
}

static void note_webhook(struct fixture *f, const char *id, int tries, int status, int64_t ms)
{
    struct job_op *op = op_of(JOB_WEBHOOK_DONE, id);

    op->record.webhook_tries = tries;
    op->record.webhook_status = status;
    op->record.webhook_ms = ms;
    assert_int_equal(do_op(f, op)->rc, 0);
}

/* Due with the end of its job, taken by one at a time, and kept until it is told. */
static void test_webhooks(void **state)
{
    struct fixture *f = *state;
    int64_t now_s = (int64_t)time(NULL), long_ago_s = now_s - 1800;
    const struct result *r;
    struct job_op *op;

    assert_int_equal(add_webhook(f, "a"), 0);
    assert_int_equal(add_webhook(f, "b"), 0);
    assert_int_equal(add(f, "c", "", "", true), 0);
    assert_int_equal(change(f, "a", JOB_IN_PROGRESS, 1, 0, 0)->rc, 0);
    assert_int_equal(claim_webhooks(f, 9, true)->n_found, 0);
    assert_int_equal(change(f, "a", JOB_COMPLETED, 10, long_ago_s, 0)->rc, 0);
    assert_int_equal(change(f, "c", JOB_COMPLETED, 10, now_s, 0)->rc, 0);
    r = claim_webhooks(f, 9, false);
    assert_int_equal(r->n_found, 1);
    assert_string_equal(r->found[0].id, "a");
    assert_string_equal(r->found[0].webhook, "https://a/");
    assert_int_equal(r->found[0].webhook_tries, 1);
    op = op_of(JOB_CANCEL, "b");
    op->record.ended_s = now_s;
    assert_int_equal(do_op(f, op)->rc, 0);
    r = claim_webhooks(f, 9, false);
    assert_int_equal(r->n_found, 1);
    assert_string_equal(r->found[0].id, "b");
    assert_int_equal(claim_webhooks(f, 9, false)->n_found, 0); /* they are leased */
    assert_int_equal(claim_webhooks(f, 9, true)->n_found, 2);  /* or were, by one that is gone */
    note_webhook(f, "b", 2, 500, 60000);
    note_webhook(f, "a", 1, 500, 0); /* the word of one whose lease has ended */
    r = do_op(f, op_of(JOB_SWEEP, ""));
    assert_int_equal(r->webhooks, 2);
    assert_int_equal(r->given_up, 0);
    r = do_op(f, op_of(JOB_FIND, "a")); /* not forgotten */
    assert_int_equal(r->rc, 0);
    assert_int_equal(r->found[0].webhook_tries, 2);
    assert_int_equal(r->found[0].webhook_status, 0);
    note_webhook(f, "a", 2, 204, WEBHOOK_DELIVERED);
    note_webhook(f, "a", 2, 500, 60000); /* it has been told */
    assert_true(do_op(f, op_of(JOB_FIND, "a"))->found[0].webhook_ms == WEBHOOK_DELIVERED);
    r = do_op(f, op_of(JOB_FIND, "b"));
    assert_int_equal(r->found[0].webhook_status, 500);
    assert_int_equal(do_op(f, op_of(JOB_SWEEP, ""))->webhooks, 1);
    assert_int_equal(do_op(f, op_of(JOB_FIND, "a"))->rc, -ESTALE);
    /* Later than any is due: the clock has been set back since. */
    assert_int_equal(claim_webhooks(f, 9, false)->n_found, 0);
    note_webhook(f, "b", 2, 500, 3 * 3600000);
    assert_int_equal(claim_webhooks(f, 9, false)->n_found, 1);
    note_webhook(f, "b", 3, 410, WEBHOOK_GIVEN_UP);
    assert_int_equal(claim_webhooks(f, 9, true)->n_found, 0);
}

static void test_webhooks_are_not_tried_for_ever(void **state)
{
    struct fixture *f = *state;
    const struct result *r;

    assert_int_equal(add_webhook(f, "a"), 0);
    assert_int_equal(change(f, "a", JOB_COMPLETED, 10, (int64_t)time(NULL) - 7200, 0)->rc, 0);
    assert_int_equal(claim_webhooks(f, 9, true)->n_found, 1);
    r = do_op(f, op_of(JOB_SWEEP, ""));
    assert_int_equal(r->given_up, 1);
    assert_int_equal(r->webhooks, 0);
    assert_int_equal(do_op(f, op_of(JOB_FIND, "a"))->rc, -ESTALE);
}

static void test_what_restores_comes_back_as_it_was(void **state)
{
    static const struct response_restoration restorations[] = {
        {"blur", 0.1 + 0.2, true, 1.0 / 3, 1, "0123", ""},
        {"mask", 0, false, 1, 0, "ab", "cd"},
        {"noise", 1e-300, false, 0, 5e-324, "e", ""},
    };
    struct fixture *f = *state;
    const struct job_record *found;
    struct job_op *op;

    for (size_t i = 0; i < sizeof(restorations) / sizeof(restorations[0]); i++) {
        op = new_job(f, (char[]){(char)('a' + i), 0}, "", "", true);
        op->record.restored = restorations[i];
        op->record.seed_b = UINT64_MAX;
        op->record.mix = 999999;
        assert_int_equal(do_op(f, op)->rc, 0);
        found = do_op(f, op_of(JOB_FIND, (char[]){(char)('a' + i), 0}))->found;
        assert_true(found->seed_b == UINT64_MAX && found->mix == 999999);
        assert_string_equal(found->restored.degradation, restorations[i].degradation);
        assert_true(found->restored.std == restorations[i].std);
        assert_true(found->restored.strength == restorations[i].strength);
        assert_true(found->restored.consistency == restorations[i].consistency);
        assert_int_equal(found->restored.estimated, restorations[i].estimated);
        assert_string_equal(found->restored.image_sha256, restorations[i].image_sha256);
        assert_string_equal(found->restored.mask_sha256, restorations[i].mask_sha256);
    }
    assert_int_equal(add(f, "z", "", "", true), 0);
    assert_null(do_op(f, op_of(JOB_FIND, "z"))->found[0].restored.degradation);
}

static void test_what_is_old_goes(void **state)
{
    struct fixture *f = *state;
    const struct result *r;
    struct job_op *op;

    assert_int_equal(add(f, "a", "alice", "k", true), 0);
    assert_int_equal(add(f, "b", "", "", true), 0);
    assert_int_equal(add(f, "c", "", "", true), 0);
    assert_int_equal(change(f, "a", JOB_COMPLETED, 10, 1, 50)->rc, 0);
    assert_int_equal(change(f, "b", JOB_FAILED, 1, INT64_MAX / 2, 0)->rc, 0);
    r = do_op(f, op_of(JOB_SWEEP, ""));
    assert_int_equal(r->waiting, 1);
    assert_int_equal(r->ended, 1);
    assert_int_equal(r->picture_bytes, 0);
    assert_int_equal(do_op(f, op_of(JOB_FIND, "a"))->rc, -ESTALE);
    op = op_of(JOB_FIND, "a");
    strcpy(op->record.owner, "bob"); /* who may not know that it was there */
    assert_int_equal(do_op(f, op)->rc, -ENOENT);
    assert_int_equal(find_picture(f, "a", 9), -ENOENT);
    assert_int_equal(add(f, "d", "alice", "k", true), 0);
}

/* In the order in which they were handed over, many with one commit. */
static void count(struct job_op *op)
{
    int *n = op->arg;

    assert_int_equal(op->rc, 0);
    assert_int_equal(op->record.n_done, ++*n);
}

static void test_many(void **state)
{
    struct fixture *f = *state;
    struct job_op *op;
    int n = 0;

    assert_int_equal(add(f, "a", "", "", true), 0);
    for (int i = 1; i <= 2000; i++) {
        op = op_of(JOB_CHANGE, "a");
        op->record.state = JOB_IN_PROGRESS;
        op->record.n_done = i;
        op->done = count;
        op->arg = &n;
        job_store_submit(f->store, op);
    }
    assert_false(job_store_idle(f->store));
    while (!job_store_idle(f->store))
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(n, 2000);
    assert_int_equal(do_op(f, op_of(JOB_FIND, "a"))->found[0].n_done, 2000);
}

static void test_closing_in_the_middle(void **state)
{
    struct fixture *f = *state;
    struct job_op *op;

    for (int i = 0; i < 500; i++) {
        op = op_of(JOB_CANCEL, "a");
        op->pictures[0] = shared_bytes_create(malloc(8), 8);
        op->n_pictures = 1;
        job_store_submit(f->store, op); /* nobody is told */
    }
}

static void test_what_cannot_be_opened(void **state)
{
    uv_loop_t loop;
    struct job_store_options options = {.loop = &loop, .folder = "/nowhere", .url = ""};
    struct job_store *store;
    struct error err;

    uv_loop_init(&loop);
    assert_true(job_store_open(&options, &store, &err) < 0);
    assert_non_null(strstr(err.text, "/nowhere"));
    options.url = "postgresql://h/n?nothing=1";
    assert_true(job_store_open(&options, &store, &err) < 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_record_comes_back_as_it_was, begin, end),
        cmocka_unit_test_setup_teardown(test_keys_are_their_owners, begin, end),
        cmocka_unit_test_setup_teardown(test_no_more_than_may_wait, begin, end),
        cmocka_unit_test_setup_teardown(test_a_job_ends_once, begin, end),
        cmocka_unit_test_setup_teardown(test_what_is_not_held_changes_nothing, begin, end),
        cmocka_unit_test_setup_teardown(test_the_oldest_are_taken_up_first, begin, end),
        cmocka_unit_test_setup_teardown(test_lists, begin, end),
        cmocka_unit_test_setup_teardown(test_pictures_have_a_room, begin, end),
        cmocka_unit_test_setup_teardown(test_sources_have_a_room, begin, end),
        cmocka_unit_test_setup_teardown(test_webhooks, begin, end),
        cmocka_unit_test_setup_teardown(test_webhooks_are_not_tried_for_ever, begin, end),
        cmocka_unit_test_setup_teardown(test_what_restores_comes_back_as_it_was, begin, end),
        cmocka_unit_test_setup_teardown(test_what_is_old_goes, begin, end),
        cmocka_unit_test_setup_teardown(test_many, begin, end),
        cmocka_unit_test_setup_teardown(test_closing_in_the_middle, begin, end),
        cmocka_unit_test(test_what_cannot_be_opened),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
