/* Running plans. Chunks of a batch are run side by side, one on a thread. The images that are left,
 * fewer than threads, are run by all threads together, one after the other.
 */
#include "engine/base/clock.h"
#include "engine/base/pool.h"
#include "engine/plan_steps.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

static const void *input_pointer(const struct operand *operand, const struct worker *worker,
                                 int image)
{
    switch (operand->place) {
    case PLACE_BATCH:
        return (const char *)operand->base + (size_t)image * operand->stride;
    case PLACE_ARENA:
        return (const char *)worker->arena + operand->offset;
    default: /* a constant or a parameter, or NULL: absent */
        return operand->base;
    }
}

/* The first chunk of a worker writes its sums in place, later ones beside them. */
static void *output_pointer(const struct operand *operand, const struct worker *worker, int image,
                            bool first)
{
    switch (operand->place) {
    case PLACE_BATCH:
        return (char *)operand->base + (size_t)image * operand->stride;
    case PLACE_SUM:
        return first ? (char *)worker->sums + operand->offset
                     : (char *)worker->arena + operand->spare;
    default:
        return (char *)worker->arena + operand->offset;
    }
}

/* Of a chunk that begins with an image. */
static void step_pointers(const struct step *step, const struct worker *worker, int image,
                          bool first, const void **inputs, void **outputs)
{
    for (int j = 0; j < step->n_inputs; j++)
        inputs[j] = input_pointer(&step->inputs[j], worker, image);
    for (int j = 0; j < step->n_outputs; j++)
        outputs[j] = output_pointer(&step->outputs[j], worker, image, first);
}

static void add_floats(float *sum, const float *term, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum[i] += term[i];
}

/* Runs a step on one chunk. first: it is the worker's first chunk of this run. */
static void run_step(const struct chunk *chunk, const struct step *step, struct worker *worker,
                     bool first)
{
    char *arena = worker->arena;
    const void *inputs[OP_INPUTS_MAX];
    void *outputs[OP_OUTPUTS_MAX];
    const struct kernel_args args = {
        .in = inputs,
        .out = outputs,
        .shared = arena + step->shared_offset,
        .scratch = arena + chunk->cut->scratch_offset,
    };

    step_pointers(step, worker, chunk->first, first, inputs, outputs);
    worker->code = kernel_run(step->kernel, &args, &worker->error);
    for (int j = 0; j < step->n_outputs && !first; j++) {
        const struct operand *operand = &step->outputs[j];

        if (operand->place == PLACE_SUM)
            add_floats((float *)((char *)worker->sums + operand->offset), outputs[j],
                       operand->bytes / sizeof(float));
    }
}

static void run_chunk(const struct chunk *chunk, struct worker *worker, bool first)
{
    for (int i = 0; i < chunk->cut->n_steps && worker->code == 0; i++)
        run_step(chunk, &chunk->cut->steps[i], worker, first);
}

int plan_time_steps(struct plan *plan, double *seconds, struct error *err)
{
    struct worker *worker = &plan->workers[0];
    struct chunk chunk = {.cut = &plan->cuts[0], .first = 0};

    if (plan->ops->enter_thread)
        plan->ops->enter_thread(plan->device);
    worker->code = 0;
    for (int i = 0; i < chunk.cut->n_steps && worker->code == 0; i++) {
        double start = clock_seconds();

        run_step(&chunk, &chunk.cut->steps[i], worker, true);
        seconds[i] = clock_seconds() - start;
    }
    return worker->code < 0 ? error_set(err, worker->code, "%s", worker->error.text) : 0;
}

/* Any thread takes any chunk, in its own arena. */
static void chunk_task(void *arg, int chunk, int worker)
{
    struct plan *plan = arg;

    if (plan->ops->enter_thread)
        plan->ops->enter_thread(plan->device);
    run_chunk(&plan->chunks[chunk], &plan->workers[worker], true);
}

/* Worker s runs chunks s, s + n_workers, ...: the order of the sums is fixed. */
static void strand_task(void *arg, int strand, int worker)
{
    struct plan *plan = arg;

    if (plan->ops->enter_thread)
        plan->ops->enter_thread(plan->device);
    for (int chunk = strand; chunk < plan->n_chunks; chunk += plan->n_workers)
        run_chunk(&plan->chunks[chunk], &plan->workers[strand], chunk == strand);
}

enum { SUM_BLOCK = 1 << 16 }; /* floats added by one task */

static void sum_task(void *arg, int block, int worker)
{
    struct plan *plan = arg;
    size_t count = plan->sum_bytes / sizeof(float), first = (size_t)block * SUM_BLOCK;
    size_t n = count - first < SUM_BLOCK ? count - first : SUM_BLOCK;

    for (int i = 1; i < plan->n_workers && i < plan->n_chunks; i++)
        add_floats((float *)plan->workers[0].sums + first,
                   (const float *)plan->workers[i].sums + first, n);
}

/* Threads that share a chunk. Nobody waits for a thread that has not come: whoever is there takes
 * the parts of a round, first those of its own share, so that it finds in its cache what it wrote
 * the round before, then what the others have left. A round is over when its parts are done.
 */
struct team {
    int n_members;
    const struct cut *cut;
    int image;        /* the chunk's first */
    atomic_int *next; /* [n_rounds][n_members]: parts taken of a member's share */
    atomic_int *done; /* [n_rounds]: parts done */
    pthread_mutex_t mutex;
    pthread_cond_t over; /* a round somebody sleeps for is */
    atomic_int n_sleeping;
};

/* Looks at a counter before a member goes to sleep: some tens of microseconds, longer than a part
 * takes, and nothing against the time slice that is lost if another process has the processor. */
enum { SPINS = 2000 };

int team_create(const struct cut *cut, int n_members, struct team **out, struct error *err)
{
    struct team *team = calloc(1, sizeof(*team));
    size_t n_rounds = (size_t)cut->n_rounds;

    if (!team)
        return error_set(err, -ENOMEM, "out of memory for the threads of a plan");
    team->n_members = n_members;
    team->cut = cut;
    pthread_mutex_init(&team->mutex, NULL);
    pthread_cond_init(&team->over, NULL);
    team->next = calloc(n_rounds * (size_t)n_members + 1, sizeof(*team->next));
    team->done = calloc(n_rounds + 1, sizeof(*team->done));
    if (!team->next || !team->done) {
        team_destroy(team);
        return error_set(err, -ENOMEM, "out of memory for the threads of a plan");
    }
    *out = team;
    return 0;
}

void team_destroy(struct team *team)
{
    if (!team)
        return;
    pthread_cond_destroy(&team->over);
    pthread_mutex_destroy(&team->mutex);
    free(team->next);
    free(team->done);
    free(team);
}

/* A part of a round, on the values of the first worker's arena and the scratch of the member's. */
static void run_part(struct plan *plan, const struct round *round, int part, struct worker *member)
{
    const struct cut *cut = plan->team->cut;
    const struct round_entry *entry = &cut->entries[round->first_entry];
    const struct worker *owner = &plan->workers[0];
    const struct step *step;
    const void *inputs[OP_INPUTS_MAX];
    void *outputs[OP_OUTPUTS_MAX];
    struct kernel_args args = {
        .in = inputs,
        .out = outputs,
        .scratch = (char *)member->arena + cut->scratch_offset,
    };

    for (; part >= entry->n_parts; entry++)
        part -= entry->n_parts;
    step = &cut->steps[entry->step];
    step_pointers(step, owner, plan->team->image, true, inputs, outputs);
    args.shared = (char *)owner->arena + step->shared_offset;
    member->code = step->kernel->ops->run(step->kernel, entry->stage, part, &args, &member->error);
}

/* The first part of member's share of n. */
static int share_first(const struct team *team, int n, int member)
{
    return (int)((long long)n * member / team->n_members);
}

/* Waits until all parts of a round are done. */
static void round_wait(struct team *team, int round, int n_parts)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&team->done[round], memory_order_acquire) == n_parts)
            return;
#ifdef __x86_64__
        __builtin_ia32_pause();
#endif
    }
    pthread_mutex_lock(&team->mutex);
    atomic_fetch_add(&team->n_sleeping, 1);
    while (atomic_load(&team->done[round]) < n_parts)
        pthread_cond_wait(&team->over, &team->mutex);
    atomic_fetch_sub(&team->n_sleeping, 1);
    pthread_mutex_unlock(&team->mutex);
}

static void part_done(struct team *team, int round, int n_parts)
{
    if (atomic_fetch_add(&team->done[round], 1) + 1 < n_parts || !atomic_load(&team->n_sleeping))
        return;
    pthread_mutex_lock(&team->mutex);
    pthread_cond_broadcast(&team->over);
    pthread_mutex_unlock(&team->mutex);
}

static void member_task(void *arg, int index, int worker)
{
    struct plan *plan = arg;
    struct team *team = plan->team;
    struct worker *member = &plan->workers[worker];

    if (plan->ops->enter_thread)
        plan->ops->enter_thread(plan->device);
    for (int r = 0; r < team->cut->n_rounds; r++) {
        const struct round *round = &team->cut->rounds[r];
        atomic_int *next = &team->next[(size_t)r * (size_t)team->n_members];

        for (int i = 0; i < team->n_members; i++) {
            int share = (worker + i) % team->n_members;
            int first = share_first(team, round->n_parts, share);
            int n = share_first(team, round->n_parts, share + 1) - first, taken;

            while ((taken = atomic_fetch_add(&next[share], 1)) < n) {
                if (member->code == 0)
                    run_part(plan, round, first + taken, member);
                part_done(team, r, round->n_parts);
            }
        }
        round_wait(team, r, round->n_parts);
    }
}

/* All threads on the chunk that begins with an image. */
static void run_together(struct plan *plan, int image)
{
    struct team *team = plan->team;

    team->image = image;
    for (int i = 0; i < team->cut->n_rounds * team->n_members; i++)
        atomic_store_explicit(&team->next[i], 0, memory_order_relaxed);
    for (int i = 0; i < team->cut->n_rounds; i++)
        atomic_store_explicit(&team->done[i], 0, memory_order_relaxed);
    pool_run(device_base(plan->device)->pool, team->n_members, member_task, plan);
}

/* Cuts images [0, n) into chunks as large as give all threads the same; returns the first image
 * that is left over. */
static int cut_batch(struct plan *plan, int n, int n_threads)
{
    int first = 0;

    plan->n_chunks = 0;
    for (int i = 0; i < plan->n_cuts; i++) {
        const struct cut *cut = &plan->cuts[i];
        int n_chunks = (n - first) / cut->grain;

        if (plan->team)
            n_chunks -= n_chunks % n_threads;
        for (int j = 0; j < n_chunks; j++, first += cut->grain)
            plan->chunks[plan->n_chunks++] = (struct chunk){cut, first};
    }
    return first;
}

int plan_run(struct plan *plan, int n, struct error *err)
{
    struct pool *pool = device_base(plan->device)->pool;
    int n_threads = pool_threads(pool), first;

    if (n < 0 || n > plan->batch_max || (plan->sum_bytes && n % plan->cuts[0].grain))
        return error_set(err, -EINVAL, "a plan for %d images in chunks of %d cannot run %d",
                         plan->batch_max, plan->cuts[0].grain, n);
    for (int i = 0; i < n_threads; i++)
        plan->workers[i].code = 0;
    first = cut_batch(plan, n, n_threads);
    if (plan->sum_bytes) {
        pool_run(pool, plan->n_workers < plan->n_chunks ? plan->n_workers : plan->n_chunks,
                 strand_task, plan);
        pool_run(pool, (int)((plan->sum_bytes / sizeof(float) + SUM_BLOCK - 1) / SUM_BLOCK),
                 sum_task, plan);
    } else {
        pool_run(pool, plan->n_chunks, chunk_task, plan);
        for (; first < n; first++)
            run_together(plan, first);
    }
    for (int i = 0; i < n_threads; i++) {
        if (plan->workers[i].code < 0)
            return error_set(err, plan->workers[i].code, "%s", plan->workers[i].error.text);
    }
    return 0;
}
