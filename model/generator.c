/* One program holds the network and a sampler step of any kind; a plan runs it for the busy lanes,
 * side by side.
 */
#include "model/generator.h"
#include "engine/base/error.h"
#include "engine/base/philox.h"
#include "engine/parameters.h"
#include "engine/executor.h"
#include "engine/plan.h"
#include "engine/program.h"
#include "model/checkpoint.h"
#include "model/ncsnpp.h"
#include "model/step.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { LANES_MAX = 4096, SELF_TEST_IMAGES = 3 };

enum lane_state { LANE_FREE, LANE_BUSY, LANE_PARKED };

/* An image and where it stands. */
struct lane {
    enum lane_state state;
    uint64_t id, seed;
    int nfe, position;        /* rows, and the next one */
    struct sampler_row *rows; /* [nfe_max] */
    float *x, *m;             /* [h,w,c] */
};

struct generator {
    const struct formulation *formulation;
    struct parameters *parameters;
    struct plan *plan;
    struct executor *executor;
    struct step step;
    int x, m, key; /* inputs of the plan */
    int slots, nfe_max, n_busy, n_parked;
    size_t image_floats;
    int n_lanes;
    struct lane *lanes;       /* [n_lanes], of which at most `slots` are busy */
    struct sampler_row *rows; /* all lanes' */
    float *floats;            /* all lanes' x and m, then scratch */
    float *scratch;
    uint8_t *pixels; /* [slots,h,w,c] of the finished images */
    float *finished; /* [slots,h,w,c] */
};

static int append_program(struct generator *g, struct program *p, struct error *err)
{
    const struct architecture *a = &g->formulation->architecture;
    struct shape images = shape_images(a->image_size, a->image_size, a->num_channels);
    int eta;

    g->x = program_input(p, "x", images, VALUE_EXACT);
    g->m = program_input(p, "m", images, VALUE_EXACT);
    g->key = program_input(p, "key", shape_vectors(4), VALUE_KEY);
    eta = program_normal(p, g->key, images, PHILOX_STREAM_ETA);
    return step_append(p, g->formulation, g->x, g->m, eta, &g->step, err);
}

static int make_plan(struct generator *g, struct device *device, const struct checkpoint *c,
                     enum precision precision, struct error *err)
{
    struct program *p = NULL;
    struct plan_options options = {
        .precision = precision,
        .batch_max = g->slots,
    };
    int rc = program_create(&p, err);

    if (rc == 0)
        rc = append_program(g, p, err);
    if (rc == 0)
        rc = parameters_create(device, p, &g->parameters, err);
    if (rc == 0 && parameters_count(g->parameters) != c->n_weights)
        rc = error_set(err, -EINVAL, "the network has %zu weights, the checkpoint %zu",
                       parameters_count(g->parameters), c->n_weights);
    if (rc == 0) {
        const int outputs[2] = {g->step.next_x, g->step.next_m};

        options.n_outputs = 2;
        options.outputs = outputs;
        rc = plan_create(device, p, g->parameters, &options, &g->plan, err);
    }
    if (rc == 0)
        rc = parameters_load(g->parameters, c->weights, err);
    if (rc == 0)
        rc = executor_create(g->plan, NULL, &g->executor, err);
    if (rc == 0)
        rc =
            denoiser_write_constants(&g->step.denoiser, g->formulation, g->executor, g->slots, err);
    program_destroy(p);
    return rc;
}

static int make_lanes(struct generator *g, struct error *err)
{
    size_t n = (size_t)g->n_lanes;

    g->lanes = calloc(n, sizeof(*g->lanes));
    g->rows = calloc(n * (size_t)g->nfe_max, sizeof(*g->rows));
    g->floats = calloc(2 * n * g->image_floats + denoiser_scratch_floats(g->formulation),
                       sizeof(*g->floats));
    g->pixels = malloc((size_t)g->slots * g->image_floats);
    g->finished = malloc((size_t)g->slots * g->image_floats * sizeof(*g->finished));
    if (!g->lanes || !g->rows || !g->floats || !g->pixels || !g->finished)
        return error_set(err, -ENOMEM, "out of memory for %d lanes", g->n_lanes);
    for (size_t i = 0; i < n; i++) {
        g->lanes[i].rows = g->rows + i * (size_t)g->nfe_max;
        g->lanes[i].x = g->floats + 2 * i * g->image_floats;
        g->lanes[i].m = g->lanes[i].x + g->image_floats;
    }
    g->scratch = g->floats + 2 * n * g->image_floats;
    return 0;
}

int generator_create(struct device *device, const struct checkpoint *c,
                     const struct generator_options *options, struct generator **out,
                     struct error *err)
{
    const struct architecture *a = &c->formulation.architecture;
    struct generator *g;
    int rc;

    if (options->slots < 1 || options->slots > LANES_MAX)
        return error_set(err, -EINVAL, "a generator has 1 to %d slots, not %d", LANES_MAX,
                         options->slots);
    if (options->nfe_max < 1 || options->nfe_max > SAMPLER_NFE_MAX)
        return error_set(err, -EINVAL, "the largest nfe is 1 to %d, not %d", SAMPLER_NFE_MAX,
                         options->nfe_max);
    g = calloc(1, sizeof(*g));
    if (!g)
        return error_set(err, -ENOMEM, "out of memory for a generator");
    g->formulation = &c->formulation;
    g->slots = options->slots;
    g->n_lanes = 2 * g->slots; /* as many parked ones */
    g->nfe_max = options->nfe_max;
    g->image_floats = (size_t)a->image_size * (size_t)a->image_size * (size_t)a->num_channels;
    rc = make_lanes(g, err);
    if (rc == 0)
        rc = make_plan(g, device, c, options->precision, err);
    if (rc < 0) {
        generator_destroy(g);
        return rc;
    }
    *out = g;
    return 0;
}

void generator_destroy(struct generator *g)
{
    if (!g)
        return;
    executor_destroy(g->executor);
    plan_destroy(g->plan);
    parameters_destroy(g->parameters);
    free(g->lanes);
    free(g->rows);
    free(g->floats);
    free(g->pixels);
    free(g->finished);
    free(g);
}

int generator_slots(const struct generator *g)
{
    return g->slots;
}

int generator_busy(const struct generator *g)
{
    return g->n_busy;
}

int generator_side(const struct generator *g)
{
    return g->formulation->architecture.image_size;
}

int generator_channels(const struct generator *g)
{
    return g->formulation->architecture.num_channels;
}

enum precision generator_precision(const struct generator *g)
{
    return plan_precision(g->plan);
}

size_t generator_memory_bytes(const struct generator *g)
{
    return executor_memory_bytes(g->executor) +
           (size_t)g->slots * g->image_floats * (sizeof(float) + 1) +
           (size_t)g->n_lanes * (2 * g->image_floats * sizeof(float) +
                                 (size_t)g->nfe_max * sizeof(struct sampler_row));
}

int generator_submit(struct generator *g, const struct generator_task *task, struct error *err)
{
    struct philox_key key = philox_key(task->seed, 0, 0);
    struct lane *lane = g->lanes;
    int rc;

    if (task->nfe < 1 || task->nfe > g->nfe_max)
        return error_set(err, -EINVAL, "nfe is 1 to %d, not %d", g->nfe_max, task->nfe);
    if (g->n_busy == g->slots)
        return error_set(err, -EBUSY, "all %d slots are busy", g->slots);
    while (lane->state != LANE_FREE)
        lane++;
    rc = sampler_table(task->sampler, g->formulation, task->nfe, lane->rows, err);
    if (rc < 0)
        return rc;
    prior_sample(&g->formulation->prior, schedule_sigma(&g->formulation->schedule, 1.0), &key,
                 lane->x);
    memset(lane->m, 0, g->image_floats * sizeof(*lane->m));
    lane->id = task->id;
    lane->seed = task->seed;
    lane->nfe = task->nfe;
    lane->position = 0;
    lane->state = LANE_BUSY;
    g->n_busy++;
    return 0;
}

static int evaluations_left(const struct lane *lane)
{
    return lane->nfe - lane->position;
}

int generator_park(struct generator *g, uint64_t id, struct error *err)
{
    struct lane *found = NULL;

    for (int i = 0; i < g->n_lanes; i++) {
        struct lane *lane = &g->lanes[i];

        if (lane->state == LANE_BUSY && lane->id == id &&
            (!found || evaluations_left(lane) > evaluations_left(found)))
            found = lane;
    }
    if (!found)
        return error_set(err, -ENOENT, "no image with this id has a lane");
    if (g->n_parked == g->slots)
        return error_set(err, -EBUSY, "%d images are parked already", g->n_parked);
    found->state = LANE_PARKED;
    g->n_busy--;
    g->n_parked++;
    return 0;
}

int generator_resume(struct generator *g, uint64_t id, struct error *err)
{
    struct lane *found = NULL;

    for (int i = 0; i < g->n_lanes; i++) {
        struct lane *lane = &g->lanes[i];

        if (lane->state == LANE_PARKED && lane->id == id &&
            (!found || evaluations_left(lane) < evaluations_left(found)))
            found = lane;
    }
    if (!found)
        return error_set(err, -ENOENT, "no image with this id is parked");
    if (g->n_busy == g->slots)
        return error_set(err, -EBUSY, "all %d slots are busy", g->slots);
    found->state = LANE_BUSY;
    g->n_busy++;
    g->n_parked--;
    return 0;
}

int generator_cancel(struct generator *g, uint64_t id)
{
    int n = 0;

    for (int i = 0; i < g->n_lanes; i++) {
        struct lane *lane = &g->lanes[i];

        if (lane->state == LANE_FREE || lane->id != id)
            continue;
        *(lane->state == LANE_BUSY ? &g->n_busy : &g->n_parked) -= 1;
        lane->state = LANE_FREE;
        n++;
    }
    return n;
}

/* Writes one lane's state and row as image i of the plan. */
static int write_lane(struct generator *g, const struct lane *lane, int i, struct error *err)
{
    const struct sampler_row *row = &lane->rows[lane->position];
    const uint32_t key[4] = {(uint32_t)lane->seed, (uint32_t)(lane->seed >> 32), 0,
                             (uint32_t)row->step};
    int rc = step_write(&g->step, g->formulation, g->executor, i, row, g->scratch, err);

    if (rc == 0)
        rc = executor_write(g->executor, g->x, i, 1, lane->x, err);
    if (rc == 0)
        rc = executor_write(g->executor, g->m, i, 1, lane->m, err);
    if (rc == 0)
        rc = executor_write(g->executor, g->key, i, 1, key, err);
    return rc;
}

static uint8_t pixel(float x)
{
    if (!(x > 0)) /* NaN becomes black */
        return 0;
    return x >= 1 ? 255 : (uint8_t)(255.0f * x + 0.5f);
}

/* Hands over a finished lane as image n of this tick and frees it. */
static void deliver(struct generator *g, struct lane *lane, struct generator_image *image, int n)
{
    uint8_t *pixels = g->pixels + (size_t)n * g->image_floats;
    float *x = g->finished + (size_t)n * g->image_floats;

    memcpy(x, lane->x, g->image_floats * sizeof(*x));
    for (size_t i = 0; i < g->image_floats; i++)
        pixels[i] = pixel(x[i]);
    image->id = lane->id;
    image->seed = lane->seed;
    image->pixels = pixels;
    image->x = x;
    lane->state = LANE_FREE;
    g->n_busy--;
}

int generator_tick(struct generator *g, struct generator_image *images, int *n_images,
                   struct error *err)
{
    int rc = 0, n = 0, i = 0;

    *n_images = 0;
    for (int j = 0; rc == 0 && j < g->n_lanes; j++) {
        if (g->lanes[j].state == LANE_BUSY)
            rc = write_lane(g, &g->lanes[j], i++, err);
    }
    if (rc == 0)
        rc = executor_run(g->executor, i, err);
    i = 0;
    for (int j = 0; rc == 0 && j < g->n_lanes; j++) {
        struct lane *lane = &g->lanes[j];

        if (lane->state != LANE_BUSY)
            continue;
        rc = executor_read(g->executor, g->step.next_x, i, 1, lane->x, err);
        if (rc == 0)
            rc = executor_read(g->executor, g->step.next_m, i, 1, lane->m, err);
        i++;
        if (rc == 0 && ++lane->position == lane->nfe) {
            deliver(g, lane, &images[n], n);
            n++;
        }
    }
    if (rc < 0)
        return rc;
    *n_images = n;
    return 0;
}

/* Runs tasks [first, last) together until all are done; images[i] receives the pixels of task i. */
static int run_tasks(struct generator *g, const struct generator_task *tasks, int first, int last,
                     uint8_t *images, struct error *err)
{
    struct generator_image *done = malloc((size_t)g->slots * sizeof(*done));
    int rc = done ? 0 : error_set(err, -ENOMEM, "out of memory for a self-test");

    for (int i = first; rc == 0 && i < last; i++)
        rc = generator_submit(g, &tasks[i], err);
    while (rc == 0 && g->n_busy > 0) {
        int n;

        rc = generator_tick(g, done, &n, err);
        for (int i = 0; rc == 0 && i < n; i++)
            memcpy(images + done[i].id * g->image_floats, done[i].pixels, g->image_floats);
    }
    for (int i = first; rc < 0 && i < last; i++)
        generator_cancel(g, tasks[i].id);
    free(done);
    return rc;
}

int generator_self_test(struct generator *g, struct error *err)
{
    static const struct generator_task tasks[SELF_TEST_IMAGES] = {
        {.id = 0, .seed = 1, .sampler = SAMPLER_SDE_2M, .nfe = 3},
        {.id = 1, .seed = 2, .sampler = SAMPLER_MOMENTUM, .nfe = 2},
        {.id = 2, .seed = 1, .sampler = SAMPLER_PF_HEUN, .nfe = 3},
    };
    int n = g->slots < SELF_TEST_IMAGES ? g->slots : SELF_TEST_IMAGES, rc = 0;
    uint8_t *alone = malloc(2 * SELF_TEST_IMAGES * g->image_floats);
    uint8_t *together = alone + SELF_TEST_IMAGES * g->image_floats;

    if (!alone)
        return error_set(err, -ENOMEM, "out of memory for a self-test");
    if (g->nfe_max >= 3) {
        for (int i = 0; rc == 0 && i < n; i++)
            rc = run_tasks(g, tasks, i, i + 1, alone, err);
        if (rc == 0)
            rc = run_tasks(g, tasks, 0, n, together, err);
        if (rc == 0 && memcmp(alone, together, (size_t)n * g->image_floats) != 0)
            rc = error_set(err, -EIO,
                           "an image generated alone differs from the same image in a "
                           "batch");
    }
    free(alone);
    return rc;
}
