#include "tests/cudasim/block.hpp"

#include "tests/cudasim/device.hpp"

#include <algorithm>
#include <numeric>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vector>

cudasim::coordinates *cudasim_coordinates;

namespace cudasim
{

/* Blocks take turns on several sets of fibers, so that nothing orders neighbours. */
#ifdef CUDASIM_THREAD_SANITIZER
enum { SETS = 4 };
#else
enum { SETS = 1 };
#endif

enum { LAUNCHES = 4096 };

block current;
counts counted;

static std::vector<thread> sets[SETS];
static order thread_order;
static unsigned n_launches;
static const grid *running_grid;
static char launched[LAUNCHES], finished[LAUNCHES]; /* what a launch and its end order */
static char at_barrier[SETS][2];                    /* what a barrier orders, by parity */
static unsigned n_barriers;

void grid_set_order(order o)
{
    thread_order = o;
}

void where_am_i(char *text, size_t size)
{
    const thread *t = current.running;

    if (!t)
        snprintf(text, size, "host code");
    else
        snprintf(text, size, "kernel %s block (%u,%u,%u) thread (%u,%u,%u)", running_grid->name,
                 t->at.block.x, t->at.block.y, t->at.block.z, t->at.thread.x, t->at.thread.y,
                 t->at.thread.z);
}

bool site_equal(const site *a, const site *b)
{
    return a == b || (a->line == b->line && strcmp(a->file, b->file) == 0);
}

void thread_wait(thread *t, thread_state state)
{
    t->state = state;
    fiber_leave(&t->stack, false);
}

static void thread_body()
{
    thread *t = current.running;

    fiber_begin();
    sync_acquire(&launched[n_launches % LAUNCHES]);
    running_grid->body(running_grid->arg);
    sync_release(&finished[n_launches % LAUNCHES]);
    if (t->copies_open)
        fail("ends with %u asynchronous copies that it never waited for", t->copies_open);
    t->state = THREAD_DONE;
    fiber_leave(&t->stack, true);
    abort();
}

static void thread_run(thread *t)
{
    current.running = t;
    cudasim_coordinates = &t->at;
    counted.switches++;
    fiber_enter(&t->stack);
    current.running = nullptr;
    cudasim_coordinates = nullptr;
}

static void threads_start(const grid *g, uint3 at)
{
    for (int i = 0; i < current.n_threads; i++) {
        thread *t = &current.threads[i];
        const unsigned x = g->block_size.x, y = g->block_size.y, index = (unsigned)i;

        t->at = {{index % x, index / x % y, index / (x * y)}, at, g->block_size, g->size};
        t->index = i;
        t->state = THREAD_READY;
        t->copies_open = 0;
        fiber_arm(&t->stack, thread_body);
    }
}

/* Nobody can go on, and not all of them are at one barrier. */
[[noreturn]] static void fail_divergent()
{
    int n[4] = {};
    const thread *example[4] = {};
    char at[2][192] = {"", ""};

    for (int i = 0; i < current.n_threads; i++) {
        const thread *t = &current.threads[i];

        n[t->state]++;
        if (!example[t->state])
            example[t->state] = t;
    }
    for (int k = 0; k < 2; k++) {
        const thread *t = example[k ? THREAD_AT_WARP : THREAD_AT_BARRIER];

        if (t)
            snprintf(at[k], sizeof(at[k]), " (%s:%d)", t->waits_at->file, t->waits_at->line);
    }
    fail("kernel %s: divergent synchronisation: %d threads at a barrier%s, %d at a warp's "
         "collective%s, %d have ended",
         running_grid->name, n[THREAD_AT_BARRIER], at[0], n[THREAD_AT_WARP], at[1], n[THREAD_DONE]);
}

/* All wait: at one barrier, or for ever. */
static void barrier_open()
{
    for (int i = 0; i < current.n_threads; i++)
        if (current.threads[i].state != THREAD_AT_BARRIER ||
            !site_equal(current.threads[i].waits_at, current.threads[0].waits_at))
            fail_divergent();
    for (int i = 0; i < current.n_threads; i++)
        current.threads[i].state = THREAD_READY;
    n_barriers++;
}

static void block_run(const grid *g, uint3 at, std::vector<int> &turns)
{
    int done = 0;

    current.set = (current.set + 1) % SETS;
    current.threads = sets[current.set].data();
    shared_reset(g->shared_bytes);
    sync_release(&launched[n_launches % LAUNCHES]);
    warps_reset();
    threads_start(g, at);
    if (thread_order == ORDER_RANDOM)
        for (int i = current.n_threads - 1; i > 0; i--)
            std::swap(turns[i], turns[random_next() % (unsigned)(i + 1)]);
    while (done < current.n_threads) {
        bool moved = false;

        for (int i : turns) {
            thread *t = &current.threads[i];

            if (t->state != THREAD_READY)
                continue;
            moved = true;
            thread_run(t);
            done += t->state == THREAD_DONE;
        }
        if (!moved && done < current.n_threads)
            barrier_open();
    }
    counted.blocks++;
    counted.threads += current.n_threads;
}

static void threads_provide(int n)
{
    for (auto &set : sets)
        while ((int)set.size() < n) {
            thread t{};

            fiber_create(&t.stack);
            set.push_back(t);
        }
}

/* Which block is first, and how many further the next one is, so that all have their turn. */
static void blocks_order(size_t n, size_t *first, size_t *step)
{
    *first = 0;
    *step = 1;
    if (thread_order == ORDER_REVERSE) {
        *first = n - 1;
        *step = n - 1;
    } else if (thread_order == ORDER_RANDOM && n > 1) {
        *first = random_next() % n;
        do
            *step = 1 + random_next() % (n - 1);
        while (std::gcd(*step, n) != 1);
    }
}

void grid_run(const grid *g)
{
    const size_t n_blocks = (size_t)g->size.x * g->size.y * g->size.z;
    size_t i, step;

    current.n_threads = (int)(g->block_size.x * g->block_size.y * g->block_size.z);
    running_grid = g;
    n_launches++;
    fiber_home();
    threads_provide(current.n_threads);
    std::vector<int> turns(current.n_threads);
    std::iota(turns.begin(), turns.end(), 0);
    if (thread_order == ORDER_REVERSE)
        std::reverse(turns.begin(), turns.end());
    blocks_order(n_blocks, &i, &step);
    for (size_t k = 0; k < n_blocks; k++, i = (i + step) % n_blocks)
        block_run(g,
                  {(unsigned)(i % g->size.x), (unsigned)(i / g->size.x % g->size.y),
                   (unsigned)(i / ((size_t)g->size.x * g->size.y))},
                  turns);
    sync_acquire(&finished[n_launches % LAUNCHES]);
}

} // namespace cudasim

using namespace cudasim;

void cudasim_sync_block(const site *where)
{
    thread *t = current.running;
    char *order = &at_barrier[current.set][n_barriers & 1];

    t->waits_at = where;
    sync_release(order);
    thread_wait(t, THREAD_AT_BARRIER);
    sync_acquire(order);
}
