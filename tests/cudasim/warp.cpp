/* Warps: collectives, where lanes bring a word each, and products of matrices. */
#include "tests/cudasim/block.hpp"
#include "tests/cudasim/device.hpp"

namespace cudasim
{

enum { WARPS_MAX = BLOCK_THREADS_MAX / WARP };

static const unsigned FULL = 0xffffffffu;

/* Of full warps: a lane can be at most one collective ahead of another, so two rows of words will do. */
struct warp {
    unsigned arrived;
    unsigned n_collectives;
    const site *where;
    uint64_t words[2][WARP];
    char order[2]; /* what a collective orders, for the thread sanitizer */
    unsigned n_multiplied;
    float a[256], b[256]; /* of the product that its lanes compute */
};

static warp warps[WARPS_MAX];

void warps_reset()
{
    for (auto &w : warps) {
        w.arrived = 0;
        w.n_multiplied = 0;
    }
}

/* Whether all lanes of the mask wait at this collective; the last one arrives now. */
static bool lanes_are_here(const thread *t, const site *where)
{
    const int base = t->index & ~(WARP - 1);

    for (int lane = 0; lane < WARP; lane++) {
        const thread *other = &current.threads[base + lane];

        if (!(t->mask >> lane & 1))
            continue;
        if (base + lane >= current.n_threads)
            fail_at(where, "mask %08x names lane %d, the block has only %d threads", t->mask, lane,
                    current.n_threads);
        if (other != t && (other->state != THREAD_AT_WARP || other->mask != t->mask ||
                           !site_equal(other->waits_at, where)))
            return false;
    }
    return true;
}

/* A part of a warp: each lane keeps a copy of its own. */
static const uint64_t *collect_some(thread *t, unsigned mask, uint64_t word, const site *where)
{
    thread *lanes = current.threads + (t->index & ~(WARP - 1));

    t->waits_at = where;
    t->mask = mask;
    t->deposit = word;
    if (!lanes_are_here(t, where)) {
        thread_wait(t, THREAD_AT_WARP);
        return t->result;
    }
    for (int to = 0; to < WARP; to++) {
        if (!(mask >> to & 1))
            continue;
        for (int from = 0; from < WARP; from++)
            lanes[to].result[from] = mask >> from & 1 ? lanes[from].deposit : 0xfff7dead00000000ull;
        lanes[to].state = THREAD_READY;
    }
    return t->result;
}

static const uint64_t *collect_all(thread *t, warp *w, uint64_t word, const site *where)
{
    uint64_t *words = w->words[w->n_collectives & 1];

    if (!w->arrived)
        w->where = where;
    else if (!site_equal(w->where, where))
        fail_at(where, "lanes of one warp meet at different collectives: others are at %s:%d",
                w->where->file, w->where->line);
    words[t->index % WARP] = word;
    w->arrived |= 1u << t->index % WARP;
    t->waits_at = where;
    t->mask = FULL;
    if (w->arrived != FULL) {
        thread_wait(t, THREAD_AT_WARP);
        return words;
    }
    w->arrived = 0;
    w->n_collectives++;
    for (int lane = 0; lane < WARP; lane++)
        current.threads[(t->index & ~(WARP - 1)) + lane].state = THREAD_READY;
    return words;
}

} // namespace cudasim

using namespace cudasim;

unsigned cudasim_lane()
{
    return (unsigned)current.running->index % WARP;
}

const uint64_t *cudasim_collect(unsigned mask, uint64_t word, bool fence, const site *where)
{
    thread *t = current.running;
    warp *w = &warps[t->index / WARP];
    char *order = &w->order[w->n_collectives & 1];
    const uint64_t *words;

    if (!(mask >> t->index % WARP & 1))
        fail_at(where, "lane %d is not in its own mask %08x", t->index % WARP, mask);
    if (fence)
        sync_release(order);
    if (mask == FULL && (t->index | (WARP - 1)) < current.n_threads)
        words = collect_all(t, w, word, where);
    else
        words = collect_some(t, mask, word, where);
    if (fence)
        sync_acquire(order);
    return words;
}

void cudasim_matrix(const void *matrix, unsigned row, size_t element_bytes, const site *where)
{
    const uint64_t *words;

    if ((uintptr_t)matrix % 32 || row * element_bytes % 16)
        fail_at(where,
                "a matrix at %p, rows of %u elements: it must lie at 32 bytes, its rows at 16",
                matrix, row);
    words = cudasim_collect(FULL, (uint64_t)(uintptr_t)matrix ^ (uint64_t)row << 48, false, where);
    for (int lane = 1; lane < WARP; lane++)
        if (words[lane] != words[0])
            fail_at(where, "the lanes give different matrices");
}

/* Which of the 256 elements a lane's i-th is: nobody may know, so it is as unusual as can be. */
static unsigned element(unsigned lane, unsigned i)
{
    return (lane * 8 + i) * 37 % 256;
}

void cudasim_multiply(float d[8], const float a[8], const float b[8], const float c[8],
                      const site *where)
{
    warp *w = &warps[current.running->index / WARP];
    const float *mine[2] = {a, b};
    const uint64_t *words = cudasim_collect(FULL, (uint64_t)(uintptr_t)mine, false, where);
    const unsigned lane = cudasim_lane();
    float sums[8];

    /* The first lane to go on gathers what all brought. */
    for (unsigned from = 0; from < WARP && !w->n_multiplied; from++) {
        const float *const *its = (const float *const *)(uintptr_t)words[from];

        for (unsigned i = 0; i < 8; i++) {
            w->a[element(from, i)] = its[0][i];
            w->b[element(from, i)] = its[1][i];
        }
    }
    w->n_multiplied++;
    for (unsigned i = 0; i < 8; i++) {
        const unsigned row = element(lane, i) / 16, column = element(lane, i) % 16;

        sums[i] = c[i];
        for (unsigned k = 0; k < 16; k++)
            sums[i] += w->a[row * 16 + k] * w->b[k * 16 + column];
    }
    cudasim_collect(FULL, 0, false, where);
    w->n_multiplied = 0;
    for (unsigned i = 0; i < 8; i++)
        d[i] = sums[i];
}
