/* Lack of memory: allocation number 1, 2, 3, ... fails until a call succeeds. Every failure must
 * come back as an error and leave nothing allocated.
 *
 * The linker routes our calls of malloc() and its kin here, and with them those of jansson
 * (engine/base/json_memory.h).
 */
#include "engine/base/error.h"
#include "engine/base/json_memory.h"
#include "engine/base/trace.h"
#include "engine/executor.h"
#include "engine/gradient.h"
#include "engine/parameters.h"
#include "engine/program.h"
#include "model/checkpoint.h"
#include "model/corruption.h"
#include "model/fit/gaussian.h"
#include "model/fit/prior_fit.h"
#include "model/fit/schedule_path.h"
#include "model/fit/solver_fit.h"
#include "model/fit/spectrum.h"
#include "model/fit/wiener_fit.h"
#include "model/generator.h"
#include "model/ncsnpp.h"
#include "model/safetensors.h"
#include "tests/planned.h"
#include "tests/unit/model/files.h"

#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

enum { SIDE = 8, CHANNELS = 3, IMAGES = 4 };

static long countdown; /* allocations until one fails; 0: none does */
static long live;      /* allocated and not freed */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
int __real_posix_memalign(void **out, size_t alignment, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);
int __wrap_posix_memalign(void **out, size_t alignment, size_t size);
void __wrap_free(void *memory);

static int fails(void)
{
    return countdown > 0 && --countdown == 0;
}

static void *counted(void *memory)
{
    live += memory != NULL;
    return memory;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : counted(__real_calloc(n, size));
}

void *__wrap_realloc(void *old, size_t size)
{
    if (fails())
        return NULL;
    live -= old != NULL;
    return counted(__real_realloc(old, size));
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : counted(__real_strdup(text));
}

int __wrap_posix_memalign(void **out, size_t alignment, size_t size)
{
    int rc = fails() ? ENOMEM : __real_posix_memalign(out, alignment, size);

    live += rc == 0;
    return rc;
}

void __wrap_free(void *memory)
{
    live -= memory != NULL;
    __real_free(memory);
}

/* Made once, without failures. */
static struct {
    struct device *reference, *cpu;
    struct checkpoint *checkpoint;
    struct corruption *corruption; /* the checkpoint's */
    float images[IMAGES * SIDE * SIDE * CHANNELS];
    double distances[9];
} made;

static const char architecture_text[] =
    "{\"image_size\": 8, \"nf\": 4, \"ch_mult\": [1], \"num_res_blocks\": 1}";

static void read_sampling(struct sampling *out)
{
    json_t *defaults = json_pack("{s:s, s:i}", "sampler", "tuned", "nfe", 1);
    json_t *solvers =
        json_pack("[{s:i, s:[i,i], s:[i], s:[i]}]", "nfe", 1, "t", 1, 0, "trend", 0, "noise", 0);

    out->refining_grid = true;
    assert_int_equal(sampling_from_json(defaults, solvers, out, NULL), 0);
    json_decref(defaults);
    json_decref(solvers);
}

static int set_up(void **state)
{
    struct checkpoint *c = calloc(1, sizeof(*c));
    struct formulation *f = &c->formulation;
    struct program *p;
    int x, time_cond, phi;
    json_t *json;

    json_memory_watch();
    json = json_pack("{s:s, s:i}", "name", "blur", "half_size", 5);
    assert_int_equal(files_set_up(state), 0);
    assert_int_equal(architecture_parse(architecture_text, &f->architecture, NULL), 0);
    assert_int_equal(corruption_create(json, SIDE, SIDE, &f->corruption, NULL), 0);
    json_decref(json);
    f->output = OUTPUT_WIENER;
    assert_int_equal(schedule_noise_then_levels(0.01, 0.1, 0.2, 2, (double[]){0.01, 5},
                                                &f->schedule, NULL),
                     0);
    for (size_t i = 0; i < N_ELEMENTS(made.images); i++)
        made.images[i] = (float)(i * i % 17) / 17;
    assert_int_equal(prior_fit(f->corruption, &f->schedule, SIDE, CHANNELS, IMAGES, made.images,
                               NULL, &f->prior, NULL),
                     0);
    assert_int_equal(wiener_fit(f->corruption, &f->schedule, SIDE, CHANNELS, IMAGES, made.images,
                                NULL, &f->wiener, NULL),
                     0);
    assert_int_equal(program_create(&p, NULL), 0);
    x = program_input(p, "x", shape_images(SIDE, SIDE, CHANNELS), VALUE_EXACT);
    time_cond = program_input(p, "time_cond", shape_vectors(1), VALUE_EXACT);
    assert_int_equal(ncsnpp_append(p, &f->architecture, x, time_cond, -1, -1, -1, NULL, &phi, NULL),
                     0);
    for (int i = 0; i < program_n_values(p); i++) {
        if (program_value(p, i)->role == VALUE_PARAMETER)
            c->n_weights += shape_count(&program_value(p, i)->shape);
    }
    program_destroy(p);
    c->weights = calloc(c->n_weights, sizeof(*c->weights));
    c->licence = strdup("for tests");
    c->provenance = json_pack("{s:s}", "dataset", "none");
    read_sampling(&f->sampling);
    made.checkpoint = c;
    assert_int_equal(device_open("reference", 2, NULL, &made.reference, NULL), 0);
    assert_int_equal(device_open("cpu", 2, NULL, &made.cpu, NULL), 0);
    made.corruption = f->corruption;
    assert_int_equal(checkpoint_save(files_path("checkpoint"), c, 0, NULL), 0);
    return 0;
}

static int tear_down(void **state)
{
    device_close(made.reference);
    device_close(made.cpu);
    checkpoint_destroy(made.checkpoint);
    return files_tear_down(state);
}

static int load(struct error *err)
{
    struct checkpoint *c = NULL;
    int rc = checkpoint_load(files_path("checkpoint"), &c, err);

    checkpoint_destroy(c);
    return rc;
}

static int save(struct error *err)
{
    return checkpoint_save(files_path("saved"), made.checkpoint, 1, err);
}

static int rewrite(struct error *err)
{
    struct checkpoint *c = NULL;
    int rc = checkpoint_load(files_path("checkpoint"), &c, err);

    if (rc == 0)
        rc = checkpoint_rewrite(files_path("checkpoint"), files_path("saved"), c, err);
    checkpoint_destroy(c);
    return rc;
}

static int open_file(struct error *err)
{
    struct safetensors *file = NULL;
    int rc = safetensors_open(files_path("checkpoint"), &file, err);

    safetensors_close(file);
    return rc;
}

static int parse(struct error *err)
{
    struct architecture a;

    return architecture_parse(architecture_text, &a, err);
}

static int create_corruption(struct error *err)
{
    json_t *json = json_pack("{s:s, s:s}", "name", "mask", "order", "spiral");
    struct corruption *c = NULL;
    int rc = json ? corruption_create(json, SIDE, SIDE, &c, err) : -ENOMEM;

    corruption_destroy(c);
    json_decref(json);
    return rc;
}

static int describe_schedule(struct error *err)
{
    json_t *json = schedule_to_json(&made.checkpoint->formulation.schedule);
    struct schedule s = {0};
    int rc = json ? schedule_from_json(json, &s, err) : -ENOMEM;

    json_decref(json);
    schedule_fini(&s);
    return rc;
}

static int measure(struct error *err)
{
    return schedule_distances(made.corruption, IMAGES, CHANNELS, made.images, 3,
                              (double[]){0.01, 1, 5}, NULL, made.distances, err);
}

static int find_path(struct error *err)
{
    static const double distances[9] = {0, 1, 2, 1, 0, 1, 2, 1, 0};
    int nodes[3];
    double eps;

    return schedule_path_of_length(3, distances, 2, NULL, nodes, &eps, err);
}

static int fit_prior(struct error *err)
{
    struct prior prior = {0};
    int rc = prior_fit(made.corruption, &made.checkpoint->formulation.schedule, SIDE, CHANNELS,
                       IMAGES, made.images, NULL, &prior, err);

    prior_fini(&prior);
    return rc;
}

static int fit_wiener(struct error *err)
{
    struct wiener wiener = {0};
    int rc = wiener_fit(made.corruption, &made.checkpoint->formulation.schedule, SIDE, CHANNELS,
                        IMAGES, made.images, NULL, &wiener, err);

    wiener_fini(&wiener);
    return rc;
}

static int fit_start(struct error *err)
{
    json_t *json = json_pack("{s:s}", "name", "noise");
    struct corruption *c = NULL;
    struct prior prior = {0};
    int rc = json ? corruption_create(json, SIDE, SIDE, &c, err) : -ENOMEM;

    if (rc == 0)
        rc = prior_fit(c, &made.checkpoint->formulation.schedule, SIDE, CHANNELS, IMAGES,
                       made.images, NULL, &prior, err);
    prior_fini(&prior);
    corruption_destroy(c);
    json_decref(json);
    return rc;
}

/* A spectrum from the estimate, what a sampler makes of it, and a table. */
static int carry_gaussian(struct error *err)
{
    static struct sampler_row rows[4];
    const struct formulation *f = &made.checkpoint->formulation;
    const struct solver_fit_options options = {.nfe = 3, .target = 1};
    double spectrum[SIDE * SIDE];
    struct solver_fit_report report;
    struct gaussian_result result;
    struct solver solver = {0};
    struct gaussian *g = NULL;
    int rc = spectrum_of_estimate(&f->wiener, f->corruption, &f->schedule, spectrum, err);

    if (rc == 0)
        rc = gaussian_create(f->corruption, &f->schedule, SIDE, spectrum, &g, err);
    if (rc == 0)
        rc = sampler_table(SAMPLER_PF_2M, f, 4, rows, err);
    if (rc == 0)
        rc = gaussian_run(g, 4, rows, NULL, NULL, &result, NULL, err);
    if (rc == 0)
        rc = solver_fit(f->corruption, &f->schedule, SIDE, spectrum, &options, NULL, &solver,
                        &report, err);
    solver_fini(&solver);
    gaussian_destroy(g);
    return rc;
}

static int apply(struct error *err)
{
    float y[SIDE * SIDE * CHANNELS];

    return corruption_apply_host(made.corruption, 1, CHANNELS, made.images, y, err);
}

static int trace(struct error *err)
{
    static const char *const keys[TRACE_NUMBERS] = {"image", "part"};
    const struct trace_label *label;
    struct trace_track *track;
    struct trace *t;
    int rc = trace_create(10, &t, err);

    if (rc < 0)
        return rc;
    rc = trace_find_track(t, "thread", &track, err);
    if (rc == 0)
        rc = trace_add_label(t, "silu", "2x2", keys, &label, err);
    if (rc == 0)
        rc = trace_write(t, files_path("trace.json"), err);
    trace_destroy(t);
    unlink(files_path("trace.json"));
    return rc;
}

static int create_generator(struct device *device, struct error *err)
{
    const struct generator_options options = {.precision = PRECISION_FP32,
                                              .lanes = 3,
                                              .nfe_max = 1,
                                              .restoration = true};
    struct generator *g = NULL;
    int rc = generator_create(device, made.checkpoint, &options, &g, err);

    generator_destroy(g);
    return rc;
}

static int create_generator_on_reference(struct error *err)
{
    return create_generator(made.reference, err);
}

static int create_generator_on_cpu(struct error *err)
{
    return create_generator(made.cpu, err);
}

/* Gradients that are summed, as an output and into state, by two threads that are traced. */
static int create_sums(struct error *err)
{
    struct parameters *parameters = NULL;
    struct plan_options options = {.precision = PRECISION_FP32, .batch_max = 4, .n_outputs = 1};
    struct planned *planned = NULL;
    struct program *p = NULL;
    struct trace *spans = NULL;
    int rc = program_create(&p, err), x, one, w, loss, gradient = -1;

    if (rc < 0)
        return rc;
    x = program_input(p, "x", shape_vectors(3), VALUE_EXACT);
    one = program_input(p, "one", shape_vectors(1), VALUE_EXACT);
    w = program_parameter(p, "w", shape_constant(2, (const int[]){3, 3}));
    loss = program_half_square(p, program_linear(p, x, w, -1, false), one);
    rc = program_check(p, err);
    if (rc == 0)
        rc = gradient_append(p, loss, one, 1, &w, &gradient, err);
    if (rc == 0)
        program_sum_into(p, program_state(p, "sum", shape_constant(1, (const int[]){9})), 0,
                         gradient);
    rc = rc < 0 ? rc : program_check(p, err);
    options.outputs = &gradient;
    if (rc == 0)
        rc = parameters_create(made.cpu, p, &parameters, err);
    if (rc == 0)
        rc = planned_create(made.cpu, p, parameters, &options, &planned, err);
    if (rc == 0)
        rc = trace_create(10, &spans, err);
    if (rc == 0)
        rc = executor_trace(planned->executor, spans, err);
    planned_destroy(planned);
    parameters_destroy(parameters);
    program_destroy(p);
    trace_destroy(spans);
    return rc;
}

static void lack_of_memory_is_an_error_and_no_leak(void **state)
{
    static const struct {
        const char *what;
        int (*call)(struct error *err);
    } rows[] = {
        {"load a checkpoint", load},
        {"save a checkpoint", save},
        {"write a checkpoint anew", rewrite},
        {"open a file", open_file},
        {"parse an architecture", parse},
        {"create a corruption", create_corruption},
        {"describe a schedule", describe_schedule},
        {"measure distances", measure},
        {"find a path", find_path},
        {"fit a prior", fit_prior},
        {"fit a start", fit_start},
        {"fit a linear estimate", fit_wiener},
        {"carry Gaussian data", carry_gaussian},
        {"apply a corruption", apply},
        {"create a generator (reference)", create_generator_on_reference},
        {"create a generator (cpu)", create_generator_on_cpu},
        {"create a plan that sums", create_sums},
        {"write a trace", trace},
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        int rc = -1, n_files = files_count();

        for (long n = 1; rc != 0; n++) {
            struct error err = {""};
            long before = live;

            countdown = n;
            rc = rows[i].call(&err);
            countdown = 0;
            if (rc != 0 && rc != -ENOMEM)
                fail_msg("%s: allocation %ld fails with %d, \"%s\"", rows[i].what, n, rc, err.text);
            if (live != before)
                fail_msg("%s: allocation %ld fails and %ld are left", rows[i].what, n,
                         live - before);
            assert_true(rc == 0 || files_count() == n_files);
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(lack_of_memory_is_an_error_and_no_leak),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
