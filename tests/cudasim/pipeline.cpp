/* The asynchronous copies of a block's threads. */
#include "tests/cudasim/block.hpp"
#include "tests/cudasim/device.hpp"

#include "tests/cudasim/runtime.hpp"

#include <deque>

namespace cudasim
{

struct pending {
    cudasim_copy copy;
    unsigned group; /* of its thread */
};

static struct {
    std::deque<pending> copies;
    unsigned n_groups; /* committed */
} pipelines[BLOCK_THREADS_MAX];

} // namespace cudasim

using namespace cudasim;

bool cudasim_copies_late()
{
    return schedule != SCHEDULE_EAGER;
}

void cudasim_copy_start(const cudasim_copy *copy, const site *where)
{
    thread *t = current.running;

    if ((copy->bytes != 4 && copy->bytes != 8 && copy->bytes != 16) || copy->zeros > copy->bytes)
        fail_at(where, "copies 4, 8 or 16 bytes, not %u (%u of them zeros)", copy->bytes,
                copy->zeros);
    if ((uintptr_t)copy->dst % copy->bytes || (uintptr_t)copy->src % copy->bytes)
        fail_at(where, "of %u bytes from %p to %p: both must be aligned to that", copy->bytes,
                copy->src, copy->dst);
    if (!shared_contains(copy->dst, copy->bytes))
        fail_at(where, "to %p: the destination is not in shared memory", copy->dst);
    if (copy->zeros < copy->bytes && !memory_contains(copy->src, copy->bytes - copy->zeros))
        fail_at(where, "from %p: the source is not in the device's memory", copy->src);
    pipelines[t->index].copies.push_back({*copy, pipelines[t->index].n_groups});
    t->copies_open++;
}

void cudasim_copy_commit()
{
    pipelines[current.running->index].n_groups++;
}

bool cudasim_copy_next(unsigned n_left, cudasim_copy *out)
{
    auto &p = pipelines[current.running->index];

    if (p.copies.empty() || p.copies.front().group + n_left >= p.n_groups)
        return false;
    *out = p.copies.front().copy;
    p.copies.pop_front();
    current.running->copies_open--;
    return true;
}
