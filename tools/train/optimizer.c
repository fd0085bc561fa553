#include "tools/train/optimizer.h"
#include "engine/base/pool.h"

#include <math.h>

/* Elements of a task: a few of these arrays fit in a core's second-level cache. */
enum { BLOCK = 16384, NORM_BLOCKS = 64 };

static void run(struct pool *pool, int n_tasks, void (*task)(void *arg, int i, int worker),
                void *arg)
{
    if (pool) {
        pool_run(pool, n_tasks, task, arg);
        return;
    }
    for (int i = 0; i < n_tasks; i++)
        task(arg, i, 0);
}

double optimizer_lr(const struct optimizer_options *o, uint64_t step)
{
    double lr = o->lr, from = o->decay_from * (double)o->steps, fall;

    if (o->warmup > 0)
        lr *= fmin((double)step / (double)o->warmup, 1);
    if (o->decay == DECAY_NONE || (double)step <= from)
        return lr;
    fall = fmin(((double)step - from) / ((double)o->steps - from), 1);
    return o->decay == DECAY_LINEAR ? lr * (1 - fall) : lr * 0.5 * (1 + cos(M_PI * fall));
}

double optimizer_ema_decay(const struct optimizer_options *o, uint64_t n)
{
    return fmin(o->ema, (1 + (double)n) / (10 + (double)n));
}

struct norm_work {
    const float *x;
    size_t n;
    size_t first;             /* of the first block of this round */
    double sums[NORM_BLOCKS]; /* sum of squares of each block */
};

static void norm_block(void *arg, int i, int worker)
{
    struct norm_work *work = arg;
    size_t first = work->first + (size_t)i * BLOCK;
    size_t last = first + BLOCK < work->n ? first + BLOCK : work->n;
    double lanes[8] = {0};
    size_t j = first;

    for (; j + 8 <= last; j += 8) {
        for (int k = 0; k < 8; k++)
            lanes[k] += (double)work->x[j + (size_t)k] * work->x[j + (size_t)k];
    }
    for (; j < last; j++)
        lanes[0] += (double)work->x[j] * work->x[j];
    work->sums[i] = 0;
    for (int k = 0; k < 8; k++)
        work->sums[i] += lanes[k];
}

double optimizer_norm(struct pool *pool, const float *x, size_t n)
{
    struct norm_work work = {x, n, 0, {0}};
    double sum = 0;

    for (; work.first < n; work.first += (size_t)NORM_BLOCKS * BLOCK) {
        size_t blocks = (n - work.first + BLOCK - 1) / BLOCK;
        int n_blocks = blocks < NORM_BLOCKS ? (int)blocks : NORM_BLOCKS;

        run(pool, n_blocks, norm_block, &work);
        for (int i = 0; i < n_blocks; i++)
            sum += work.sums[i];
    }
    return sqrt(sum);
}

struct update_work {
    const struct optimizer_state *state;
    float clip, beta1, beta2, rest1, rest2, step_size, root_correction2, eps, ema_weight;
};

static void update_block(void *arg, int i, int worker)
{
    const struct update_work *u = arg;
    const struct optimizer_state *s = u->state;
    size_t first = (size_t)i * BLOCK, n = s->n - first < BLOCK ? s->n - first : BLOCK;
    const float *restrict gradient = s->gradient + first;
    float *restrict weights = s->weights + first, *restrict ema = s->ema + first;
    float *restrict m = s->m + first, *restrict v = s->v + first;

    for (size_t j = 0; j < n; j++) {
        float g = gradient[j] * u->clip;

        m[j] = u->beta1 * m[j] + u->rest1 * g;
        v[j] = u->beta2 * v[j] + u->rest2 * g * g;
        weights[j] -= u->step_size * m[j] / (sqrtf(v[j]) / u->root_correction2 + u->eps);
        ema[j] += u->ema_weight * (weights[j] - ema[j]);
    }
}

void optimizer_update(const struct optimizer_options *o, struct pool *pool, uint64_t step,
                      double norm, const struct optimizer_state *s)
{
    double n = (double)step + 1; /* updates, this one included */
    struct update_work work = {
        .state = s,
        .clip = o->clip > 0 ? (float)fmin(1, o->clip / (norm + 1e-6)) : 1,
        .beta1 = (float)o->beta1,
        .beta2 = (float)o->beta2,
        .rest1 = (float)(1 - o->beta1), /* 1 - 0.999f would be off by 1e-5 */
        .rest2 = (float)(1 - o->beta2),
        .step_size = (float)(optimizer_lr(o, step) / (1 - pow(o->beta1, n))),
        .root_correction2 = (float)sqrt(1 - pow(o->beta2, n)),
        .eps = (float)o->eps,
        .ema_weight = (float)(1 - optimizer_ema_decay(o, step + 1)),
    };

    run(pool, (int)((s->n + BLOCK - 1) / BLOCK), update_block, &work);
}
