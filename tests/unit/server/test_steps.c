/* No step is told twice, nor one after a later one, however the engine goes on while one looks: in every look
 * of this test it finishes its next step right after its evaluations were counted, before the client is told.
 * Two streams, of a request and of a job, and below them all that is real; the linker puts what is here in the
 * place of exchanges, engines and the store. */
#include "api/limits.h"
#include "engine/base/log.h"
#include "model/generator.h"
#include "server/admission.h"
#include "server/batch_parts.h"
#include "server/daemon.h"
#include "server/drawing.h"
#include "server/engine_model.h"
#include "server/engines.h"
#include "server/events.h"
#include "server/exchange.h"
#include "server/exchange_stream.h"
#include "server/models.h"
#include "server/progress.h"
#include "server/selection.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 2, IMAGE_BYTES = SIDE * SIDE * 3, NFE = 50, TOLD_MAX = 32 };

static struct {
    struct job *job;  /* that the engine has */
    struct job *done; /* that it gives back */
    int step;         /* evaluations of its only image */
    bool hurries;
} engine;

static struct {
    int steps[TOLD_MAX], n;
} told;

static void work(void)
{
    static const uint8_t pixels[IMAGE_BYTES];
    const struct generator_image image = {.pixels = pixels, .predicted = pixels};

    atomic_store(&engine.job->begun, true);
    progress_update(engine.job->progress, 0, ++engine.step, &image);
}

int __real_progress_evaluations(struct progress *p);
int __wrap_progress_evaluations(struct progress *p);
int __wrap_progress_evaluations(struct progress *p)
{
    int n = __real_progress_evaluations(p);

    if (engine.hurries)
        work();
    engine.hurries = false;
    return n;
}

void __wrap_engines_submit(struct engines *e, struct job *job);
void __wrap_engines_submit(struct engines *e, struct job *job)
{
    engine.job = job;
    engine.step = 0;
}

struct job *__wrap_engines_take_done(struct engines *e);
struct job *__wrap_engines_take_done(struct engines *e)
{
    struct job *job = engine.done;

    engine.done = NULL;
    return job;
}

int __wrap_engines_count(const struct engines *e);
int __wrap_engines_count(const struct engines *e)
{
    return 1;
}

const char *__wrap_engines_identity(const struct engines *e);
const char *__wrap_engines_identity(const struct engines *e)
{
    return "0123456789abcdef";
}

int __wrap_admission_check(const struct admission *a, const struct engine_model *model, int n,
                           enum priority priority, struct problem *problem);
int __wrap_admission_check(const struct admission *a, const struct engine_model *model, int n,
                           enum priority priority, struct problem *problem)
{
    return 0;
}

void __wrap_admission_enter(struct admission *a, const struct job *job);
void __wrap_admission_enter(struct admission *a, const struct job *job)
{
}

void __wrap_admission_leave(struct admission *a, const struct job *job);
void __wrap_admission_leave(struct admission *a, const struct job *job)
{
}

const struct samples_limits *__wrap_admission_limits(const struct admission *a);
const struct samples_limits *__wrap_admission_limits(const struct admission *a)
{
    static const struct samples_limits limits = {.timeout_max_ms = 1};

    return &limits;
}

void __wrap_models_hold(struct engine_model *m);
void __wrap_models_hold(struct engine_model *m)
{
}

void __wrap_models_release(struct models *all, struct engine_model *m);
void __wrap_models_release(struct models *all, struct engine_model *m)
{
}

void __wrap_batch_write(struct batch *b, struct shared_bytes *const *pictures, int n_pictures);
void __wrap_batch_write(struct batch *b, struct shared_bytes *const *pictures, int n_pictures)
{
}

const char *__wrap_exchange_id(const struct exchange *x);
const char *__wrap_exchange_id(const struct exchange *x)
{
    return "test";
}

struct key *__wrap_exchange_key(const struct exchange *x);
struct key *__wrap_exchange_key(const struct exchange *x)
{
    return NULL;
}

const char *__wrap_exchange_header(const struct exchange *x, const char *name);
const char *__wrap_exchange_header(const struct exchange *x, const char *name)
{
    return NULL;
}

void __wrap_exchange_add_header(struct exchange *x, const char *name, const char *value);
void __wrap_exchange_add_header(struct exchange *x, const char *name, const char *value)
{
}

bool __wrap_exchange_stream_begin(struct exchange *x, const char *content_type,
                                  void (*gone)(void *arg), void *arg);
bool __wrap_exchange_stream_begin(struct exchange *x, const char *content_type,
                                  void (*gone)(void *arg), void *arg)
{
    return true;
}

size_t __wrap_exchange_stream_pending(const struct exchange *x);
size_t __wrap_exchange_stream_pending(const struct exchange *x)
{
    return 0;
}

/* Keeps the steps of what is told of progress. */
bool __wrap_exchange_stream_write(struct exchange *x, const char *data, size_t size);
bool __wrap_exchange_stream_write(struct exchange *x, const char *data, size_t size)
{
    static const char start[] = "event: progress\n", member[] = "\"step\":";
    const char *step;

    assert_int_equal(strlen(data), size);
    if (strncmp(data, start, sizeof(start) - 1) != 0)
        return true;
    step = strstr(data, member);
    assert_non_null(step);
    assert_true(told.n < TOLD_MAX);
    told.steps[told.n++] = (int)strtol(step + sizeof(member) - 1, NULL, 10);
    return true;
}

void __wrap_exchange_stream_end(struct exchange *x);
void __wrap_exchange_stream_end(struct exchange *x)
{
}

static struct fixture {
    struct daemon daemon;
    struct engine_model model;
    struct exchange *exchange; /* never looked into */
} f;

static int set_up(void **state)
{
    static char exchange;

    log_set_level(LOG_ERROR + 1);
    memset(&f, 0, sizeof(f));
    memset(&told, 0, sizeof(told));
    memset(&engine, 0, sizeof(engine));
    f.exchange = (void *)&exchange;
    f.model.side_px = SIDE;
    f.model.channels = 3;
    f.model.n_max = 4;
    f.model.corruption = "noise";
    f.model.precision = "fp32";
    snprintf(f.model.name, sizeof(f.model.name), "m");
    memset(f.model.digest, 'a', sizeof(f.model.digest) - 1);
    assert_int_equal(uv_loop_init(&f.daemon.loop), 0);
    return drawings_create(&f.daemon.loop, NULL, NULL, NULL, &f.daemon.drawings, NULL);
}

/* The engine gives back what it has, not done. */
static void give_back(void)
{
    engine.job->status = -ECANCELED;
    engine.done = engine.job;
    drawings_collect(f.daemon.drawings);
    uv_run(&f.daemon.loop, UV_RUN_DEFAULT);
}

static int tear_down(void **state)
{
    drawings_destroy(f.daemon.drawings);
    return uv_loop_close(&f.daemon.loop);
}

static void look(bool hurries)
{
    engine.hurries = hurries;
    drawings_collect(f.daemon.drawings);
    engine.hurries = false;
}

/* Steps 1 to 4, all but the last while somebody looks. */
static void work_and_look(void)
{
    work();
    for (int i = 0; i < 3; i++)
        look(true);
    look(false);
    look(false);
}

static void assert_told(const int *steps, int n)
{
    assert_int_equal(told.n, n);
    assert_memory_equal(told.steps, steps, (size_t)n * sizeof(*steps));
}

static char *progress_event(int step, int steps, double eta_ms)
{
    char *text;

    assert_true(eta_ms >= 0 && steps == NFE);
    assert_true(asprintf(&text, "event: progress\ndata: {\"step\":%d}\n\n", step) > 0);
    return text;
}

static char *failed_event(const struct problem *problem, const char *request_id)
{
    return strdup("event: failed\ndata: {}\n\n");
}

static int no_previews(const struct samples_request *wanted, int nfe, int done)
{
    return 0;
}

static void test_request(void **state)
{
    static const struct events_form form = {.progress = progress_event,
                                            .failed = failed_event,
                                            .n_previews = no_previews};
    const struct selection chosen = {.request = {.n = 1, .timeout_ms = 60000},
                                     .model = &f.model,
                                     .sampling = {SAMPLER_MOMENTUM, NFE}};
    struct problem problem = {0};

    assert_int_equal(events_start(&f.daemon, f.exchange, &chosen, &form, &problem), 0);
    work_and_look();
    assert_told((int[]){1, 2, 3, 4}, 4);
    drawings_cancel_all(f.daemon.drawings);
    give_back();
}

/* Whoever watches knows of a step, as of the piece that is drawn again, and is told when there is more. */
static void test_job(void **state)
{
    struct batches all = {.daemon = &f.daemon};
    struct batch *b = calloc(1, sizeof(*b));

    assert_non_null(b);
    *b = (struct batch){.all = &all,
                        .state = JOB_IN_PROGRESS,
                        .record = {.n = 1, .nfe = NFE, .state = JOB_IN_PROGRESS},
                        .sampling = {SAMPLER_MOMENTUM, NFE},
                        .model = &f.model,
                        .stored = true,
                        .held = true};
    snprintf(b->record.id, sizeof(b->record.id), "job");
    batch_describe_record(&b->record, &b->order);
    batch_go_on(b);
    work();
    look(true);
    batch_watch(b, f.exchange, NULL, 0);
    work_and_look();
    assert_told((int[]){1, 3, 4, 5, 6}, 5);

    drawings_cancel_all(f.daemon.drawings);
    give_back();
    told.n = 0;
    batch_go_on(b);
    assert_int_equal(engine.step, 0);
    for (int i = 0; i < 8; i++) {
        work();
        look(false);
    }
    assert_told((int[]){7, 8}, 2);
    b->state = JOB_COMPLETED;
    batch_drop_piece(b);
    batch_tell_end(b);
    give_back();
    free(b);
}

/* What is drawn again elsewhere is told from where it was. */
static void test_drawn_again(void **state)
{
    struct progress *p = progress_create(1, IMAGE_BYTES);
    static const uint8_t pixels[IMAGE_BYTES];
    const struct generator_image image = {.pixels = pixels, .predicted = pixels};

    for (int again = 0; again < 2; again++)
        for (int i = 1; i <= 3; i++) {
            progress_update(p, 0, i, &image);
            assert_int_equal(__real_progress_evaluations(p), again ? 3 : i);
        }
    progress_update(p, 0, 4, &image);
    assert_int_equal(__real_progress_evaluations(p), 4);
    progress_destroy(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_job, set_up, tear_down),
        cmocka_unit_test(test_drawn_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
